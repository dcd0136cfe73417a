//! The roles of the template, with the names that the lab gives to its resources.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::policy::Policy;
use crate::{
    api::{ACCOUNT, REGION},
    python, workspace,
};

/// The buckets of the lab, by their logical id.
pub const BUCKETS: [(&str, &str); 3] = [("LandingBucket", "landing"), ("WorkBucket", "work"), ("LakeBucket", "lake")];

/// The queues of the lab, by their logical id.
pub const QUEUES: [(&str, &str); 3] = [("Events", "events"), ("DeadEvents", "dead-events"), ("DataQueue", "data")];

/// The functions of the template, by their logical id.
pub const FUNCTIONS: [(&str, &str); 5] = [
    ("ExtractFunction", "extract"),
    ("TransformFunction", "transform"),
    ("LoadFunction", "load"),
    ("NotifyFunction", "notify"),
    ("TriggerFunction", "trigger"),
];

/// The ARN of a resource of the lab.
pub fn arn(service: &str, rest: &str) -> String {
    format!("arn:aws:{service}:{REGION}:{ACCOUNT}:{rest}")
}

/// A role as the template gives it.
#[derive(Clone, Debug)]
pub struct Role {
    /// Who may assume it.
    pub trust: Value,
    /// What it may do.
    pub policy: Policy,
}

/// All the roles of the template, by their logical id, with the policies by choice that are proved with them.
pub fn all() -> BTreeMap<String, Role> {
    let script = workspace::root().join("tests/python/roles.py");
    let template = workspace::root().join("infra/template.yaml");
    let values = values().to_string();
    let arguments = [python::argument(&script), python::argument(&template), &values];
    let printed: Value = serde_json::from_str(&python::run("python", &arguments)).expect("roles.py prints JSON");
    let roles = printed["roles"].as_object().expect("the template has roles");
    let role = |role: &Value| {
        let statements = role["statements"].as_array().expect("a role has statements");
        Role { trust: role["trust"].clone(), policy: Policy::of_statements(statements) }
    };
    roles.iter().map(|(name, found)| (name.clone(), role(found))).collect()
}

/// Policies that are there by choice and are proved with the role.
const POLICIES_BY_CHOICE: [&str; 1] = ["ReadStream"];

fn values() -> Value {
    let mut values = Map::new();
    let mut set = |name: &str, value: Value| values.insert(name.to_owned(), value);
    for (id, name) in BUCKETS {
        set(id, json!({"Ref": name, "Arn": format!("arn:aws:s3:::{name}")}));
    }
    for (id, name) in QUEUES {
        set(id, json!({"Ref": format!("http://sqs/{ACCOUNT}/{name}"), "Arn": arn("sqs", name)}));
    }
    for (id, name) in FUNCTIONS {
        set(id, json!({"Ref": name, "Arn": arn("lambda", &format!("function:{name}"))}));
    }
    set(
        "Etl",
        json!({"Ref": arn("states", "stateMachine:etl"), "Arn": arn("states", "stateMachine:etl"), "Name": "etl"}),
    );
    set("Notices", json!({"Ref": arn("sns", "notices")}));
    set("Logs", json!({"Ref": "logs", "Arn": arn("logs", "log-group:logs:*")}));
    set("StreamArn", json!({"Ref": arn("kinesis", "stream/orders")}));
    for (id, role) in [("TriggerRole", "trigger"), ("EtlRole", "etl")] {
        set(id, json!({"Ref": role, "Arn": format!("arn:aws:iam::{ACCOUNT}:role/{role}")}));
    }
    for (id, value) in [("Partition", "aws"), ("Region", REGION), ("AccountId", ACCOUNT), ("StackName", "stepwell")] {
        set(&format!("AWS::{id}"), json!({"Ref": value}));
    }
    set("policies", json!(POLICIES_BY_CHOICE));
    Value::Object(values)
}
