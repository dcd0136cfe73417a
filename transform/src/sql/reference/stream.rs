use std::sync::Arc;

use arrow::{
    array::{ArrayRef, RecordBatch, RecordBatchOptions, StringArray, new_null_array},
    compute::cast,
    datatypes::{Field, SchemaRef},
    error::ArrowError,
};
use futures::{Stream, TryStreamExt};
use parquet::{
    DecodeResult,
    arrow::{
        ProjectionMask,
        push_decoder::{ParquetPushDecoder, ParquetPushDecoderBuilder},
    },
};
use stepwell_pipeline::{ErrorKind, StageError};

use super::files::{ReferenceFile, no_parquet, reading};

/// The records of one file, with the columns that are wanted; only those are fetched, a row group at a time.
pub(super) fn batches(
    file: Arc<ReferenceFile>,
    wanted: SchemaRef,
    batch_records: usize,
) -> impl Stream<Item = Result<RecordBatch, StageError>> + Send {
    futures::stream::once(async move {
        let decoder = decoder(&file, &wanted, batch_records)?;
        Ok::<_, StageError>(futures::stream::try_unfold((decoder, file, wanted), next))
    })
    .try_flatten()
}

fn decoder(file: &ReferenceFile, wanted: &SchemaRef, batch_records: usize) -> Result<ParquetPushDecoder, StageError> {
    let wrong = |error| no_parquet(&file.object, error);
    let builder = ParquetPushDecoderBuilder::try_new_decoder(file.metadata.clone()).map_err(wrong)?;
    let roots: Vec<usize> =
        wanted.fields().iter().filter_map(|field| builder.schema().index_of(field.name()).ok()).collect();
    let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
    builder.with_projection(mask).with_batch_size(batch_records).build().map_err(wrong)
}

type State = (ParquetPushDecoder, Arc<ReferenceFile>, SchemaRef);

async fn next((mut decoder, file, wanted): State) -> Result<Option<(RecordBatch, State)>, StageError> {
    loop {
        match decoder.try_decode().map_err(|error| no_parquet(&file.object, error))? {
            DecodeResult::NeedsData(ranges) => {
                let bytes = file.bucket.get_ranges(&file.path, &ranges).await;
                let bytes = bytes.map_err(|error| reading(&file.object, error))?;
                decoder.push_ranges(ranges, bytes).map_err(|error| no_parquet(&file.object, error))?;
            }
            DecodeResult::Data(batch) => {
                let batch = fitted(&batch, &file, &wanted).map_err(|error| {
                    let message = format!("the reference file {} does not fit the others of its table", file.object);
                    StageError::with_source(ErrorKind::InvalidInput, message, error)
                })?;
                return Ok(Some((batch, (decoder, file, wanted))));
            }
            DecodeResult::Finished => return Ok(None),
        }
    }
}

/// The batch in the table's columns: those that the file lacks come from its partitions, or are null.
fn fitted(batch: &RecordBatch, file: &ReferenceFile, wanted: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let records = batch.num_rows();
    let column = |field: &Arc<Field>| -> Result<ArrayRef, ArrowError> {
        match (batch.column_by_name(field.name()), file.partition(field.name())) {
            (Some(column), _) if column.data_type() == field.data_type() => Ok(column.clone()),
            (Some(column), _) => cast(column, field.data_type()),
            (None, Some(value)) => {
                let text = StringArray::from_iter_values(std::iter::repeat_n(value, records));
                cast(&text, field.data_type())
            }
            (None, None) => Ok(new_null_array(field.data_type(), records)),
        }
    };
    let columns = wanted.fields().iter().map(column).collect::<Result<Vec<_>, _>>()?;
    RecordBatch::try_new_with_options(wanted.clone(), columns, &RecordBatchOptions::new().with_row_count(Some(records)))
}
