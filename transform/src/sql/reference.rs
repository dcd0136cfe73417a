//! Tables that the SQL may join with: Parquet files in the lake or work bucket.

mod files;
mod stream;

use std::{collections::BTreeSet, sync::Arc};

use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::{
    error::DataFusionError,
    physical_plan::{SendableRecordBatchStream, stream::RecordBatchStreamAdapter},
};
use futures::{StreamExt, TryStreamExt};
use parquet::{arrow::parquet_to_arrow_schema, errors::ParquetError};
use stepwell_pipeline::{
    ErrorKind, StageError,
    spec::{CheckedSpec, ReferenceSpec},
    stage::StageContext,
};

use self::files::{ReferenceFile, find_files};
use super::scan::Source;

/// So many footers are read at once.
const FOOTERS_AT_ONCE: usize = 8;

/// The reference tables of a spec, by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct References(pub(super) Vec<(String, Arc<dyn Source>)>);

impl References {
    /// Finds the tables' files and reads their footers.
    ///
    /// # Errors
    /// `InvalidInput` where there is no such file or it is no Parquet, and what the stores say.
    pub(crate) async fn open(context: &StageContext, spec: &CheckedSpec) -> Result<Self, StageError> {
        let mut tables: Vec<(String, Arc<dyn Source>)> = Vec::new();
        for reference in &spec.spec.transform.references {
            let table = ReferenceTable::open(context, reference).await?;
            tables.push((reference.name.value.clone(), Arc::new(table)));
        }
        Ok(Self(tables))
    }
}

/// One Parquet file or a folder of them, as a table.
#[derive(Debug)]
struct ReferenceTable {
    schema: SchemaRef,
    files: Vec<Arc<ReferenceFile>>,
    batch_records: usize,
}

impl ReferenceTable {
    async fn open(context: &StageContext, reference: &ReferenceSpec) -> Result<Self, StageError> {
        let path = &reference.path.value;
        let wrong = |why: &str| {
            let message = format!("the reference `{}` cannot be read: {path} {why}", reference.name.value);
            StageError::new(ErrorKind::InvalidInput, message)
        };
        let place = reference.place(&context.buckets).ok_or_else(|| wrong("does not begin with `lake/` or `work/`"))?;
        let found = find_files(context, &place).await?;
        if found.is_empty() {
            return Err(wrong("is no Parquet file and no folder that holds one"));
        }
        let files: Vec<Arc<ReferenceFile>> = futures::stream::iter(found)
            .map(|file| ReferenceFile::open(context, file))
            .buffered(FOOTERS_AT_ONCE)
            .map_ok(Arc::new)
            .try_collect()
            .await?;
        let schema = schema(&files).map_err(|error| wrong(&format!("holds what cannot be a table: {error}")))?;
        Ok(Self { schema, files, batch_records: context.limits.batch_records.max(1) })
    }
}

/// The columns of the first file, and the hive partitions.
fn schema(files: &[Arc<ReferenceFile>]) -> Result<SchemaRef, ParquetError> {
    let Some(first) = files.first() else { return Ok(Arc::new(Schema::empty())) };
    let metadata = first.metadata.file_metadata();
    let of_file = parquet_to_arrow_schema(metadata.schema_descr(), metadata.key_value_metadata())?;
    let mut fields: Vec<Arc<Field>> =
        of_file.fields().iter().map(|field| Arc::new(field.as_ref().clone().with_nullable(true))).collect();
    let names: BTreeSet<&str> = of_file.fields().iter().map(|field| field.name().as_str()).collect();
    for (name, _) in first.partitions.iter().filter(|(name, _)| !names.contains(name.as_str())) {
        let values: Vec<Option<&str>> = files.iter().map(|file| file.partition(name)).collect();
        fields.push(Arc::new(Field::new(name, files::partition_type(&values), true)));
    }
    Ok(Arc::new(Schema::new(fields)))
}

impl Source for ReferenceTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn records(&self) -> Option<u64> {
        Some(self.files.iter().map(|file| file.records()).sum())
    }

    fn stream(&self, columns: &[usize]) -> Result<SendableRecordBatchStream, DataFusionError> {
        let schema = Arc::new(self.schema.project(columns)?);
        let (wanted, batch_records) = (schema.clone(), self.batch_records);
        let batches = futures::stream::iter(self.files.clone())
            .map(move |file| stream::batches(file, wanted.clone(), batch_records))
            .flatten()
            .map_err(|error| DataFusionError::External(Box::new(error)));
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
    }
}
