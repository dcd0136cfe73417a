//! What `notify` does.

use serde_json::{Value, json};

use super::landed;
use crate::least_privilege::{
    lab::Lab,
    scenario::{Outcome, Scenario, ensure, scenarios},
};

/// The scenarios of `notify`.
pub const SCENARIOS: &[Scenario] = scenarios![
    a_success_is_told,
    a_success_is_told_though_its_spec_is_gone,
    a_success_that_nobody_wants_told_is_not,
    a_failure_is_told_once,
];

async fn loaded(lab: &Lab) -> Value {
    let request = landed(lab).await;
    let extracted = lab.prepare("extract", &request).await;
    let transformed = lab.prepare("transform", &extracted).await;
    lab.prepare("load", &transformed).await
}

fn notified(answer: &Value, expected: bool) -> Outcome {
    ensure(answer["notified"] == expected, || format!("{answer}"))
}

async fn a_success_is_told(lab: &Lab) -> Outcome {
    let loaded = loaded(lab).await;
    notified(&lab.run(&json!({"action": "notify_success", "loaded": loaded})).await?, true)
}

async fn a_success_is_told_though_its_spec_is_gone(lab: &Lab) -> Outcome {
    let loaded = loaded(lab).await;
    for key in lab.keys("work", "runs/").await.iter().filter(|key| key.ends_with("spec.yaml")) {
        lab.delete("work", key).await;
    }
    notified(&lab.run(&json!({"action": "notify_success", "loaded": loaded})).await?, true)
}

async fn a_success_that_nobody_wants_told_is_not(lab: &Lab) -> Outcome {
    let request = landed(lab).await;
    for key in lab.keys("work", "pipelines/").await {
        let spec = lab.get("work", &key).await.expect("the spec is there");
        let spec = format!("{}notify: {{ on: [failed] }}\n", String::from_utf8_lossy(&spec));
        lab.put("work", &key, spec).await;
    }
    let extracted = lab.prepare("extract", &request).await;
    let transformed = lab.prepare("transform", &extracted).await;
    let loaded = lab.prepare("load", &transformed).await;
    notified(&lab.run(&json!({"action": "notify_success", "loaded": loaded})).await?, false)
}

async fn a_failure_is_told_once(lab: &Lab) -> Outcome {
    let name = format!("failed-{}", lab.unique());
    let ended = json!({
        "executionArn": format!("arn:aws:states:us-east-1:123456789012:execution:etl:{name}"),
        "name": name,
        "status": "FAILED",
        "error": "Internal",
        "cause": "a cause",
    });
    let input = json!({"action": "execution_ended", "ended": ended});
    notified(&lab.run(&input).await?, true)?;
    let marks = lab.keys("work", "notices/sent/").await;
    ensure(marks.len() == 1, || format!("marks of what was told: {marks:?}"))?;
    notified(&lab.run(&input).await?, false)
}
