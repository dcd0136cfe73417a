//! What `extract` does.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{digits, landed};
use crate::{
    fault_proxy::{Fault, Rule},
    least_privilege::{
        lab::Lab,
        scenario::{Outcome, Scenario, ensure, scenarios},
    },
};

/// The scenarios of `extract`.
pub const SCENARIOS: &[Scenario] = scenarios![
    an_object_is_extracted,
    an_object_that_is_not_there_is_told_as_missing,
    a_batch_is_extracted,
    a_loaded_run_is_not_extracted_again,
    a_run_whose_parts_are_gone_is_extracted_again,
    rounds_leave_no_checkpoint_behind,
    a_large_part_whose_upload_fails_leaves_nothing,
    large_rejects_whose_upload_fails_leave_nothing,
];

async fn an_object_is_extracted(lab: &Lab) -> Outcome {
    let extracted = lab.run(&landed(lab).await).await?;
    ensure(extracted["records_rejected"] == 1, || format!("{extracted}"))
}

async fn an_object_that_is_not_there_is_told_as_missing(lab: &Lab) -> Outcome {
    let request = landed(lab).await;
    lab.delete("landing", request["key"].as_str().unwrap_or_default()).await;
    let error = lab.run(&request).await.err().unwrap_or_default();
    ensure(error.contains("SourceMissing"), || error)
}

async fn a_batch_is_extracted(lab: &Lab) -> Outcome {
    let request = landed(lab).await;
    let key = request["key"].as_str().unwrap_or_default();
    let name = key.split('/').next().unwrap_or_default();
    let head = lab.endpoint.s3().head_object().bucket("landing").key(key).send().await.expect("the object is there");
    let member = json!({
        "bucket": "landing",
        "key": key,
        "etag": head.e_tag().unwrap_or_default(),
        "version": head.version_id(),
        "size": head.content_length(),
        "modified_ms": 0,
    });
    let list = format!("batches/{name}/1.json");
    let document = json!({"pipeline": name, "revision": 1, "members": [member]});
    lab.put("work", &list, document.to_string()).await;
    let extracted = lab.run(&json!({"bucket": "work", "key": list})).await?;
    ensure(extracted["records_read"] == 4, || format!("{extracted}"))
}

async fn a_loaded_run_is_not_extracted_again(lab: &Lab) -> Outcome {
    let request = landed(lab).await;
    let extracted = lab.prepare("extract", &request).await;
    let transformed = lab.prepare("transform", &extracted).await;
    lab.prepare("load", &transformed).await;
    lab.run(&request).await?;
    let staged = lab.keys("work", "staged/").await;
    ensure(staged.is_empty(), || format!("extracted again: {staged:?}"))
}

async fn a_run_whose_parts_are_gone_is_extracted_again(lab: &Lab) -> Outcome {
    let request = landed(lab).await;
    lab.prepare("extract", &request).await;
    for key in lab.keys("work", "staged/").await {
        lab.delete("work", &key).await;
    }
    lab.run(&request).await?;
    ensure(!lab.keys("work", "staged/").await.is_empty(), || "nothing is staged".to_owned())
}

async fn texts(lab: &Lab, columns: &str, records: usize) -> Value {
    let name = format!("texts{}", lab.unique());
    let spec = format!(
        "pipeline: {name}
source: {{ match: \"{name}/*.csv\" }}
schema: {columns}
rejects: {{ tolerate: \"100%\" }}
load: {{ target: parquet, path: lake/{name}/ }}
"
    );
    lab.put("work", &format!("pipelines/{name}.yaml"), spec).await;
    let key = format!("{name}/a.csv");
    lab.put("landing", &key, digits(records)).await;
    json!({"bucket": "landing", "key": key})
}

const TEXTS: &str = "[{ name: id, type: int64 }, { name: text, type: string }]";
const REJECTS: &str = "[{ name: id, type: int64 }, { name: text, type: date }]";

async fn rounds_leave_no_checkpoint_behind(lab: &Lab) -> Outcome {
    // Rejects alone: a round ends where a part does, or a portion of rejects is stored, and those are the smaller.
    let request = texts(lab, REJECTS, 160_000).await;
    // When the first bytes come, it is time to save a checkpoint; what is left until the deadline is enough for that.
    let (time, late) = (Duration::from_secs(8), Duration::from_millis(5_800));
    lab.gate.hold(Some(("/landing/", Instant::now() + late)));
    let request = lab.prepare_within("extract", &request, time).await;
    ensure(request["more"] == true, || format!("one round did it all: {request}"))?;
    let kept = lab.keys("work", "staged/").await;
    ensure(kept.iter().any(|key| key.contains("checkpoint")), || format!("no checkpoint: {kept:?}"))?;
    let extracted = lab.run(&request).await?;
    ensure(extracted["records_read"] == 160_000, || format!("{extracted}"))?;
    let left: Vec<_> = lab.keys("work", "staged/").await;
    let left: Vec<_> = left.into_iter().filter(|key| !key.contains("/part-")).collect();
    ensure(left.is_empty(), || format!("left: {left:?}"))
}

async fn a_large_part_whose_upload_fails_leaves_nothing(lab: &Lab) -> Outcome {
    fails_and_leaves_nothing(lab, TEXTS, 280_000, "/work/staged/").await
}

async fn large_rejects_whose_upload_fails_leave_nothing(lab: &Lab) -> Outcome {
    fails_and_leaves_nothing(lab, REJECTS, 160_000, "/work/runs/").await
}

async fn fails_and_leaves_nothing(lab: &Lab, columns: &str, records: usize, path: &str) -> Outcome {
    let request = texts(lab, columns, records).await;
    let name = request["key"].as_str().unwrap_or_default().split('/').next().unwrap_or_default();
    // For all attempts of all parts: the answer comes before the body is read, which some take for a broken connection.
    let fault = Fault::Error(400, "InvalidArgument");
    let path = format!("{path}{name}-");
    let ends = if path.contains("runs") { "rejects.csv" } else { "" }.to_owned();
    lab.proxy.inject(Rule { method: hyper::Method::PUT, path, ends, fault, times: 1000 });
    let outcome = lab.run(&request).await;
    ensure(outcome.is_err(), || "an upload whose part is refused succeeds".to_owned())?;
    ensure(!lab.has_unfinished_uploads("work").await, || "an unfinished upload is left".to_owned())
}
