use std::{collections::BTreeMap, mem, sync::Arc};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use object_store::ObjectStore;
use parquet::file::properties::WriterProperties;
use stepwell_pipeline::{
    ErrorKind, StageError,
    manifest::DataFile,
    run::Run,
    spec::CheckedSpec,
    stage::{Stage, StageContext},
    store,
};

use super::{
    encode::{Column, Done, Encoder, Running},
    encoding::{Wishes, properties},
    encoding_failed,
    file::OpenFile,
    pages::{FilePages, PagePool},
    partition::Partitioner,
    schema,
    shelf::{Shelves, bytes_of},
    upload::Upload,
};

/// So many partitions from one object are taken for a mistake: their files would be too small to read well.
const PARTITIONS_MAX: usize = 1000;
/// Finished pages take at most so much memory; the rest waits in temporary storage.
const PAGES_MEMORY_BYTES_MAX: usize = 20 * 1024 * 1024;
/// The same in tables with partitions, whose records wait in memory too.
const PARTITIONED_PAGES_MEMORY_BYTES_MAX: usize = 6 * 1024 * 1024;
/// The pages of all files take at most about so much memory and temporary storage together.
const PAGES_BYTES_MAX: usize = 192 * 1024 * 1024;
/// A row group ends at so many records or bytes.
const ROW_GROUP_RECORDS: u64 = 1024 * 1024;
const ROW_GROUP_BYTES: usize = 16 * 1024 * 1024;
/// The encodings are chosen by so many of the first records or bytes.
const SAMPLE_RECORDS: usize = 32 * 1024;
const SAMPLE_BYTES: usize = 8 * 1024 * 1024;
/// Records are split by partition so many at a time, so that each file gets more than a few.
const SPLIT_RECORDS: usize = 64 * 1024;
const SPLIT_BYTES: usize = 6 * 1024 * 1024;
/// The target size of a file where the spec has none.
const FILE_MIB_DEFAULT: u64 = 128;

/// Where the records of a group go and how.
pub(crate) struct Layout {
    run: Run,
    group: usize,
    partition_columns: Vec<String>,
    wishes: Wishes,
    target_bytes: u64,
}

impl Layout {
    /// What the spec says of the files of one group of parts.
    pub(crate) fn new(run: &Run, group: usize, spec: &CheckedSpec) -> Self {
        let load = &spec.spec.load;
        Self {
            run: run.clone(),
            group,
            partition_columns: spec.partition_columns().into_iter().map(str::to_owned).collect(),
            wishes: Wishes {
                sort_by: load.sort_by.iter().map(|column| column.value.clone()).collect(),
                bloom_filters: load.bloom_filters.iter().map(|column| column.value.clone()).collect(),
                is_partitioned: !load.partition_by.is_empty(),
            },
            target_bytes: load
                .file_mib
                .as_ref()
                .map_or(FILE_MIB_DEFAULT, |mib| mib.value)
                .max(1)
                .saturating_mul(1024 * 1024),
        }
    }
}

/// Writes records into Parquet files, several for each partition where there are many.
///
/// Where a file or row group ends depends on the records alone, neither on time nor on the number of threads.
pub(crate) struct FileWriter {
    layout: Layout,
    bucket: Arc<dyn ObjectStore>,
    upload_bytes: usize,
    partitioner: Partitioner,
    encoder: Encoder,
    pool: Arc<PagePool>,
    properties: Option<WriterProperties>,
    gathered: Gathered,
    shelves: Shelves,
    open: BTreeMap<Arc<str>, OpenFile>,
    running: Option<(Arc<str>, Running)>,
    numbers: BTreeMap<Arc<str>, u32>,
    finished: Vec<DataFile>,
}

/// Records that wait until there are enough of them.
#[derive(Default)]
struct Gathered {
    batches: Vec<RecordBatch>,
    records: usize,
    bytes: usize,
}

impl Gathered {
    fn add(&mut self, batch: RecordBatch) {
        self.records += batch.num_rows();
        self.bytes += bytes_of(&batch);
        self.batches.push(batch);
    }

    fn has(&self, records: usize, bytes: usize) -> bool {
        self.records >= records || self.bytes >= bytes
    }
}

impl FileWriter {
    pub(crate) fn new(
        context: &StageContext,
        layout: Layout,
        schema: &SchemaRef,
        threads: usize,
    ) -> Result<Self, StageError> {
        let partitioner = Partitioner::new(schema, &layout.partition_columns).map_err(|error| {
            StageError::with_source(ErrorKind::InvalidSpec, "the SQL does not give every partition column", error)
        })?;
        let memory_bytes =
            if layout.wishes.is_partitioned { PARTITIONED_PAGES_MEMORY_BYTES_MAX } else { PAGES_MEMORY_BYTES_MAX };
        let pool = Arc::new(PagePool::new(memory_bytes));
        Ok(Self {
            layout,
            bucket: context.stores.bucket(&context.buckets.work)?,
            upload_bytes: context.limits.upload_bytes.max(1),
            shelves: Shelves::new(partitioner.schema(), pool.clone()),
            partitioner,
            encoder: Encoder::new(threads),
            pool,
            properties: None,
            gathered: Gathered::default(),
            open: BTreeMap::new(),
            running: None,
            numbers: BTreeMap::new(),
            finished: Vec::new(),
        })
    }

    pub(crate) async fn write(&mut self, batch: RecordBatch) -> Result<(), StageError> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        self.gathered.add(batch);
        let enough = match (&self.properties, self.layout.wishes.is_partitioned) {
            (None, _) => self.gathered.has(SAMPLE_RECORDS, SAMPLE_BYTES),
            (Some(_), true) => self.gathered.has(SPLIT_RECORDS, SPLIT_BYTES),
            (Some(_), false) => true,
        };
        if enough { self.write_gathered().await } else { Ok(()) }
    }

    /// Returns the files, by partition.
    pub(crate) async fn finish(mut self) -> Result<Vec<DataFile>, StageError> {
        if let Err(error) = self.finish_files().await {
            self.abort().await;
            return Err(error);
        }
        Ok(self.finished)
    }

    /// Gives up the files that are not finished.
    pub(crate) async fn abort(self) {
        for file in self.open.into_values() {
            file.abort().await;
        }
    }

    async fn finish_files(&mut self) -> Result<(), StageError> {
        self.write_gathered().await?;
        for directory in self.shelves.directories() {
            self.write_shelf(&directory).await?;
            self.finish_file(&directory).await?;
        }
        self.settle().await?;
        while let Some((_, file)) = self.open.pop_first() {
            self.finished.push(file.finish(&self.encoder).await?);
        }
        self.finished.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(())
    }

    async fn write_gathered(&mut self) -> Result<(), StageError> {
        let gathered = mem::take(&mut self.gathered).batches;
        let schema = self.partitioner.schema();
        if self.properties.is_none() {
            let kept = gathered.iter().map(|batch| self.partitioner.kept(batch)).collect::<Result<Vec<_>, _>>();
            let kept = kept.map_err(|error| encoding_failed(error.into()))?;
            self.properties = Some(properties(&schema, &self.layout.wishes, &kept).map_err(encoding_failed)?);
        }
        self.write_split(gathered).await
    }

    /// Writes records where they belong, or keeps them until there are enough for their partition.
    async fn write_split(&mut self, batches: Vec<RecordBatch>) -> Result<(), StageError> {
        let split = self.partitioner.split(batches).map_err(|error| encoding_failed(error.into()))?;
        if self.partitioner.directories() > PARTITIONS_MAX {
            let message = format!(
                "the object has records for more than {PARTITIONS_MAX} partitions; partition by fewer or coarser columns"
            );
            return Err(StageError::new(ErrorKind::TransformFailed, message));
        }
        let is_sorted = !self.layout.wishes.sort_by.is_empty();
        for (directory, rows) in split {
            if self.layout.wishes.is_partitioned && !is_sorted {
                self.shelves.add(directory, rows).map_err(encoding_failed)?;
                continue;
            }
            // Of records sorted by partition, no more come for the partitions before.
            let before = self.open.keys().find(|open| **open != directory).cloned();
            if let Some(before) = before {
                self.settle().await?;
                self.finish_file(&before).await?;
            }
            self.encode(&directory, &[rows]).await?;
        }
        while let Some(directory) = self.shelves.full() {
            self.write_shelf(&directory).await?;
        }
        self.bound_pages().await
    }

    /// Makes a row group of what is kept of a partition.
    async fn write_shelf(&mut self, directory: &Arc<str>) -> Result<(), StageError> {
        let Some(shelved) = self.shelves.take(directory) else { return Ok(()) };
        for batches in shelved {
            self.encode(directory, &batches.map_err(encoding_failed)?).await?;
        }
        self.settle().await?;
        match self.open.get_mut(directory) {
            Some(file) => file.end_row_group(&self.encoder).await,
            None => Ok(()),
        }
    }

    /// Begins to encode records, once those before are encoded.
    async fn encode(&mut self, directory: &Arc<str>, batches: &[RecordBatch]) -> Result<(), StageError> {
        self.settle().await?;
        let jobs = self.file(directory)?.jobs(batches).map_err(encoding_failed)?;
        self.running = Some((directory.clone(), self.encoder.start(jobs)));
        Ok(())
    }

    /// Waits for what is being encoded, and ends the row group or the file if it is large enough.
    async fn settle(&mut self) -> Result<(), StageError> {
        let Some((directory, running)) = self.running.take() else { return Ok(()) };
        let done = running.join().await.map_err(encoding_failed)?.into_iter();
        let columns: Vec<Column> = done
            .filter_map(|done| match done {
                Done::Written(column) => Some(column),
                Done::Closed(_) => None,
            })
            .collect();
        let Some(file) = self.open.get_mut(&directory) else { return Ok(()) };
        file.put_back(columns);
        if file.bytes() >= self.layout.target_bytes {
            return self.finish_file(&directory).await;
        }
        if file.group_records() >= ROW_GROUP_RECORDS || file.group_bytes() >= ROW_GROUP_BYTES {
            return file.end_row_group(&self.encoder).await;
        }
        Ok(())
    }

    /// Ends the largest files while pages take too much temporary storage.
    async fn bound_pages(&mut self) -> Result<(), StageError> {
        while self.open.values().map(OpenFile::held_bytes).sum::<usize>() > PAGES_BYTES_MAX {
            let largest = self.open.iter().max_by_key(|(_, file)| file.held_bytes()).map(|(name, _)| name.clone());
            let Some(largest) = largest else { break };
            self.settle().await?;
            self.finish_file(&largest).await?;
        }
        Ok(())
    }

    async fn finish_file(&mut self, directory: &Arc<str>) -> Result<(), StageError> {
        if let Some(file) = self.open.remove(directory) {
            self.finished.push(file.finish(&self.encoder).await?);
        }
        Ok(())
    }

    fn file(&mut self, directory: &Arc<str>) -> Result<&mut OpenFile, StageError> {
        if !self.open.contains_key(directory) {
            let file = self.create(directory)?;
            self.open.insert(directory.clone(), file);
        }
        self.open
            .get_mut(directory)
            .ok_or_else(|| StageError::new(ErrorKind::Internal, "a file that was just opened is gone"))
    }

    fn create(&mut self, directory: &Arc<str>) -> Result<OpenFile, StageError> {
        let number = self.numbers.entry(directory.clone()).or_default();
        let name = format!("{}-{:05}-{number:05}.parquet", self.layout.run.file_stem(), self.layout.group);
        *number += 1;
        let path = if directory.is_empty() { name } else { format!("{directory}/{name}") };
        let staged = self.layout.run.staged_key(Stage::Transform, &path);
        let upload = Upload::new(self.bucket.clone(), self.pool.clone(), store::path(&staged)?, self.upload_bytes);
        let properties = self.properties.clone().unwrap_or_default();
        let pages = FilePages::new(self.pool.clone());
        OpenFile::new(&schema::of_file(&self.partitioner.schema()), &properties, pages, upload, staged, path)
            .map_err(encoding_failed)
    }
}
