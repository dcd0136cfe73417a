use std::sync::Arc;

use arrow::{compute::SortOptions, datatypes::Schema};
use datafusion::{
    common::{
        config::ConfigOptions,
        tree_node::{Transformed, TransformedResult, TreeNode},
    },
    error::DataFusionError,
    physical_optimizer::PhysicalOptimizerRule,
    physical_plan::{
        ExecutionPlan, StatisticsArgs, StatisticsContext,
        joins::{HashJoinExec, SortMergeJoinExec},
    },
};

/// The share of the memory that a hash join's table may take.
const HASH_TABLE_SHARE: usize = 3;
/// What a text, a list or a struct is taken to hold on average, in bytes.
const VARIABLE_WIDTH_BYTES: usize = 48;

/// Joins by sorting both sides, which can spill, where the smaller side may be too large for a hash table, which
/// cannot.
#[derive(Debug)]
pub(super) struct SortLargeJoins {
    hash_table_bytes_max: usize,
}

impl SortLargeJoins {
    pub(super) fn new(memory_bytes: usize) -> Self {
        Self { hash_table_bytes_max: memory_bytes / HASH_TABLE_SHARE }
    }

    fn fits(&self, build: &dyn ExecutionPlan) -> bool {
        let Ok(statistics) = StatisticsContext::new().compute(build, &StatisticsArgs::new()) else { return false };
        let rows = statistics.num_rows.get_value();
        rows.is_some_and(|rows| rows.saturating_mul(row_bytes(&build.schema())) <= self.hash_table_bytes_max)
    }

    fn replaced(&self, plan: Arc<dyn ExecutionPlan>) -> Result<Transformed<Arc<dyn ExecutionPlan>>, DataFusionError> {
        let Some(join) = plan.downcast_ref::<HashJoinExec>() else { return Ok(Transformed::no(plan)) };
        let replaceable = !join.contains_projection() && !join.null_aware && !join.on().is_empty();
        if !replaceable || self.fits(&**join.left()) {
            return Ok(Transformed::no(plan));
        }
        let sorted = SortMergeJoinExec::try_new(
            join.left().clone(),
            join.right().clone(),
            join.on().to_vec(),
            join.filter().cloned(),
            *join.join_type(),
            vec![SortOptions::default(); join.on().len()],
            join.null_equality(),
        );
        // Some kinds of join exist only with a hash table.
        Ok(sorted.map_or(Transformed::no(plan), |join| Transformed::yes(Arc::new(join))))
    }
}

impl PhysicalOptimizerRule for SortLargeJoins {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        plan.transform_up(|plan| self.replaced(plan)).data()
    }

    fn name(&self) -> &'static str {
        "sort_large_joins"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// About how many bytes a record takes in a hash table.
fn row_bytes(schema: &Schema) -> usize {
    const ENTRY_BYTES: usize = 16;
    let width =
        |field: &Arc<arrow::datatypes::Field>| field.data_type().primitive_width().unwrap_or(VARIABLE_WIDTH_BYTES);
    ENTRY_BYTES + schema.fields().iter().map(width).sum::<usize>()
}
