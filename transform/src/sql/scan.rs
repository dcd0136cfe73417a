use std::{fmt, sync::Arc};

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::{
    catalog::{Session, TableProvider},
    common::{Statistics, stats::Precision, tree_node::TreeNodeRecursion},
    error::DataFusionError,
    execution::TaskContext,
    logical_expr::{Expr, TableType},
    physical_expr::{EquivalenceProperties, Partitioning},
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, PhysicalExpr, PlanProperties, ReplaceChildrenOptions,
        SendableRecordBatchStream,
        execution_plan::{Boundedness, EmissionType},
    },
};

/// A table that is read once from its beginning, in order.
pub(super) trait Source: fmt::Debug + Send + Sync {
    /// The columns of the table.
    fn schema(&self) -> SchemaRef;

    /// How many records there are, where it is known; joins hang on it.
    fn records(&self) -> Option<u64>;

    /// The records, with the columns of those indices.
    fn stream(&self, columns: &[usize]) -> Result<SendableRecordBatchStream, DataFusionError>;
}

/// A [`Source`] as the engine wants it.
#[derive(Debug)]
pub(super) struct ScanTable(pub(super) Arc<dyn Source>);

#[async_trait]
impl TableProvider for ScanTable {
    fn schema(&self) -> SchemaRef {
        self.0.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        let schema = self.0.schema();
        let columns = projection.cloned().unwrap_or_else(|| (0..schema.fields().len()).collect());
        let projected = Arc::new(schema.project(&columns)?);
        let properties = PlanProperties::new(
            EquivalenceProperties::new(projected),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Ok(Arc::new(ScanExec { source: self.0.clone(), columns, properties: Arc::new(properties) }))
    }
}

#[derive(Debug)]
struct ScanExec {
    source: Arc<dyn Source>,
    columns: Vec<usize>,
    properties: Arc<PlanProperties>,
}

impl DisplayAs for ScanExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ScanExec: {} columns", self.columns.len())
    }
}

impl ExecutionPlan for ScanExec {
    fn name(&self) -> &'static str {
        "ScanExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion, DataFusionError>,
    ) -> Result<TreeNodeRecursion, DataFusionError> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        Ok(self)
    }

    fn with_new_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        Ok(self)
    }

    fn execute(&self, _: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream, DataFusionError> {
        self.source.stream(&self.columns)
    }

    fn partition_statistics(&self, _: Option<usize>) -> Result<Arc<Statistics>, DataFusionError> {
        let mut statistics = Statistics::new_unknown(&self.schema());
        if let Some(records) = self.source.records().and_then(|records| usize::try_from(records).ok()) {
            // Inexact, so that no count is answered from it without reading.
            statistics.num_rows = Precision::Inexact(records);
        }
        Ok(Arc::new(statistics))
    }
}
