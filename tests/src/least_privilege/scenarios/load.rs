//! What `load` does.

use serde_json::{Value, json};

use super::{RECORDS, landed};
use crate::{
    fault_proxy::{Fault, Rule},
    least_privilege::{
        lab::Lab,
        scenario::{Outcome, Scenario, ensure, scenarios},
    },
};

/// The scenarios of `load`.
pub const SCENARIOS: &[Scenario] = scenarios![
    a_run_is_loaded_and_its_staged_data_removed,
    a_load_whose_staged_data_are_gone_says_so,
    a_newer_version_replaces_the_files_of_an_older,
    of_two_versions_of_one_second_the_newer_stays,
    of_two_versions_of_one_second_that_are_gone_the_one_that_is_loaded_last_stays,
    a_huge_file_whose_copy_fails_leaves_no_parts,
];

async fn transformed(lab: &Lab, request: &Value) -> Value {
    let extracted = lab.prepare("extract", request).await;
    lab.prepare("transform", &extracted).await
}

async fn a_run_is_loaded_and_its_staged_data_removed(lab: &Lab) -> Outcome {
    let transformed = transformed(lab, &landed(lab).await).await;
    let loaded = lab.run(&transformed).await?;
    ensure(loaded["records_loaded"] == 3, || format!("{loaded}"))?;
    let report = loaded["report"].as_str().unwrap_or_default().to_owned();
    ensure(lab.get("work", &report).await.is_some(), || format!("no report: {loaded}"))?;
    let staged = lab.keys("work", "staged/").await;
    ensure(staged.is_empty(), || format!("staged still: {staged:?}"))?;
    let announced = lab.keys("lake", "").await.into_iter().filter(|key| key.contains("/loading/")).count();
    ensure(announced == 0, || "the announcement is left".to_owned())
}

async fn a_load_whose_staged_data_are_gone_says_so(lab: &Lab) -> Outcome {
    let transformed = transformed(lab, &landed(lab).await).await;
    let manifest = transformed["manifest"].as_str().unwrap_or_default().to_owned();
    lab.delete("work", &manifest).await;
    let error = lab.run(&transformed).await.err().unwrap_or_default();
    ensure(error.contains("InvalidInput") && error.contains("is gone"), || error)
}

async fn a_newer_version_replaces_the_files_of_an_older(lab: &Lab) -> Outcome {
    let request = landed(lab).await;
    let mut older = transformed(lab, &request).await;
    older["run"]["source"]["modified_ms"] = 0.into();
    lab.run(&older).await?;
    let before = lab.keys("lake", "").await;
    let key = request["key"].as_str().unwrap_or_default().to_owned();
    lab.put("landing", &key, format!("{RECORDS}4,2024-01-03\n")).await;
    let loaded = lab.run(&transformed(lab, &request).await).await?;
    ensure(loaded["commit"] == "committed", || format!("{loaded}"))?;
    let after = lab.keys("lake", "").await;
    let left: Vec<_> = before.iter().filter(|key| key.ends_with(".parquet") && after.contains(key)).collect();
    ensure(left.is_empty(), || format!("replaced and there still: {left:?}"))
}

/// The handoffs of two versions of a key, the older first, that seem to be of the same second. No event tells of them.
async fn versions_of_one_second(lab: &Lab) -> (Value, [Value; 2]) {
    let request = landed(lab).await;
    let older = transformed(lab, &request).await;
    let key = request["key"].as_str().unwrap_or_default();
    lab.put("landing", key, format!("{RECORDS}4,2024-01-03\n")).await;
    let versions = [older, transformed(lab, &request).await].map(|mut transformed| {
        transformed["run"]["source"]["modified_ms"] = 0.into();
        transformed
    });
    (request, versions)
}

async fn of_two_versions_of_one_second_the_newer_stays(lab: &Lab) -> Outcome {
    let (_, [older, newer]) = versions_of_one_second(lab).await;
    lab.run(&newer).await?;
    let loaded = lab.run(&older).await?;
    ensure(loaded["commit"] == "superseded", || format!("{loaded}"))
}

async fn of_two_versions_of_one_second_that_are_gone_the_one_that_is_loaded_last_stays(lab: &Lab) -> Outcome {
    let (request, [older, newer]) = versions_of_one_second(lab).await;
    lab.delete("landing", request["key"].as_str().unwrap_or_default()).await;
    lab.run(&newer).await?;
    let loaded = lab.run(&older).await?;
    ensure(loaded["commit"] == "committed", || format!("{loaded}"))
}

async fn a_huge_file_whose_copy_fails_leaves_no_parts(lab: &Lab) -> Outcome {
    let request = landed(lab).await;
    // One file: what is copied beside one that fails is left to the lifecycle rule.
    lab.put("landing", request["key"].as_str().unwrap_or_default(), "id,day\n1,2024-01-01\n").await;
    let transformed = transformed(lab, &request).await;
    lab.gate.pretend_huge(Some("/work/staged/"));
    let fault = Fault::Error(400, "InvalidRequest");
    // As S3 answers a copy that is too large; what comes then is done in parts, of which moto has not enough bytes.
    let rule = Rule { method: hyper::Method::PUT, path: "/lake/".into(), ends: ".parquet".into(), fault, times: 1 };
    lab.proxy.inject(rule);
    let outcome = lab.run(&transformed).await;
    lab.gate.pretend_huge(None);
    ensure(outcome.is_err(), || "a copy of parts that are not there succeeds".to_owned())?;
    ensure(!lab.has_unfinished_uploads("lake").await, || json!(outcome.err()).to_string())
}
