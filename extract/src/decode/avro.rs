//! Avro object container files, block by block (Avro 1.12 specification, "Object Container Files").
//!
//! Blocks are cut out, decompressed and verified here, since `arrow-avro`'s own reader of such files neither compares sync
//! markers nor bounds what a block decompresses to, and does not end on a block that has bytes left over.

mod codec;
mod frames;

use arrow::{
    array::{Array, AsArray, RecordBatch},
    datatypes::{DataType, SchemaRef},
    error::ArrowError,
};
use arrow_avro::{
    reader::{Decoder, ReaderBuilder},
    schema::{AvroSchema, Fingerprint, SINGLE_OBJECT_MAGIC, SchemaStore},
};
use bytes::Bytes;
use futures::Stream;
use stepwell_pipeline::{ErrorKind, StageError};
use tokio::runtime::Handle;

use super::typed::{BATCH_RECORDS, BlockSink, TypedBlocks, finished};
use codec::Codec;
use frames::{Frame, Frames, Header};

/// Records of a block that may take no byte each: those of nulls alone.
const EMPTY_RECORDS_MAX: u64 = 1_000_000;

/// An Avro file whose header is read, over its decompressed bytes.
pub(crate) struct AvroFile<S> {
    object: String,
    frames: Frames<S>,
    codec: Codec,
    decoder: BlockDecoder,
    schema: SchemaRef,
}

impl<S: Stream<Item = Result<Bytes, StageError>> + Send + Unpin + 'static> AvroFile<S> {
    /// Reads the header. `object` is what messages call the source.
    ///
    /// # Errors
    /// `UnreadableSource` for what is no Avro file, is compressed in another way than deflate, Snappy or Zstandard, or
    /// has no records in it; and the stream's.
    pub(crate) async fn open(object: &str, chunks: S) -> Result<Self, StageError> {
        let mut frames = Frames::new(object, chunks);
        let Header { schema, codec } = frames.header().await?;
        let codec = Codec::named(&codec).ok_or_else(|| {
            let codec: String = codec.chars().take(40).collect();
            let message = format!("is compressed with `{codec}`; write it with deflate, snappy or zstandard");
            unreadable(object, &message)
        })?;
        let name = object.to_owned();
        let parsing = tokio::task::spawn_blocking(move || BlockDecoder::new(&schema, &name));
        let decoder = finished(parsing, object).await?;
        let schema = decoder.schema.clone();
        Ok(Self { object: object.to_owned(), frames, codec, decoder, schema })
    }

    /// The columns.
    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Reads some columns, by index in ascending order, from a record on, counted from 0. Blocks before it are passed
    /// over without being decompressed.
    pub(crate) fn read(self, columns: &[usize], first_record: u64) -> TypedBlocks {
        let columns = columns.to_vec();
        let handle = Handle::current();
        TypedBlocks::spawn(&self.object.clone(), first_record, move |sink| decode(self, &columns, &handle, sink))
    }
}

fn decode<S: Stream<Item = Result<Bytes, StageError>> + Send + Unpin + 'static>(
    mut file: AvroFile<S>,
    columns: &[usize],
    handle: &Handle,
    sink: &mut BlockSink,
) -> Result<(), StageError> {
    let mut block_start = 0_u64;
    while let Some(frame) = handle.block_on(file.frames.next())? {
        let block_end = block_start.saturating_add(frame.records);
        let skipped = sink.next_record().saturating_sub(block_start);
        if skipped < frame.records {
            let broken = |message: &str| {
                let message: String = message.chars().take(200).collect();
                let message =
                    format!("is broken in the block of {} records at byte {}: {message}", frame.records, frame.offset);
                unreadable(&file.object, &message)
            };
            let batch = file.decoder.decode(&frame, file.codec).map_err(|message| broken(&message))?;
            let wanted = batch.project(columns).map_err(|error| broken(&error.to_string()))?;
            for start in (skipped as usize..wanted.num_rows()).step_by(BATCH_RECORDS) {
                let records = BATCH_RECORDS.min(wanted.num_rows() - start);
                if !sink.send(&wanted.slice(start, records))? {
                    return Ok(());
                }
            }
        }
        block_start = block_end;
    }
    Ok(())
}

fn unreadable(object: &str, message: &str) -> StageError {
    StageError::new(ErrorKind::UnreadableSource, format!("{object} {message}"))
}

/// Decodes blocks of records.
struct BlockDecoder {
    decoder: Decoder,
    fingerprint: u64,
    schema: SchemaRef,
}

impl BlockDecoder {
    /// A block's records are decoded as one array of them, which says how many there are and where they end.
    fn new(schema: &str, object: &str) -> Result<Self, StageError> {
        let refused = |error: ArrowError| {
            let reason: String = error.to_string().chars().take(200).collect();
            unreadable(object, &format!("has a schema that cannot be read: {reason}"))
        };
        let wrapped = format!(
            r#"{{"type":"record","name":"stepwell_block","fields":[{{"name":"records","type":{{"type":"array","items":{schema}}}}}]}}"#
        );
        let mut store = SchemaStore::new();
        let Fingerprint::Rabin(fingerprint) = store.register(AvroSchema::new(wrapped)).map_err(refused)? else {
            return Err(StageError::new(ErrorKind::Internal, "the fingerprint of an Avro schema is not Rabin's"));
        };
        // Not with views for strings: arrow-avro 59.3 makes them without their nulls.
        let decoder = ReaderBuilder::new()
            .with_writer_schema_store(store)
            .with_active_fingerprint(Fingerprint::Rabin(fingerprint))
            .with_batch_size(1)
            .build_decoder()
            .map_err(refused)?;
        let schema = match decoder.schema().field(0).data_type() {
            DataType::List(item) => match item.data_type() {
                DataType::Struct(fields) if !item.is_nullable() => Some(fields.clone()),
                _ => None,
            },
            _ => None,
        };
        let Some(fields) = schema else {
            return Err(unreadable(object, "does not consist of records: its schema is of another type"));
        };
        Ok(Self { decoder, fingerprint, schema: arrow::datatypes::Schema::new(fields).into() })
    }

    fn decode(&mut self, frame: &Frame, codec: Codec) -> Result<RecordBatch, String> {
        let mut message = Vec::new();
        message.extend_from_slice(&SINGLE_OBJECT_MAGIC);
        message.extend_from_slice(&self.fingerprint.to_le_bytes());
        frames::write_long(frame.records.cast_signed(), &mut message);
        let data_start = message.len();
        codec.decompress(&frame.data, &mut message)?;
        if frame.records > EMPTY_RECORDS_MAX.max((message.len() - data_start) as u64) {
            return Err("it has more records than bytes".into());
        }
        // The array's end.
        message.push(0);
        let consumed = self.decoder.decode(&message).map_err(|error| error.to_string())?;
        let batch = self.decoder.flush().map_err(|error| error.to_string())?;
        let Some(batch) = batch.filter(|_| consumed == message.len()) else {
            return Err("it has not as many bytes as its records take".into());
        };
        let records = batch.column(0).as_list::<i32>().values().as_struct().clone();
        if records.len() as u64 != frame.records {
            return Err(format!("it has {} records", records.len()));
        }
        RecordBatch::try_new_with_options(
            self.schema.clone(),
            records.columns().to_vec(),
            &arrow::array::RecordBatchOptions::new().with_row_count(Some(records.len())),
        )
        .map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests;
