use std::{num::NonZeroUsize, sync::Arc};

use datafusion::{
    error::DataFusionError,
    execution::{
        memory_pool::{FairSpillPool, TrackConsumersPool},
        runtime_env::RuntimeEnvBuilder,
        session_state::SessionStateBuilder,
    },
    physical_optimizer::{PhysicalOptimizerRule, optimizer::PhysicalOptimizer},
    prelude::{SessionConfig, SessionContext},
};
use stepwell_pipeline::stage::Limits;

use super::join::SortLargeJoins;

/// So many consumers of memory are named when it is used up.
const CONSUMERS_NAMED: NonZeroUsize = NonZeroUsize::MIN.saturating_add(2);
/// The least memory that a sort keeps back to merge what it spilled.
const SORT_RESERVATION_BYTES_MIN: usize = 256 * 1024;

/// A session with bounded memory, which spills into the system's temporary directory.
///
/// One partition only: what a query gives must not depend on which thread was faster.
pub(super) fn session(limits: &Limits) -> Result<SessionContext, DataFusionError> {
    let mut config = SessionConfig::new().with_target_partitions(1).with_batch_size(limits.batch_records.max(1));
    let options = config.options_mut();
    // Column names are what the header says, capitals included; `OrderId` need not be quoted in the SQL.
    options.sql_parser.enable_ident_normalization = false;
    // It keeps what it holds in memory and cannot spill.
    options.optimizer.enable_window_topn = false;
    options.execution.sort_spill_reservation_bytes =
        (limits.sql_memory_bytes / 16).max(SORT_RESERVATION_BYTES_MIN).min(limits.sql_memory_bytes / 4);
    options.execution.sort_in_place_threshold_bytes =
        options.execution.sort_in_place_threshold_bytes.min(limits.sql_memory_bytes / 16);
    let pool = TrackConsumersPool::new(FairSpillPool::new(limits.sql_memory_bytes), CONSUMERS_NAMED);
    let runtime = RuntimeEnvBuilder::new().with_memory_pool(Arc::new(pool)).build_arc()?;
    let state = SessionStateBuilder::new()
        .with_config(config)
        .with_runtime_env(runtime)
        .with_default_features()
        .with_physical_optimizer_rules(rules(limits.sql_memory_bytes))
        .build();
    Ok(SessionContext::new_with_state(state))
}

/// The engine's rules, and ours after the one that chooses the sides of joins.
fn rules(memory_bytes: usize) -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    let mut rules = PhysicalOptimizer::new().rules;
    let ours = Arc::new(SortLargeJoins::new(memory_bytes));
    let after = rules.iter().position(|rule| rule.name() == "join_selection").map_or(0, |index| index + 1);
    rules.insert(after, ours);
    rules
}
