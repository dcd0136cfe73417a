use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use arrow::datatypes::SchemaRef;
use datafusion::{
    error::DataFusionError,
    execution::context::SQLOptions,
    logical_expr::{Expr, LogicalPlan},
    physical_plan::{ExecutionPlan, SendableRecordBatchStream, execute_stream, filter::FilterExec},
    prelude::{DataFrame, SessionContext},
};
use stepwell_pipeline::{
    ErrorKind, StageError,
    lineage::{ColumnLineage, TableColumn},
    spec::{CheckedSpec, SpecErrors},
    stage::Limits,
};

use super::{
    InputTable, References,
    arrange::arrange,
    explain::{error_at, explained},
    lineage,
    scan::{ScanTable, Source},
    session::session,
};

/// A count that a running query adds to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Records(Arc<AtomicU64>);

impl Records {
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    pub(super) fn add(&self, records: u64) {
        self.0.fetch_add(records, Ordering::AcqRel);
    }
}

/// A planned SQL query over the table `input` and the reference tables.
pub(crate) struct Query {
    session: SessionContext,
    sql: Arc<dyn ExecutionPlan>,
    arranged: Option<Arc<dyn ExecutionPlan>>,
    given: Records,
    row_wise: bool,
}

/// What became of the records of a finished query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Those that the SQL's conditions left out; nothing for SQL that is not row-wise.
    pub(crate) filtered: Option<u64>,
    /// Those that `dedupe` left out; nothing without it.
    pub(crate) duplicate: Option<u64>,
    /// The bytes that went through temporary files.
    pub(crate) bytes_spilled: u64,
}

impl Query {
    /// Plans the pipeline's SQL, and the arrangement that its load section asks for.
    ///
    /// # Errors
    /// `InvalidSpec` for SQL that does not fit the tables.
    pub(crate) async fn plan(
        spec: &CheckedSpec,
        limits: &Limits,
        input: InputTable,
        references: &References,
    ) -> Result<Self, StageError> {
        let mut engine = session(limits).map_err(failed)?;
        let mut frame = frame(&engine, spec, Arc::new(input.clone()), references).await?;
        let row_wise = is_plan_row_wise(frame.logical_plan());
        let passed = if row_wise { passed_columns(frame.logical_plan(), spec) } else { BTreeSet::new() };
        if !passed.is_empty() {
            engine = session(limits).map_err(failed)?;
            frame = self::frame(&engine, spec, Arc::new(input.with_columns_as_staged(&passed)), references).await?;
        }
        let sql = frame.create_physical_plan().await.map_err(failed)?;
        let given = Records::default();
        let arranged = arrange(&engine, spec, &sql, &given).await.map_err(failed)?;
        Ok(Self { session: engine, sql, arranged, given, row_wise })
    }

    /// The schema of what the query gives.
    pub(crate) fn schema(&self) -> SchemaRef {
        self.outermost().schema()
    }

    /// Starts the query.
    ///
    /// # Errors
    /// As [`failed`] says.
    pub(crate) fn execute(&self) -> Result<SendableRecordBatchStream, StageError> {
        execute_stream(self.outermost().clone(), self.session.task_ctx()).map_err(failed)
    }

    fn outermost(&self) -> &Arc<dyn ExecutionPlan> {
        self.arranged.as_ref().unwrap_or(&self.sql)
    }

    /// Holds the counts of a finished query against each other: in = out + filtered + duplicate for row-wise SQL.
    ///
    /// # Errors
    /// `ReconciliationFailed` where they do not add up.
    pub(crate) fn reconcile(&self, accepted: u64, scanned: u64, out: u64, dedupes: bool) -> Result<Counts, StageError> {
        let unequal = |message: String| StageError::new(ErrorKind::ReconciliationFailed, message);
        let given = if self.arranged.is_some() { self.given.get() } else { out };
        let duplicate = given
            .checked_sub(out)
            .ok_or_else(|| unequal(format!("{given} records given by the SQL, but {out} written")))?;
        if duplicate > 0 && !dedupes {
            return Err(unequal(format!("{given} records given by the SQL, but {out} written")));
        }
        let bytes_spilled = spilled(&*self.sql) + self.arranged.as_ref().map_or(0, |plan| spilled(&**plan));
        let duplicate = dedupes.then_some(duplicate);
        if !self.row_wise {
            return Ok(Counts { filtered: None, duplicate, bytes_spilled });
        }
        // SQL whose conditions can never hold scans nothing.
        if scanned != accepted && !(scanned == 0 && given == 0) {
            return Err(unequal(format!("{accepted} records accepted, but {scanned} given to the SQL")));
        }
        let passed = passed_by_filter(&*self.sql).unwrap_or(scanned);
        if passed != given {
            return Err(unequal(format!(
                "{passed} records given by the SQL, but {given} written or left out as duplicates"
            )));
        }
        Ok(Counts { filtered: Some(accepted - given), duplicate, bytes_spilled })
    }
}

/// What a pipeline's SQL is like, whatever the data.
pub(crate) struct Shape {
    /// Whether every record of the result comes from one record of the input.
    pub(crate) is_row_wise: bool,
    /// The columns that it gives.
    pub(crate) columns: Vec<TableColumn>,
    /// Where they come from.
    pub(crate) lineage: ColumnLineage,
}

/// Looks at a pipeline's SQL.
///
/// # Errors
/// `InvalidSpec` for SQL that does not fit the tables.
pub(crate) async fn shape(
    spec: &CheckedSpec,
    limits: &Limits,
    input: InputTable,
    references: &References,
) -> Result<Shape, StageError> {
    let session = session(limits).map_err(failed)?;
    let frame = frame(&session, spec, Arc::new(input), references).await?;
    let plan = frame.logical_plan();
    Ok(Shape {
        is_row_wise: is_plan_row_wise(plan),
        columns: lineage::columns(plan),
        lineage: lineage::lineage(plan, spec),
    })
}

/// The error of a query that failed on the data.
pub(crate) fn failed(error: DataFusionError) -> StageError {
    let root = error.find_root();
    if let DataFusionError::External(inner) = root
        && let Some(stage_error) = inner.downcast_ref::<StageError>()
    {
        return StageError::new(stage_error.kind(), stage_error.report());
    }
    let what = error.strip_backtrace();
    let message = match root {
        DataFusionError::ResourcesExhausted(_) => format!(
            "the SQL needs more memory or temporary storage than there is, and this part of it cannot spill: give the \
             function more of both, select fewer columns, or join and group by less: {what}"
        ),
        _ => format!("the SQL failed: {what}"),
    };
    StageError::new(ErrorKind::TransformFailed, message)
}

/// The query over its tables, not yet planned physically.
pub(super) async fn frame(
    session: &SessionContext,
    spec: &CheckedSpec,
    input: Arc<dyn Source>,
    references: &References,
) -> Result<DataFrame, SpecErrors> {
    let sql = &spec.spec.transform.sql;
    let names: Vec<&str> = std::iter::once("input").chain(references.0.iter().map(|(name, _)| name.as_str())).collect();
    let wrong = |error: DataFusionError| SpecErrors(vec![error_at(spec, sql, explained(&error, &names))]);
    session.register_table("input", Arc::new(ScanTable(input))).map_err(wrong)?;
    for (name, table) in &references.0 {
        let table_name = datafusion::common::TableReference::bare(name.as_str());
        session.register_table(table_name, Arc::new(ScanTable(table.clone()))).map_err(wrong)?;
    }
    let only_queries = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    session.sql_with_options(&sql.value, only_queries).await.map_err(wrong)
}

fn is_plan_row_wise(plan: &LogicalPlan) -> bool {
    let node = match plan {
        LogicalPlan::Projection(_) | LogicalPlan::Filter(_) | LogicalPlan::SubqueryAlias(_) => true,
        LogicalPlan::TableScan(scan) => scan.fetch.is_none() && scan.table_name.table() == "input",
        _ => false,
    };
    let mut has_subquery = false;
    // Visiting cannot fail: the closure never does.
    let _ = plan.apply_subqueries(|_| {
        has_subquery = true;
        Ok(datafusion::common::tree_node::TreeNodeRecursion::Stop)
    });
    node && !has_subquery && plan.inputs().into_iter().all(is_plan_row_wise)
}

/// The columns of `input` that row-wise SQL gives as they are, and neither it nor the spec's load section looks at.
fn passed_columns(plan: &LogicalPlan, spec: &CheckedSpec) -> BTreeSet<String> {
    let load = &spec.spec.load;
    let LogicalPlan::Projection(projection) = plan else { return BTreeSet::new() };
    if !load.sort_by.is_empty() || spec.dedupe.is_some() {
        return BTreeSet::new();
    }
    let mut looked_at = BTreeSet::new();
    let mut below = &*projection.input;
    while !matches!(below, LogicalPlan::TableScan(_)) {
        below = match below {
            LogicalPlan::Filter(filter) => {
                looked_at.extend(filter.predicate.column_refs());
                &filter.input
            }
            LogicalPlan::SubqueryAlias(alias) => &alias.input,
            _ => return BTreeSet::new(),
        };
    }
    let named: BTreeSet<&str> =
        load.partition_by.iter().chain(&load.bloom_filters).map(|column| column.value.as_str()).collect();
    let mut given = BTreeSet::new();
    for (expression, field) in projection.expr.iter().zip(plan.schema().fields()) {
        match expression.clone().unalias() {
            Expr::Column(column) if !named.contains(field.name().as_str()) => _ = given.insert(column.name),
            _ => looked_at.extend(expression.column_refs()),
        }
    }
    looked_at.into_iter().for_each(|column| _ = given.remove(&column.name));
    given
}

/// The records that the outermost condition let through, where there is a condition.
fn passed_by_filter(plan: &dyn ExecutionPlan) -> Option<u64> {
    if plan.is::<FilterExec>() {
        return plan.metrics()?.output_rows().map(|rows| rows as u64);
    }
    plan.children().into_iter().find_map(|child| passed_by_filter(&**child))
}

fn spilled(plan: &dyn ExecutionPlan) -> u64 {
    let own = plan.metrics().and_then(|metrics| metrics.spilled_bytes()).unwrap_or_default() as u64;
    own + plan.children().into_iter().map(|child| spilled(&**child)).sum::<u64>()
}
