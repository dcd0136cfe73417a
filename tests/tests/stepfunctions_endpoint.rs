//! Whole runs on a Step Functions endpoint that the environment names, with the real binaries in our Lambda host:
//!
//! ```sh
//! java -jar StepFunctionsLocal.jar --lambda-endpoint http://127.0.0.1:4574
//! STEPFUNCTIONS_ENDPOINT=http://127.0.0.1:8083 LAMBDA_PORT=4574 \
//!     cargo test --release -p stepwell-tests --test stepfunctions_endpoint -- --ignored
//! ```
//!
//! Without it these tests count as ignored.

use std::sync::LazyLock;

use stepwell_tests::{block_on, deploy, deployment::Deployment, suite};

static NAMED: LazyLock<Deployment> =
    LazyLock::new(|| block_on(deploy::hosted("stepfunctions-endpoint", Some(deploy::named_endpoint()))));

#[test]
#[ignore = "needs STEPFUNCTIONS_ENDPOINT and LAMBDA_PORT"]
fn exhausted_retries_fail_and_are_told() {
    let named = &*NAMED;
    block_on(suite::retries_are_exhausted(named));
}

#[test]
#[ignore = "needs STEPFUNCTIONS_ENDPOINT and LAMBDA_PORT"]
fn the_full_table_is_loaded() {
    let named = &*NAMED;
    block_on(suite::the_full_table_is_loaded(named));
}

#[test]
#[ignore = "needs STEPFUNCTIONS_ENDPOINT and LAMBDA_PORT"]
fn a_transient_fault_is_retried_until_it_works() {
    let named = &*NAMED;
    block_on(suite::a_transient_fault_is_retried_until_it_works(named));
}

#[test]
#[ignore = "needs STEPFUNCTIONS_ENDPOINT and LAMBDA_PORT"]
fn broken_connections_are_retried() {
    let named = &*NAMED;
    block_on(suite::broken_connections_are_retried(named));
}

#[test]
#[ignore = "needs STEPFUNCTIONS_ENDPOINT and LAMBDA_PORT"]
fn a_permanent_error_is_told_and_not_retried() {
    let named = &*NAMED;
    block_on(suite::a_permanent_error_is_told_and_not_retried(named));
}

#[test]
#[ignore = "needs STEPFUNCTIONS_ENDPOINT and LAMBDA_PORT"]
fn a_misspelt_input_is_told() {
    let named = &*NAMED;
    block_on(suite::a_misspelt_input_is_told(named));
}

#[test]
#[ignore = "needs STEPFUNCTIONS_ENDPOINT and LAMBDA_PORT"]
fn a_failed_success_notice_fails_nothing() {
    let named = &*NAMED;
    block_on(suite::a_failed_success_notice_fails_nothing(named));
}

#[test]
#[ignore = "needs STEPFUNCTIONS_ENDPOINT and LAMBDA_PORT"]
fn a_replay_redoes_no_finished_stage() {
    let named = &*NAMED;
    block_on(suite::a_replay_redoes_no_finished_stage(named));
}
