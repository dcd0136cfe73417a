use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use arrow::{
    array::{ArrayRef, RecordBatch, UInt64Array},
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use datafusion::{
    common::Column,
    error::DataFusionError,
    functions_window::expr_fn::row_number,
    logical_expr::{Expr, ExprFunctionExt, SortExpr, lit},
    physical_plan::{ExecutionPlan, SendableRecordBatchStream, execute_stream, stream::RecordBatchStreamAdapter},
    prelude::{DataFrame, SessionContext},
};
use futures::TryStreamExt;
use stepwell_pipeline::spec::{CheckedSpec, Dedupe, Keep};

use super::{
    query::Records,
    scan::{ScanTable, Source},
};

/// The hidden column that counts the records of the SQL's result.
const ORDER: &str = "_stepwell_order";
/// The hidden column that counts the records of one key.
const RANK: &str = "_stepwell_rank";

/// What the SQL gives, with each record's place in it.
struct Numbered {
    session: SessionContext,
    plan: Arc<dyn ExecutionPlan>,
    schema: SchemaRef,
    given: Records,
}

impl std::fmt::Debug for Numbered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Numbered")
    }
}

/// Plans what the load section asks for beyond the SQL: one record of each key, and the records sorted, equal ones in
/// the SQL's order. Returns nothing where it asks for neither.
pub(super) async fn arrange(
    session: &SessionContext,
    spec: &CheckedSpec,
    plan: &Arc<dyn ExecutionPlan>,
    given: &Records,
) -> Result<Option<Arc<dyn ExecutionPlan>>, DataFusionError> {
    let load = &spec.spec.load;
    if spec.dedupe.is_none() && load.sort_by.is_empty() {
        return Ok(None);
    }
    let order = Field::new(ORDER, DataType::UInt64, false);
    let result = plan.schema();
    let fields: Vec<_> = result.fields().iter().cloned().chain([Arc::new(order)]).collect();
    let numbered = Numbered {
        session: session.clone(),
        plan: plan.clone(),
        schema: Arc::new(Schema::new(fields)),
        given: given.clone(),
    };
    let mut frame = session.read_table(Arc::new(ScanTable(Arc::new(numbered))))?;
    if let Some(dedupe) = &spec.dedupe {
        frame = deduplicated(frame, dedupe)?;
    }
    let sorted: Vec<&str> = match &load.sort_by[..] {
        [] => Vec::new(),
        // One partition after the other, so that one file is open at a time.
        columns => {
            spec.partition_columns().into_iter().chain(columns.iter().map(|column| column.value.as_str())).collect()
        }
    };
    let by: Vec<SortExpr> = sorted.iter().map(|name| ascending(name)).chain([ascending(ORDER)]).collect();
    let kept: Vec<Expr> = result.fields().iter().map(|field| column(field.name())).collect();
    let frame = frame.sort(by)?.select(kept)?;
    Ok(Some(frame.create_physical_plan().await?))
}

fn deduplicated(frame: DataFrame, dedupe: &Dedupe) -> Result<DataFrame, DataFusionError> {
    let latest = column(ORDER).sort(false, false);
    let by = match &dedupe.keep {
        Keep::First => vec![ascending(ORDER)],
        Keep::Last => vec![latest],
        Keep::Max(name) => vec![column(name).sort(false, false), latest],
    };
    let key = dedupe.key.iter().map(|name| column(name)).collect();
    let rank = row_number().partition_by(key).order_by(by).build()?.alias(RANK);
    frame.window(vec![rank])?.filter(column(RANK).eq(lit(1_u64)))
}

fn column(name: &str) -> Expr {
    Expr::Column(Column::from_name(name))
}

fn ascending(name: &str) -> SortExpr {
    column(name).sort(true, false)
}

impl Source for Numbered {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn records(&self) -> Option<u64> {
        None
    }

    fn stream(&self, columns: &[usize]) -> Result<SendableRecordBatchStream, DataFusionError> {
        let schema = Arc::new(self.schema.project(columns)?);
        let batches = execute_stream(self.plan.clone(), self.session.task_ctx())?;
        let (given, numbered, columns) = (self.given.clone(), self.schema.clone(), columns.to_vec());
        let next = AtomicU64::new(0);
        let batches = batches.and_then(move |batch| {
            let records = batch.num_rows() as u64;
            given.add(records);
            let first = next.fetch_add(records, Ordering::Relaxed);
            let order: ArrayRef = Arc::new(UInt64Array::from_iter_values(first..first + records));
            let all = batch.columns().iter().cloned().chain([order]).collect();
            let batch = RecordBatch::try_new(numbered.clone(), all).and_then(|batch| batch.project(&columns));
            std::future::ready(batch.map_err(DataFusionError::from))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
    }
}
