//! Whole runs on moto's interpreter, with the real binaries in our Lambda host. Its waits are those of the definition.

use std::sync::LazyLock;

use stepwell_tests::{block_on, deploy, deployment::Deployment, suite};

static MOTO: LazyLock<Deployment> = LazyLock::new(|| block_on(deploy::hosted("moto", None)));

// First, since its waits are long: the others run beside it.
#[test]
fn exhausted_retries_fail_and_are_told() {
    let moto = &*MOTO;
    block_on(suite::retries_are_exhausted(moto));
}

#[test]
fn the_full_table_is_loaded() {
    let moto = &*MOTO;
    block_on(suite::the_full_table_is_loaded(moto));
}

#[test]
fn a_transient_fault_is_retried_until_it_works() {
    let moto = &*MOTO;
    block_on(suite::a_transient_fault_is_retried_until_it_works(moto));
}

#[test]
fn broken_connections_are_retried() {
    let moto = &*MOTO;
    block_on(suite::broken_connections_are_retried(moto));
}

#[test]
fn a_permanent_error_is_told_and_not_retried() {
    let moto = &*MOTO;
    block_on(suite::a_permanent_error_is_told_and_not_retried(moto));
}

#[test]
fn a_misspelt_input_is_told() {
    let moto = &*MOTO;
    block_on(suite::a_misspelt_input_is_told(moto));
}

#[test]
fn a_failed_success_notice_fails_nothing() {
    let moto = &*MOTO;
    block_on(suite::a_failed_success_notice_fails_nothing(moto));
}

#[test]
fn a_replay_redoes_no_finished_stage() {
    let moto = &*MOTO;
    block_on(suite::a_replay_redoes_no_finished_stage(moto));
}
