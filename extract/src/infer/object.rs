use stepwell_pipeline::{
    ErrorKind, StageError, request::RunRequest, spec::Format, stage::StageContext, store::ObjectRef,
};

use super::{SAMPLE_BYTES_MAX, Sample, infer, typed};
use crate::{
    decode::{AvroFile, ParquetFile},
    pin::pin,
    source::{File, Files, Object},
};

/// What is looked at in the middle and at the end of a large file of text.
const LATER_BYTES: u64 = 1 << 20;

/// Writes a first spec for objects like this one, in YAML with comments that say what was seen. Of an archive, its first
/// file is looked at.
///
/// # Errors
/// `UnreadableSource` where no spec can be inferred: a format that is not read, or no records; `SourceMissing`, and what
/// the store says.
pub async fn infer_object(context: &StageContext, object: &ObjectRef) -> Result<String, StageError> {
    let source = {
        let (bucket, key) = (object.bucket.clone(), object.key.clone());
        pin(context, &RunRequest { bucket, key, ..RunRequest::default() }).await?
    };
    let name = source.key.rsplit('/').next().unwrap_or(&source.key);
    let refused = |message: String| StageError::new(ErrorKind::UnreadableSource, message);
    let mut files = Files::open(context, &source).await?;
    let Some(mut file) = files.next().await? else {
        return Err(refused(format!("{name} is an archive without a file")));
    };
    match file.format(None, None).await? {
        Format::Parquet => match file.plain() {
            Some(object) => typed::spec(name, Format::Parquet, ParquetFile::open(object.clone()).await?.schema()),
            None => Err(format!("{name} holds a compressed Parquet file; decompress it first")),
        },
        Format::Avro => {
            let label = file.label();
            typed::spec(name, Format::Avro, AvroFile::open(&label, file.into_bytes().into_stream()).await?.schema())
        }
        _ => of_text(name, file).await?,
    }
    .map_err(refused)
}

async fn of_text(name: &str, mut file: File) -> Result<Result<String, String>, StageError> {
    let head = file.peek(SAMPLE_BYTES_MAX + 1).await?;
    let later = match file.plain() {
        Some(object) => later(object).await?,
        None => Vec::new(),
    };
    let later: Vec<&[u8]> = later.iter().map(AsRef::as_ref).collect();
    let is_whole = head.len() <= SAMPLE_BYTES_MAX;
    Ok(infer(&Sample { name, entry: file.name.as_deref(), head: &head, is_whole, later: &later }))
}

async fn later(object: &Object) -> Result<Vec<bytes::Bytes>, StageError> {
    let size = object.size();
    let mut pieces = Vec::new();
    if size > SAMPLE_BYTES_MAX as u64 + 2 * LATER_BYTES {
        for start in [(size / 2).max(SAMPLE_BYTES_MAX as u64), size - LATER_BYTES] {
            pieces.push(object.read(start..start + LATER_BYTES).await?);
        }
    }
    Ok(pieces)
}
