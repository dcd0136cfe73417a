use std::{
    collections::BTreeMap,
    mem,
    sync::Arc,
};

use arrow::{array::RecordBatch, compute::concat_batches, datatypes::SchemaRef};
use object_store::ObjectStore;
use parquet::file::properties::WriterProperties;
use stepwell_pipeline::{
    ErrorKind, StageError,
    manifest::{ColumnProfile, DataFile},
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
    upload::Upload,
};

/// So many partitions from one object are taken for a mistake: their files would be too small to read well.
const PARTITIONS_MAX: usize = 1000;
/// Finished pages take at most so much memory; the rest waits in temporary storage.
const PAGES_MEMORY_BYTES_MAX: usize = 40 * 1024 * 1024;
/// Finished pages take at most about so much memory and temporary storage together.
const PAGES_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Values that are not yet in finished pages take at most about so much memory.
const ENCODER_BYTES_MAX: usize = 32 * 1024 * 1024;
/// A row group ends at so many records or bytes.
const ROW_GROUP_RECORDS: u64 = 1024 * 1024;
const ROW_GROUP_BYTES: usize = 32 * 1024 * 1024;
/// The encodings are chosen by so many of the first records or bytes.
const SAMPLE_RECORDS: usize = 64 * 1024;
const SAMPLE_BYTES: usize = 8 * 1024 * 1024;
/// Records are split by partition so many at a time, so that each file gets more than a few.
const SPLIT_RECORDS: usize = 64 * 1024;
const SPLIT_BYTES: usize = 8 * 1024 * 1024;
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
    /// What the spec says of the files of one group of parts; the profile tells how many different values there are.
    pub(crate) fn new(run: &Run, group: usize, spec: &CheckedSpec, profile: &[ColumnProfile]) -> Self {
        let load = &spec.spec.load;
        let distinct = |name: &str| profile.iter().find(|column| column.name == name).map(|column| column.distinct_estimate);
        Self {
            run: run.clone(),
            group,
            partition_columns: spec.partition_columns().into_iter().map(str::to_owned).collect(),
            wishes: Wishes {
                sort_by: load.sort_by.iter().map(|column| column.value.clone()).collect(),
                bloom_filters: load.bloom_filters.iter().map(|column| (column.value.clone(), distinct(&column.value))).collect(),
                is_partitioned: !load.partition_by.is_empty(),
            },
            target_bytes: load.file_mib.as_ref().map_or(FILE_MIB_DEFAULT, |mib| mib.value).max(1).saturating_mul(1024 * 1024),
        }
    }
}

/// Writes records into Parquet files, several for each partition where there are many.
///
/// Where a file or row group ends depends on the records alone, neither on time nor on the number of threads.
pub(crate) struct FileWriter {
    layout: Layout,
    bucket: Arc<dyn ObjectStore>,
    partitioner: Partitioner,
    encoder: Encoder,
    pool: Arc<PagePool>,
    properties: Option<WriterProperties>,
    gathered: Gathered,
    open: BTreeMap<Arc<str>, OpenFile>,
    running: Option<(Vec<(Arc<str>, usize)>, Running)>,
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
        self.bytes += batch.get_array_memory_size();
        self.batches.push(batch);
    }

    fn has(&self, records: usize, bytes: usize) -> bool {
        self.records >= records || self.bytes >= bytes
    }
}

impl FileWriter {
    pub(crate) fn new(context: &StageContext, layout: Layout, schema: &SchemaRef, threads: usize) -> Result<Self, StageError> {
        let partitioner = Partitioner::new(schema, &layout.partition_columns).map_err(|error| {
            StageError::with_source(ErrorKind::InvalidSpec, "the SQL does not give every partition column", error)
        })?;
        Ok(Self {
            layout,
            bucket: context.stores.bucket(&context.buckets.work)?,
            partitioner,
            encoder: Encoder::new(threads),
            pool: Arc::new(PagePool::new(PAGES_MEMORY_BYTES_MAX)),
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
        self.write_gathered().await?;
        self.settle().await?;
        for (_, file) in mem::take(&mut self.open) {
            self.finished.push(file.finish(&self.encoder).await?);
        }
        self.finished.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(self.finished)
    }

    async fn write_gathered(&mut self) -> Result<(), StageError> {
        let gathered = mem::take(&mut self.gathered).batches;
        let schema = self.partitioner.schema();
        if self.properties.is_none() {
            let kept = gathered.iter().map(|batch| self.partitioner.kept(batch)).collect::<Result<Vec<_>, _>>();
            let kept = kept.map_err(|error| encoding_failed(error.into()))?;
            self.properties = Some(properties(&schema, &self.layout.wishes, &kept).map_err(encoding_failed)?);
        }
        let Some(first) = gathered.first() else { return Ok(()) };
        if !self.layout.wishes.is_partitioned {
            for batch in &gathered {
                self.write_split(batch).await?;
            }
            return Ok(());
        }
        let all = concat_batches(&first.schema(), &gathered).map_err(|error| encoding_failed(error.into()))?;
        drop(gathered);
        self.write_split(&all).await
    }

    /// Begins to encode records, once those before are encoded.
    async fn write_split(&mut self, batch: &RecordBatch) -> Result<(), StageError> {
        let split = self.partitioner.split(batch).map_err(|error| encoding_failed(error.into()))?;
        self.settle().await?;
        let (mut owners, mut jobs) = (Vec::new(), Vec::new());
        // Of records sorted by partition, no more come for the partitions before.
        if !self.layout.wishes.sort_by.is_empty() && let [only] = &split[..] {
            self.finish_all_but(&only.0).await?;
        }
        for (directory, rows) in split {
            let of_file = self.file(&directory)?.jobs(&rows).map_err(encoding_failed)?;
            owners.push((directory, of_file.len()));
            jobs.extend(of_file);
        }
        self.running = Some((owners, self.encoder.start(jobs)));
        Ok(())
    }

    async fn finish_all_but(&mut self, directory: &str) -> Result<(), StageError> {
        let others: Vec<Arc<str>> = self.open.keys().filter(|name| &***name != directory).cloned().collect();
        for other in others {
            self.finish_file(&other).await?;
        }
        Ok(())
    }

    /// Waits for what is being encoded, and ends row groups and files that are large enough.
    async fn settle(&mut self) -> Result<(), StageError> {
        let Some((owners, running)) = self.running.take() else { return Ok(()) };
        let mut done = running.join().await.map_err(encoding_failed)?.into_iter();
        for (directory, columns) in owners {
            let columns: Vec<Column> = done
                .by_ref()
                .take(columns)
                .filter_map(|done| match done {
                    Done::Written(column) => Some(column),
                    Done::Closed(_) => None,
                })
                .collect();
            let Some(file) = self.open.get_mut(&directory) else { continue };
            file.put_back(columns);
            if file.bytes() >= self.layout.target_bytes {
                self.finish_file(&directory).await?;
            } else if file.group_records() >= ROW_GROUP_RECORDS || file.group_bytes() >= ROW_GROUP_BYTES {
                file.end_row_group(&self.encoder).await?;
            }
        }
        self.bound_memory().await
    }

    /// Ends the largest row groups while values take too much memory, and the largest files while pages take too much
    /// temporary storage.
    async fn bound_memory(&mut self) -> Result<(), StageError> {
        while self.open.values().map(OpenFile::encoder_bytes).sum::<usize>() > ENCODER_BYTES_MAX {
            let Some(largest) = self.open.values_mut().max_by_key(|file| file.encoder_bytes()) else { break };
            largest.end_row_group(&self.encoder).await?;
        }
        while self.open.values().map(OpenFile::held_bytes).sum::<usize>() > PAGES_BYTES_MAX {
            let largest = self.open.iter().max_by_key(|(_, file)| file.held_bytes()).map(|(name, _)| name.clone());
            let Some(largest) = largest else { break };
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
        if !self.numbers.contains_key(directory) && self.numbers.len() == PARTITIONS_MAX {
            let message = format!(
                "the object has records for more than {PARTITIONS_MAX} partitions; partition by fewer or coarser columns"
            );
            return Err(StageError::new(ErrorKind::TransformFailed, message));
        }
        let number = self.numbers.entry(directory.clone()).or_default();
        let name = format!("{}-{:05}-{number:05}.parquet", self.layout.run.file_stem(), self.layout.group);
        *number += 1;
        let path = if directory.is_empty() { name } else { format!("{directory}/{name}") };
        let staged = self.layout.run.stage_key(Stage::Transform, &path);
        let upload = Upload::new(self.bucket.clone(), self.pool.clone(), store::path(&staged)?);
        let properties = self.properties.clone().unwrap_or_default();
        let pages = FilePages::new(self.pool.clone());
        OpenFile::new(&self.partitioner.schema(), &properties, pages, upload, staged, path).map_err(encoding_failed)
    }
}
