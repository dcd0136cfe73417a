//! What `transform` does.

use serde_json::{Value, json};

use super::{RECORDS, digits, landed, pipeline};
use crate::{
    fault_proxy::{Fault, Rule},
    least_privilege::{
        lab::Lab,
        scenario::{Outcome, Scenario, ensure, scenarios},
    },
};

/// The scenarios of `transform`.
pub const SCENARIOS: &[Scenario] = scenarios![
    a_run_is_transformed,
    a_run_is_joined_with_a_table_of_the_lake,
    a_run_is_joined_with_a_table_of_the_work_bucket,
    a_finished_transform_whose_files_are_gone_is_done_again,
    a_large_file_whose_upload_fails_leaves_no_parts,
];

async fn a_run_is_transformed(lab: &Lab) -> Outcome {
    let extracted = lab.prepare("extract", &landed(lab).await).await;
    let transformed = lab.run(&extracted).await?;
    ensure(transformed["records_out"] == 3, || format!("{transformed}"))
}

async fn loaded_table(lab: &Lab) -> String {
    let request = landed(lab).await;
    let extracted = lab.prepare("extract", &request).await;
    let transformed = lab.prepare("transform", &extracted).await;
    let loaded = lab.prepare("load", &transformed).await;
    loaded["run"]["pipeline"].as_str().unwrap_or_default().to_owned()
}

async fn a_run_is_joined_with_a_table_of_the_lake(lab: &Lab) -> Outcome {
    let table = loaded_table(lab).await;
    is_joined_with(lab, &format!("lake/{table}/")).await
}

async fn a_run_is_joined_with_a_table_of_the_work_bucket(lab: &Lab) -> Outcome {
    loaded_table(lab).await;
    for key in lab.keys("lake", "").await.into_iter().filter(|key| key.ends_with(".parquet")) {
        let bytes = lab.get("lake", &key).await.expect("the file is there");
        lab.put("work", &format!("references/days/{key}"), bytes).await;
    }
    is_joined_with(lab, "work/references/days/").await
}

async fn is_joined_with(lab: &Lab, table: &str) -> Outcome {
    let name = format!("joined{}", lab.unique());
    let joined = format!(
        "{}transform:
  references: [{{ name: days, path: {table} }}]
  sql: SELECT input.* FROM input JOIN days ON input.id = days.id
",
        pipeline(&name)
    );
    lab.put("work", &format!("pipelines/{name}.yaml"), joined).await;
    let key = format!("{name}/a.csv");
    lab.put("landing", &key, RECORDS).await;
    let extracted = lab.prepare("extract", &json!({"bucket": "landing", "key": key})).await;
    let transformed = lab.run(&extracted).await?;
    ensure(transformed["records_out"] == 3, || format!("{transformed}"))
}

async fn a_finished_transform_whose_files_are_gone_is_done_again(lab: &Lab) -> Outcome {
    let extracted = lab.prepare("extract", &landed(lab).await).await;
    lab.prepare("transform", &extracted).await;
    for key in lab.keys("work", "staged/").await.iter().filter(|key| key.contains("/transform/")) {
        lab.delete("work", key).await;
    }
    lab.run(&extracted).await?;
    let staged = lab.keys("work", "staged/").await;
    ensure(staged.iter().any(|key| key.ends_with(".parquet")), || format!("{staged:?}"))
}

async fn a_large_file_whose_upload_fails_leaves_no_parts(lab: &Lab) -> Outcome {
    let name = format!("large{}", lab.unique());
    let spec = format!(
        "pipeline: {name}
source: {{ match: \"{name}/*.csv\" }}
schema: [{{ name: id, type: int64 }}, {{ name: text, type: string }}]
load: {{ target: parquet, path: lake/{name}/ }}
"
    );
    lab.put("work", &format!("pipelines/{name}.yaml"), spec).await;
    let key = format!("{name}/a.csv");
    lab.put("landing", &key, digits(280_000)).await;
    let extracted = lab.prepare("extract", &json!({"bucket": "landing", "key": key})).await;
    let fault = Fault::Error(400, "InvalidArgument");
    let path = format!("/work/staged/{}", extracted["run"]["id"].as_str().unwrap_or_default());
    lab.proxy.inject(Rule { method: hyper::Method::PUT, path, ends: ".parquet".into(), fault, times: 1000 });
    let outcome: Result<Value, String> = lab.run(&extracted).await;
    ensure(outcome.is_err(), || "an upload whose part is refused succeeds".to_owned())?;
    ensure(!lab.has_unfinished_uploads("work").await, || "an unfinished upload is left".to_owned())
}
