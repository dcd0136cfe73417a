use std::{collections::BTreeSet, sync::Arc};

use arrow::{
    array::{ArrayRef, AsArray, Decimal128Array, RecordBatch, RecordBatchOptions},
    buffer::Buffer,
    compute::{cast, take},
    datatypes::{DataType, Decimal64Type, FieldRef, Schema, SchemaRef, UInt8Type},
    error::ArrowError,
    ipc::{Block, reader::FileDecoder},
};
use bytes::Bytes;
use datafusion::{
    error::DataFusionError,
    physical_plan::{SendableRecordBatchStream, stream::RecordBatchStreamAdapter},
};
use futures::{StreamExt, TryStreamExt};
use object_store::{ObjectStore, ObjectStoreExt};
use stepwell_pipeline::{
    ErrorKind, StageError,
    manifest::Part,
    progress::Progress,
    stage::{Stage, StageContext},
    store::{self, ObjectRef, Stores},
};

use super::{query::Records, scan::Source};

/// The table `input`: the accepted parts of a run, in order, one batch at a time.
///
/// Its columns are of the declared types, whatever narrower ones the parts hold, except that text may come as views: the
/// engine's arithmetic is right for declared types only. It takes `1 - discount` for a whole number where `discount` is
/// a `Decimal64`.
#[derive(Clone, Debug)]
pub(crate) struct InputTable {
    stores: Arc<dyn Stores>,
    progress: Arc<dyn Progress>,
    bucket: String,
    schema: SchemaRef,
    staged: SchemaRef,
    parts: Vec<Part>,
    records: Records,
}

impl InputTable {
    /// The table of these parts, with the declared columns.
    pub(crate) async fn open(context: &StageContext, declared: &SchemaRef, parts: &[Part]) -> Result<Self, StageError> {
        let Some(last) = parts.last() else { return Ok(Self::new(context, declared.clone(), parts)) };
        let object = ObjectRef::new(&context.buckets.work, &last.key);
        // Texts that are codes in the last part are so in all, and their codes are one vocabulary's.
        let staged = PartReader::open(&*context.stores, object).await?.schema;
        let fields = declared.fields().iter().zip(staged.fields()).map(|(declared, staged)| {
            let data_type = match staged.data_type() {
                DataType::Dictionary(_, texts) if texts.is_string() => &DataType::Utf8View,
                texts if texts.is_string() => texts,
                _ => declared.data_type(),
            };
            declared.as_ref().clone().with_data_type(data_type.clone())
        });
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        Ok(Self { staged, ..Self::new(context, schema, parts) })
    }

    /// The same table, but for columns that no expression looks at: those come as the parts hold them.
    pub(crate) fn with_columns_as_staged(&self, names: &BTreeSet<String>) -> Self {
        let fields = self.schema.fields().iter().zip(self.staged.fields());
        let fields = fields.map(|(field, staged)| match names.contains(field.name()) {
            true => Arc::new(field.as_ref().clone().with_data_type(staged.data_type().clone())),
            false => field.clone(),
        });
        Self { schema: Arc::new(Schema::new(fields.collect::<Vec<_>>())), ..self.clone() }
    }

    pub(crate) fn new(context: &StageContext, schema: SchemaRef, parts: &[Part]) -> Self {
        Self {
            stores: context.stores.clone(),
            progress: context.progress.clone(),
            bucket: context.buckets.work.clone(),
            staged: schema.clone(),
            schema,
            parts: parts.to_vec(),
            records: Records::default(),
        }
    }

    pub(crate) fn records(&self) -> Records {
        self.records.clone()
    }
}

impl Source for InputTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn records(&self) -> Option<u64> {
        Some(self.parts.iter().map(|part| part.records).sum())
    }

    fn stream(&self, columns: &[usize]) -> Result<SendableRecordBatchStream, DataFusionError> {
        let schema = Arc::new(self.schema.project(columns)?);
        let (stores, bucket, columns) = (self.stores.clone(), self.bucket.clone(), columns.to_vec());
        let wanted = schema.clone();
        let (progress, records) = (self.progress.clone(), self.records.clone());
        let batches = futures::stream::iter(self.parts.clone())
            .then(move |part| {
                let (stores, object) = (stores.clone(), ObjectRef::new(&bucket, &part.key));
                async move { PartReader::open(&*stores, object).await }
            })
            .map_ok(PartReader::into_batches)
            .try_flatten()
            .map_err(|error| DataFusionError::External(Box::new(error)))
            .and_then(move |(batch, bytes)| {
                records.add(batch.num_rows() as u64);
                progress.advanced(Stage::Transform, bytes, batch.num_rows() as u64);
                std::future::ready(fitted(&batch, &columns, &wanted).map_err(DataFusionError::from))
            });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
    }
}

/// The columns of those indices, in the types that the table has.
fn fitted(batch: &RecordBatch, columns: &[usize], wanted: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let batch = batch.project(columns)?;
    let column = |(column, field): (&ArrayRef, &FieldRef)| match (column.data_type(), field.data_type()) {
        (staged, wanted) if staged == wanted => Ok(column.clone()),
        (DataType::Decimal64(..), DataType::Decimal128(precision, scale)) => {
            let wide: Decimal128Array = column.as_primitive::<Decimal64Type>().unary(i128::from);
            Ok(Arc::new(wide.with_precision_and_scale(*precision, *scale)?) as ArrayRef)
        }
        (DataType::Dictionary(codes, _), DataType::Utf8View) if **codes == DataType::UInt8 => {
            let dictionary = column.as_dictionary::<UInt8Type>();
            // A look at the text's view for each code; the text itself is not touched.
            take(&cast(dictionary.values(), &DataType::Utf8View)?, dictionary.keys(), None)
        }
        (_, wanted) => cast(column, wanted),
    };
    let fitting = batch.columns().iter().zip(wanted.fields()).map(column).collect::<Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(wanted.clone(), fitting, &options)
}

/// Reads one Arrow IPC file batch by batch with ranged reads.
struct PartReader {
    bucket: Arc<dyn ObjectStore>,
    object: ObjectRef,
    schema: SchemaRef,
    decoder: FileDecoder,
    blocks: Vec<Block>,
}

impl PartReader {
    async fn open(stores: &dyn Stores, object: ObjectRef) -> Result<Self, StageError> {
        use arrow::ipc::{convert::fb_to_schema, reader::read_footer_length, root_as_footer};

        const TRAILER_BYTES: u64 = 10;
        let bucket = stores.bucket(&object.bucket)?;
        let path = store::path(&object.key)?;
        let reading = |error| store::classify(error, &format!("cannot read {object}"));
        let size = bucket.head(&path).await.map_err(reading)?.size;
        let trailer_start = size.checked_sub(TRAILER_BYTES).ok_or_else(|| torn(&object, "it is too short"))?;
        let trailer = store::get_range(&*bucket, &object, trailer_start..size).await?;
        let trailer: [u8; 10] = trailer.as_ref().try_into().map_err(|_| torn(&object, "it is too short"))?;
        let footer_bytes = read_footer_length(trailer).map_err(|error| torn(&object, &error.to_string()))? as u64;
        let footer_start =
            trailer_start.checked_sub(footer_bytes).ok_or_else(|| torn(&object, "its footer is torn"))?;
        let footer = store::get_range(&*bucket, &object, footer_start..trailer_start).await?;
        let footer = root_as_footer(&footer).map_err(|error| torn(&object, &error.to_string()))?;
        let schema = footer.schema().map(fb_to_schema).ok_or_else(|| torn(&object, "its footer has no schema"))?;
        let schema = Arc::new(schema);
        let mut decoder = FileDecoder::new(schema.clone(), footer.version());
        for block in footer.dictionaries().iter().flatten() {
            let bytes = read_block(&*bucket, &object, block).await?;
            decoder.read_dictionary(block, &Buffer::from(bytes)).map_err(|error| torn(&object, &error.to_string()))?;
        }
        let blocks = footer.recordBatches().map(|blocks| blocks.iter().copied().collect()).unwrap_or_default();
        Ok(Self { bucket, object, schema, decoder, blocks })
    }

    fn into_batches(self) -> impl futures::Stream<Item = Result<(RecordBatch, u64), StageError>> {
        let Self { bucket, object, schema: _, decoder, blocks } = self;
        futures::stream::iter(blocks)
            .map(move |block| {
                let (bucket, object) = (bucket.clone(), object.clone());
                async move {
                    let bytes = read_block(&*bucket, &object, &block).await?;
                    Ok((block, bytes, object))
                }
            })
            .buffered(2)
            .and_then(move |(block, bytes, object)| {
                let length = bytes.len() as u64;
                let decoded = decoder.read_record_batch(&block, &Buffer::from(bytes));
                let batch = match decoded {
                    Ok(Some(batch)) => Ok((batch, length)),
                    Ok(None) => Err(torn(&object, "a block holds no batch")),
                    Err(error) => Err(torn(&object, &error.to_string())),
                };
                std::future::ready(batch)
            })
    }
}

async fn read_block(bucket: &dyn ObjectStore, object: &ObjectRef, block: &Block) -> Result<Bytes, StageError> {
    let start = u64::try_from(block.offset()).map_err(|_| torn(object, "a block lies before its start"))?;
    let length = i64::from(block.metaDataLength()) + block.bodyLength();
    let length = u64::try_from(length).map_err(|_| torn(object, "a block has no length"))?;
    store::get_range(bucket, object, start..start + length).await
}

fn torn(object: &ObjectRef, why: &str) -> StageError {
    StageError::new(ErrorKind::Internal, format!("{object} is no whole part: {why}"))
}
