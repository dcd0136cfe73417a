use std::{fmt, sync::Arc};

use arrow::datatypes::DataType;
use futures::TryStreamExt;
use object_store::{ObjectStore, path::Path};
use parquet::{
    DecodeResult,
    errors::ParquetError,
    file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataPushDecoder},
};
use percent_encoding::percent_decode_str;
use stepwell_pipeline::{
    ErrorKind, StageError,
    manifest::CommitManifest,
    stage::StageContext,
    store::{self, ObjectRef},
};

use crate::files::HIVE_NULL;

/// One file of a reference table, its footer read.
pub(super) struct ReferenceFile {
    pub(super) bucket: Arc<dyn ObjectStore>,
    pub(super) object: ObjectRef,
    pub(super) path: Path,
    pub(super) metadata: Arc<ParquetMetaData>,
    pub(super) partitions: Vec<(String, Option<String>)>,
}

impl fmt::Debug for ReferenceFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.object)
    }
}

/// A file that belongs to a reference table.
pub(super) struct FoundFile {
    object: ObjectRef,
    bytes: u64,
    partitions: Vec<(String, Option<String>)>,
}

impl ReferenceFile {
    pub(super) async fn open(context: &StageContext, found: FoundFile) -> Result<Self, StageError> {
        let bucket = context.stores.bucket(&found.object.bucket)?;
        let path = store::path(&found.object.key)?;
        let mut decoder = ParquetMetaDataPushDecoder::try_new(found.bytes)
            .map_err(|error| no_parquet(&found.object, error))?
            .with_page_index_policy(PageIndexPolicy::Skip);
        let metadata = loop {
            match decoder.try_decode().map_err(|error| no_parquet(&found.object, error))? {
                DecodeResult::Data(metadata) => break metadata,
                DecodeResult::NeedsData(ranges) => {
                    let bytes =
                        bucket.get_ranges(&path, &ranges).await.map_err(|error| reading(&found.object, error))?;
                    decoder.push_ranges(ranges, bytes).map_err(|error| no_parquet(&found.object, error))?;
                }
                DecodeResult::Finished => {
                    let message = format!("the footer of {} could not be read", found.object);
                    return Err(StageError::new(ErrorKind::Internal, message));
                }
            }
        };
        Ok(Self { bucket, object: found.object, path, metadata: Arc::new(metadata), partitions: found.partitions })
    }

    pub(super) fn records(&self) -> u64 {
        u64::try_from(self.metadata.file_metadata().num_rows()).unwrap_or_default()
    }

    /// The value of a hive partition, nothing for null.
    pub(super) fn partition(&self, name: &str) -> Option<&str> {
        let found = self.partitions.iter().find(|(partition, _)| partition == name);
        found.and_then(|(_, value)| value.as_deref())
    }
}

pub(super) fn reading(object: &ObjectRef, error: object_store::Error) -> StageError {
    store::classify(error, &format!("cannot read the reference file {object}"))
}

pub(super) fn no_parquet(object: &ObjectRef, error: ParquetError) -> StageError {
    StageError::with_source(ErrorKind::InvalidInput, format!("the reference file {object} is no whole Parquet"), error)
}

/// The files at a place: the object itself, or those of the folder, in the order of their keys.
///
/// Of a table of Stepwell's own, only what is current by its commits.
pub(super) async fn find_files(context: &StageContext, place: &ObjectRef) -> Result<Vec<FoundFile>, StageError> {
    if !place.key.ends_with('/')
        && let Some(meta) = store::head(&*context.stores, place).await?
    {
        return Ok(vec![FoundFile { object: place.clone(), bytes: meta.size, partitions: Vec::new() }]);
    }
    let folder = format!("{}/", place.key.trim_end_matches('/'));
    let bucket = context.stores.bucket(&place.bucket)?;
    let prefix = store::path(folder.trim_end_matches('/'))?;
    let listing = |error| store::classify(error, &format!("cannot list {place}"));
    let listed: Vec<_> = bucket.list(Some(&prefix)).try_collect().await.map_err(listing)?;
    let below = |key: &str| key.strip_prefix(&folder).map(str::to_owned);
    let is_commit = |name: &str| name.starts_with("_stepwell/commits/") && name.ends_with(".json");
    let mut objects: Vec<(String, u64)> = Vec::new();
    let mut is_ours = false;
    for meta in &listed {
        let key = meta.location.as_ref();
        if below(key).is_some_and(|name| is_commit(&name)) {
            is_ours = true;
            let commit: Option<CommitManifest> =
                store::get_json(&*context.stores, &ObjectRef::new(&place.bucket, key)).await?;
            objects.extend(commit.iter().flat_map(|commit| &commit.files).map(|file| (file.key.clone(), file.bytes)));
        }
    }
    if !is_ours {
        objects.extend(listed.iter().map(|meta| (meta.location.as_ref().to_owned(), meta.size)));
    }
    objects.sort();
    objects.dedup();
    let found = objects.into_iter().filter_map(|(key, bytes)| {
        let name = below(&key)?;
        let hidden = name.split('/').any(|segment| segment.starts_with(['_', '.']));
        let partitions = partitions(&name);
        (!hidden && bytes > 0).then(|| FoundFile { object: ObjectRef::new(&place.bucket, key), bytes, partitions })
    });
    Ok(found.collect())
}

/// The hive partitions in a file's name below the table (`year=2013/month=1/…`); nothing stands for null.
fn partitions(name: &str) -> Vec<(String, Option<String>)> {
    let directories = name.rsplit_once('/').map_or("", |(directories, _)| directories);
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    directories
        .split('/')
        .filter_map(|segment| segment.split_once('='))
        .map(|(column, value)| (decoded(column), (value != HIVE_NULL).then(|| decoded(value))))
        .collect()
}

/// Whole numbers where every value is one as it is usually written, else text.
pub(super) fn partition_type(values: &[Option<&str>]) -> DataType {
    let is_whole = |value: &str| value.parse::<i64>().is_ok_and(|number| number.to_string() == value);
    let mut known = values.iter().flatten().peekable();
    if known.peek().is_some() && known.all(|value| is_whole(value)) { DataType::Int64 } else { DataType::Utf8 }
}
