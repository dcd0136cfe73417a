use std::{collections::BTreeSet, sync::Arc};

use arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::{
    error::DataFusionError,
    physical_plan::{EmptyRecordBatchStream, SendableRecordBatchStream},
};
use futures::{FutureExt, future::BoxFuture};
use parquet::arrow::ArrowSchemaConverter;
use stepwell_pipeline::{
    spec::{CheckedSpec, Keep, Spanned, SpecError, SpecErrors},
    stage::{Limits, StageContext},
};

use super::{
    References,
    explain::{error_at, explained, hint},
    query::frame,
    scan::Source,
    session::session,
};

/// How far a spec's SQL was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Checked {
    /// Against all its tables: the schema of what it gives.
    Whole(SchemaRef),
    /// Only whether it can be parsed, since the reference tables were not at hand.
    Parsed,
}

/// Checks a spec's SQL and what its load section names against the schema. Without a context, reference tables cannot be
/// looked at, and SQL over them is parsed only.
///
/// # Errors
/// What is wrong, with file, line and the nearest valid name.
pub fn check<'a>(
    spec: &'a CheckedSpec,
    context: Option<&'a StageContext>,
) -> BoxFuture<'a, Result<Checked, SpecErrors>> {
    whole(spec, context).boxed()
}

async fn whole(spec: &CheckedSpec, context: Option<&StageContext>) -> Result<Checked, SpecErrors> {
    let limits = context.map_or_else(Limits::default, |context| context.limits);
    let sql = &spec.spec.transform.sql;
    let of_sql = |error: DataFusionError| SpecErrors(vec![error_at(spec, sql, explained(&error, &["input"]))]);
    let session = session(&limits).map_err(of_sql)?;
    let references = match (context, &spec.spec.transform.references[..]) {
        (_, []) => References::default(),
        (None, _) => {
            session
                .state()
                .sql_to_statement(&sql.value, &session.state().config_options().sql_parser.dialect)
                .map_err(of_sql)?;
            return Ok(Checked::Parsed);
        }
        (Some(context), [first, ..]) => References::open(context, spec)
            .await
            .map_err(|error| SpecErrors(vec![error_at(spec, &first.path, error.report())]))?,
    };
    let frame = frame(&session, spec, Arc::new(NoRecords(spec.arrow_schema())), &references).await?;
    let schema = Arc::new(frame.schema().as_arrow().clone());
    let errors = wrong_columns(spec, &schema);
    if errors.is_empty() { Ok(Checked::Whole(schema)) } else { Err(SpecErrors(errors)) }
}

fn wrong_columns(spec: &CheckedSpec, schema: &Schema) -> Vec<SpecError> {
    let load = &spec.spec.load;
    let mut errors = Vec::new();
    let mut look = |column: &Spanned<String>, name: &str, purpose: &str, fits: fn(&DataType) -> bool| {
        let names = schema.fields().iter().map(|field| field.name().as_str());
        let message = match schema.field_with_name(name) {
            Ok(field) if fits(field.data_type()) => return,
            Ok(field) => format!("`{name}` is {} and cannot be {purpose}", field.data_type()),
            Err(_) => format!("the SQL gives no column `{name}` {}{}", to_be(purpose), hint(name, names)),
        };
        errors.push(error_at(spec, column, message));
    };
    for column in &load.partition_by {
        look(column, &column.value, "a partition column", is_partition_type);
    }
    for column in &load.sort_by {
        look(column, &column.value, "sorted by", is_ordered);
    }
    for column in &load.bloom_filters {
        look(column, &column.value, "given a bloom filter", has_bloom_filter);
    }
    if let (Some(written), Some(dedupe)) = (&load.dedupe, &spec.dedupe) {
        for column in &written.key {
            look(column, &column.value, "a key", is_ordered);
        }
        if let Keep::Max(column) = &dedupe.keep {
            look(&written.keep, column, "compared", is_ordered);
        }
    }
    for column in load.bloom_filters.iter().filter(|column| spec.partition_columns().contains(&column.value.as_str())) {
        let message =
            format!("`{}` is a partition column and needs no bloom filter; files do not hold it", column.value);
        errors.push(error_at(spec, column, message));
    }
    if schema.fields().len() <= load.partition_by.len() {
        let message = "every column is a partition column; a file needs at least one of its own";
        errors.push(error_at(spec, &load.path, message.to_owned()));
    }
    let mut names = BTreeSet::new();
    for field in schema.fields().iter().filter(|field| !names.insert(field.name().as_str())) {
        let message = format!("the SQL gives two columns `{}`; rename one with AS", field.name());
        errors.push(error_at(spec, &spec.spec.transform.sql, message));
    }
    if let Err(error) = ArrowSchemaConverter::new().convert(schema) {
        let message = format!("the SQL gives what Parquet cannot hold: {error}");
        errors.push(error_at(spec, &spec.spec.transform.sql, message));
    }
    errors
}

fn to_be(purpose: &str) -> &str {
    match purpose {
        "a partition column" => "to partition by",
        "sorted by" => "to sort by",
        "given a bloom filter" => "to give a bloom filter",
        "a key" => "to tell duplicates by",
        _ => "to choose among duplicates by",
    }
}

fn is_partition_type(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, value) => is_partition_type(value),
        DataType::Boolean | DataType::Date32 | DataType::Timestamp(..) => true,
        other => other.is_integer() || other.is_string() || other.is_decimal(),
    }
}

fn is_ordered(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, value) => is_ordered(value),
        other => !other.is_nested(),
    }
}

fn has_bloom_filter(data_type: &DataType) -> bool {
    is_ordered(data_type) && !matches!(data_type, DataType::Boolean)
}

/// The table `input` without records, to plan with.
#[derive(Debug)]
struct NoRecords(SchemaRef);

impl Source for NoRecords {
    fn schema(&self) -> SchemaRef {
        self.0.clone()
    }

    fn records(&self) -> Option<u64> {
        None
    }

    fn stream(&self, columns: &[usize]) -> Result<SendableRecordBatchStream, DataFusionError> {
        Ok(Box::pin(EmptyRecordBatchStream::new(Arc::new(self.0.project(columns)?))))
    }
}
