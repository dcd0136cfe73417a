use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use datafusion::{
    catalog::streaming::StreamingTable,
    common::{Column, SchemaError},
    error::DataFusionError,
    execution::context::SQLOptions,
    logical_expr::LogicalPlan,
    physical_plan::{
        ExecutionPlan, SendableRecordBatchStream, execute_stream, filter::FilterExec, streaming::PartitionStream,
    },
    prelude::{DataFrame, SessionConfig, SessionContext},
};
use parquet::arrow::ArrowSchemaConverter;
use stepwell_pipeline::{
    ErrorKind, StageError,
    spec::{CheckedSpec, Spanned, SpecError, SpecErrors, nearest},
};

use crate::input::InputTable;

/// A planned SQL query over the table `input`.
pub(crate) struct Query {
    session: SessionContext,
    plan: Arc<dyn ExecutionPlan>,
    row_wise: bool,
}

impl Query {
    /// Plans the pipeline's SQL.
    ///
    /// # Errors
    /// `InvalidSpec` for SQL that does not fit the schema.
    pub(crate) async fn plan(spec: &CheckedSpec, input: InputTable) -> Result<Self, StageError> {
        let session = session();
        let frame = frame(&session, spec, Arc::new(input)).await?;
        let row_wise = is_row_wise(frame.logical_plan());
        let plan = frame.create_physical_plan().await.map_err(failed)?;
        Ok(Self { session, plan, row_wise })
    }

    /// The schema of what the query gives.
    pub(crate) fn schema(&self) -> SchemaRef {
        self.plan.schema()
    }

    /// Starts the query.
    pub(crate) fn execute(&self) -> Result<SendableRecordBatchStream, StageError> {
        execute_stream(self.plan.clone(), self.session.task_ctx()).map_err(failed)
    }

    /// Holds the counts of a finished query against each other. Returns the records that row-wise SQL left out.
    ///
    /// # Errors
    /// `ReconciliationFailed` where they do not add up.
    pub(crate) fn reconcile(&self, accepted: u64, scanned: u64, out: u64) -> Result<Option<u64>, StageError> {
        if !self.row_wise {
            return Ok(None);
        }
        let unequal = |message: String| StageError::new(ErrorKind::ReconciliationFailed, message);
        // SQL whose conditions can never hold scans nothing.
        if scanned != accepted && !(scanned == 0 && out == 0) {
            return Err(unequal(format!("{accepted} records accepted, but {scanned} given to the SQL")));
        }
        let passed = passed_by_filter(&*self.plan).unwrap_or(scanned);
        if passed != out {
            return Err(unequal(format!("{passed} records given by the SQL, but {out} written")));
        }
        Ok(Some(accepted - out))
    }
}

/// The error of a query that failed on the data.
pub(crate) fn failed(error: DataFusionError) -> StageError {
    if let DataFusionError::External(inner) = error.find_root()
        && let Some(stage_error) = inner.downcast_ref::<StageError>()
    {
        return StageError::new(stage_error.kind(), stage_error.report());
    }
    StageError::new(ErrorKind::TransformFailed, format!("the SQL failed: {}", error.strip_backtrace()))
}

/// Checks a spec's SQL and partition columns against its schema. Returns the schema of what the SQL gives.
///
/// # Errors
/// What is wrong, with file, line and the nearest valid name.
pub async fn check(spec: &CheckedSpec) -> Result<SchemaRef, SpecErrors> {
    let session = session();
    let frame = frame(&session, spec, Arc::new(NoRecords(spec.arrow_schema()))).await?;
    let schema = Arc::new(frame.schema().as_arrow().clone());
    let mut errors = Vec::new();
    for column in &spec.spec.load.partition_by {
        let names = schema.fields().iter().map(|field| field.name().as_str());
        match schema.field_with_name(&column.value) {
            Ok(field) if is_partition_type(field.data_type()) => {}
            Ok(field) => {
                let message = format!("`{}` is {} and cannot be a partition column", column.value, field.data_type());
                errors.push(error_at(spec, column, message));
            }
            Err(_) => {
                let message =
                    format!("the SQL gives no column `{}` to partition by{}", column.value, hint(&column.value, names));
                errors.push(error_at(spec, column, message));
            }
        }
    }
    if schema.fields().len() <= spec.spec.load.partition_by.len() {
        let message = "every column is a partition column; a file needs at least one of its own";
        errors.push(error_at(spec, &spec.spec.load.path, message.to_owned()));
    }
    if let Err(error) = ArrowSchemaConverter::new().convert(&schema) {
        errors.push(error_at(
            spec,
            &spec.spec.transform.sql,
            format!("the SQL gives what Parquet cannot hold: {error}"),
        ));
    }
    if errors.is_empty() { Ok(schema) } else { Err(SpecErrors(errors)) }
}

fn session() -> SessionContext {
    let mut config = SessionConfig::new().with_target_partitions(1);
    // Column names are what the header says, capitals included; `OrderId` need not be quoted in the SQL.
    config.options_mut().sql_parser.enable_ident_normalization = false;
    SessionContext::new_with_config(config)
}

async fn frame(
    session: &SessionContext,
    spec: &CheckedSpec,
    input: Arc<dyn PartitionStream>,
) -> Result<DataFrame, SpecErrors> {
    let wrong = |error: DataFusionError| SpecErrors(vec![error_at(spec, &spec.spec.transform.sql, explained(&error))]);
    let table = StreamingTable::try_new(input.schema().clone(), vec![input]).map_err(wrong)?;
    session.register_table("input", Arc::new(table)).map_err(wrong)?;
    let only_queries = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    session.sql_with_options(&spec.spec.transform.sql.value, only_queries).await.map_err(wrong)
}

fn explained(error: &DataFusionError) -> String {
    match error.find_root() {
        DataFusionError::SchemaError(schema_error, _) => match schema_error.as_ref() {
            SchemaError::FieldNotFound { field, valid_fields } => {
                let names = valid_fields.iter().map(Column::name);
                format!("the SQL names a column `{}` that does not exist{}", field.name, hint(&field.name, names))
            }
            other => format!("the SQL is wrong: {other}"),
        },
        DataFusionError::Plan(message) if message.contains("not found") && message.contains("table") => {
            format!("the SQL is wrong: {message}; the only table is `input`")
        }
        DataFusionError::Plan(message) => format!("the SQL is wrong: {message}"),
        other => format!("the SQL is wrong: {}", other.strip_backtrace()),
    }
}

fn hint<'a>(name: &str, valid: impl Iterator<Item = &'a str>) -> String {
    let valid: Vec<_> = valid.collect();
    match nearest(name, valid.iter().copied()) {
        Some(meant) => format!("; did you mean `{meant}`?"),
        None => format!("; there are `{}`", valid.join("`, `")),
    }
}

fn error_at<T>(spec: &CheckedSpec, at: &Spanned<T>, message: String) -> SpecError {
    SpecError { file: spec.file.clone(), line: at.referenced.line(), message }
}

fn is_partition_type(data_type: &DataType) -> bool {
    data_type.is_integer()
        || data_type.is_string()
        || matches!(
            data_type,
            DataType::Boolean | DataType::Date32 | DataType::Decimal128(..) | DataType::Timestamp(..)
        )
}

/// Whether every record of the result comes from one record of the input.
fn is_row_wise(plan: &LogicalPlan) -> bool {
    let node = match plan {
        LogicalPlan::Projection(_) | LogicalPlan::Filter(_) | LogicalPlan::SubqueryAlias(_) => true,
        LogicalPlan::TableScan(scan) => scan.fetch.is_none(),
        _ => false,
    };
    let mut has_subquery = false;
    // Visiting cannot fail: the closure never does.
    let _ = plan.apply_subqueries(|_| {
        has_subquery = true;
        Ok(datafusion::common::tree_node::TreeNodeRecursion::Stop)
    });
    node && !has_subquery && plan.inputs().into_iter().all(is_row_wise)
}

/// The records that the outermost condition let through, where there is a condition.
fn passed_by_filter(plan: &dyn ExecutionPlan) -> Option<u64> {
    if plan.is::<FilterExec>() {
        return plan.metrics()?.output_rows().map(|rows| rows as u64);
    }
    plan.children().into_iter().find_map(|child| passed_by_filter(&**child))
}

/// The table `input` without records, to plan with.
#[derive(Debug)]
struct NoRecords(SchemaRef);

impl PartitionStream for NoRecords {
    fn schema(&self) -> &SchemaRef {
        &self.0
    }

    fn execute(&self, _: Arc<datafusion::execution::TaskContext>) -> SendableRecordBatchStream {
        Box::pin(datafusion::physical_plan::EmptyRecordBatchStream::new(self.0.clone()))
    }
}
