//! Linters of other origin on the two files that AWS reads: the state machine and the template.

use stepwell_tests::{python, workspace};

#[test]
fn the_state_machine_passes_statelint() {
    let definition = workspace::root().join("statemachine/etl.asl.json");
    let findings = python::run("statelint", &[python::argument(&definition)]);
    assert!(findings.trim().is_empty(), "{findings}");
}

/// On the SAM form cfn-lint misses most of what can be wrong, so it sees the template translated to CloudFormation.
#[test]
fn the_template_passes_cfn_lint() {
    let infra = workspace::root().join("infra");
    let (script, template) = (infra.join("lint.py"), infra.join("template.yaml"));
    println!("{}", python::run("python", &[python::argument(&script), python::argument(&template)]));
}
