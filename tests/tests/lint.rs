//! Checks of the two files that AWS reads: the state machine and the template.

use stepwell_tests::{python, workspace};

#[test]
fn the_state_machine_passes_statelint() {
    let definition = workspace::root().join("statemachine/etl.asl.json");
    let findings = python::run("statelint", &[python::argument(&definition)]);
    assert!(findings.trim().is_empty(), "{findings}");
}

#[test]
fn the_template_passes_cfn_lint() {
    check(&["--tool", "cfn-lint"]);
}

#[test]
fn the_template_passes_cdk_nag() {
    check(&["--tool", "cdk-nag"]);
}

#[test]
fn the_template_passes_cfn_guard() {
    check(&["--tool", "cfn-guard"]);
}

#[test]
fn the_template_passes_checkov() {
    check(&["--tool", "checkov"]);
}

#[test]
fn the_template_passes_parliament() {
    check(&["--tool", "parliament"]);
}

#[test]
fn the_template_passes_our_own_checks() {
    check(&["--tool", "own"]);
}

/// Seeded faults show what the checks find, and this that they find no more.
#[test]
fn the_checks_take_what_is_right_for_right() {
    let tests = workspace::root().join("infra/check/test_check.py");
    python::INFRA.run("python", &["-B", python::argument(&tests)]);
}

/// Each fault that is put into the template is found, and the page says by which tool.
#[test]
fn every_seeded_fault_is_found() {
    let page = workspace::root().join("docs/infra-checks.md");
    check(&["--faults", "--docs", python::argument(&page)]);
}

fn check(options: &[&str]) {
    let infra = workspace::root().join("infra");
    let (program, template) = (infra.join("check"), infra.join("template.yaml"));
    let arguments = [&["-B", python::argument(&program), python::argument(&template)], options].concat();
    println!("{}", python::INFRA.run("python", &arguments));
}
