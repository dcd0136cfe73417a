//! The template's choices, on ministack: each alone and all together deploy, give the roles exactly the rights that
//! they need for it, and wrong values are refused with a reason.
#![allow(clippy::expect_used, reason = "what a check cannot ask for fails the test, and the message says why")]

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, LazyLock},
    time::Duration,
};

use hyper::Method;
use serde_json::{Value, json};
use stepwell_tests::{
    api::{ACCOUNT, Endpoint, REGION},
    block_on, deploy,
    deployment::Deployment,
    flights,
    ministack::Ministack,
    suite, until, workspace,
};

const VPC: [(&str, &str); 2] =
    [("VpcSubnetIds", "subnet-0a1b2c3d,subnet-0e1f2a3b"), ("VpcSecurityGroupIds", "sg-0a1b2c3d")];
const GRADUAL: [(&str, &str); 2] = [("GradualDeployment", "Canary10Percent5Minutes"), ("Release", "1a2b3c4d5e")];
const LOCK: (&str, &str) = ("LandingLockDays", "30");
const FUNCTION_ROLES: [&str; 5] = ["ExtractRole", "TransformRole", "LoadRole", "NotifyRole", "TriggerRole"];

struct Engine {
    ministack: Arc<Ministack>,
    template: String,
    key: String,
    stream: String,
}

static ENGINE: LazyLock<Engine> = LazyLock::new(|| {
    block_on(async {
        let folder = workspace::scratch("parameters");
        let ministack = Arc::new(Ministack::start(&folder, &[("MINISTACK_ACCOUNT_ID", ACCOUNT)]).await);
        let created = ministack.endpoint.json("kms", "TrentService.CreateKey", &json!({})).await;
        let key = created["KeyMetadata"]["Arn"].as_str().expect("a key has an ARN").to_owned();
        let stream = json!({"StreamName": "records", "ShardCount": 1});
        ministack.endpoint.json("kinesis", "Kinesis_20131202.CreateStream", &stream).await;
        let stream = format!("arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/records");
        let template = deploy::packaged(&ministack, &folder).await;
        Engine { ministack, template, key, stream }
    })
});

impl Engine {
    async fn stack(&self, name: &str, parameters: &[(&str, &str)]) -> Deployment {
        deploy::stack(&self.ministack, name, &self.template, parameters).await
    }
}

/// The inline policies of a stack's roles that choices add, by the role's name in the template.
async fn added_policies(endpoint: &Endpoint, stack: &str) -> BTreeMap<String, BTreeSet<String>> {
    let version = ("Version", "2010-05-08");
    let listed = endpoint.query("iam", &[("Action", "ListRoles"), version]).await;
    let mut added = BTreeMap::<String, BTreeSet<String>>::new();
    for role in texts(&listed, "RoleName").filter(|role| role.starts_with(&format!("{stack}-"))) {
        let name = role.split('-').nth(1).expect("a role's name has the one of the template").to_owned();
        let policies = endpoint.query("iam", &[("Action", "ListRolePolicies"), version, ("RoleName", role)]).await;
        let choices = ["use-key", "use-network", "invoke-aliases", "read-stream"];
        let of_choice = |policy: &&str| choices.iter().any(|choice| policy.starts_with(choice));
        let policies: BTreeSet<_> = texts(&policies, "member").filter(of_choice).map(str::to_owned).collect();
        if !policies.is_empty() {
            added.insert(name, policies);
        }
    }
    added
}

fn texts<'a>(xml: &'a str, element: &str) -> impl Iterator<Item = &'a str> {
    let (opening, closing) = (format!("<{element}>"), format!("</{element}>"));
    let texts: Vec<_> = xml.split(&opening).skip(1).filter_map(|rest| rest.split(&closing).next()).collect();
    texts.into_iter()
}

fn policies(pairs: &[(&str, &[&str])]) -> BTreeMap<String, BTreeSet<String>> {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    pairs.iter().map(|(role, names)| ((*role).to_owned(), owned(names))).collect()
}

/// The key of each of the stack's queues and log groups, where they have one. ministack keeps none of topics.
async fn keys(deployment: &Deployment, stack: &str) -> Vec<Value> {
    let endpoint = &deployment.endpoint;
    let mut keys = Vec::new();
    for queue in ["EventsQueueUrl", "DataQueueUrl", "DeadEventsQueueUrl"] {
        let request = json!({"QueueUrl": deployment.outputs[queue], "AttributeNames": ["All"]});
        let attributes = endpoint.json("sqs", "AmazonSQS.GetQueueAttributes", &request).await;
        keys.push(attributes["Attributes"]["KmsMasterKeyId"].clone());
    }
    for group in log_groups(endpoint, stack).await {
        keys.push(group["kmsKeyId"].clone());
    }
    assert!(keys.len() > 4, "{keys:?}");
    keys
}

async fn log_groups(endpoint: &Endpoint, stack: &str) -> Vec<Value> {
    let listing = endpoint.json("logs", "Logs_20140328.DescribeLogGroups", &json!({})).await;
    let groups = listing["logGroups"].as_array().expect("log groups can be listed");
    let of_stack = |group: &&Value| {
        let name = group["logGroupName"].as_str().unwrap_or_default();
        name.contains(&format!("/{stack}/")) || name.contains(&format!("/{stack}-"))
    };
    groups.iter().filter(of_stack).cloned().collect()
}

/// Whatever calls a function of the stack: the state machine, queues and streams.
async fn called_functions(deployment: &Deployment, stack: &str) -> Vec<String> {
    let described = deployment.sfn.describe_state_machine().state_machine_arn(&deployment.state_machine).send().await;
    let definition: Value =
        serde_json::from_str(described.expect("a state machine").definition()).expect("a definition is JSON");
    let states = definition["States"].as_object().expect("a definition has states");
    let mut called: Vec<_> =
        states.values().filter_map(|state| state["Parameters"]["FunctionName"].as_str()).map(str::to_owned).collect();
    let path = "/2015-03-31/event-source-mappings/";
    let mappings = deployment.endpoint.rest("lambda", Method::GET, path, &json!({})).await;
    let mappings = mappings["EventSourceMappings"].as_array().expect("mappings can be listed");
    let functions = mappings.iter().filter_map(|mapping| mapping["FunctionArn"].as_str());
    called.extend(functions.filter(|arn| arn.contains(&format!(":{stack}-"))).map(str::to_owned));
    assert!(called.len() > 5, "{called:?}");
    called
}

/// A file that lands in the stack is loaded.
async fn assert_loads(deployment: &Deployment) {
    deployment.push_pipeline("auto").await;
    deployment.put(&deployment.landing, "auto/some.csv", flights::slice(2_000)).await;
    let arn =
        until("the execution", Duration::from_secs(60), async || deployment.executions("auto-").await.pop()).await;
    let finished = deployment.finished(&arn, Duration::from_secs(120)).await;
    assert_eq!(finished.status, "SUCCEEDED", "{finished:?}");
    suite::assert_loaded(deployment, "auto", &finished.output, 2_000).await;
}

#[test]
fn without_choices_no_role_has_a_right_more() {
    let engine = &*ENGINE;
    block_on(async {
        let deployment = engine.stack("plain", &[]).await;
        assert_eq!(added_policies(&deployment.endpoint, "plain").await, policies(&[]));
        let keys = keys(&deployment, "plain").await;
        assert!(keys.iter().all(Value::is_null), "{keys:?}");
        let aliased = |arn: &String| arn.ends_with(":live");
        assert!(!called_functions(&deployment, "plain").await.iter().any(aliased));
        let kept: Vec<_> = log_groups(&deployment.endpoint, "plain").await;
        assert!(kept.iter().all(|group| group["retentionInDays"] == 30), "{kept:?}");
    });
}

#[test]
fn a_key_encrypts_what_is_kept() {
    let engine = &*ENGINE;
    block_on(async {
        let deployment = engine.stack("keyed", &[("KmsKeyArn", &engine.key)]).await;
        let keys = keys(&deployment, "keyed").await;
        assert!(keys.iter().all(|key| *key == engine.key), "{keys:?}");
        let objects: &[&str] = &["use-key-for-objects"];
        let expected = policies(&[
            ("ExtractRole", objects),
            ("TransformRole", objects),
            ("LoadRole", objects),
            ("NotifyRole", &["use-key-for-objects", "use-key-for-queues", "use-key-for-notices"]),
            ("TriggerRole", &["use-key-for-objects", "use-key-for-queues"]),
            ("TicksRole", &["use-key-for-queues"]),
        ]);
        assert_eq!(added_policies(&deployment.endpoint, "keyed").await, expected);
    });
}

#[test]
fn functions_in_a_vpc_may_use_its_network() {
    let engine = &*ENGINE;
    block_on(async {
        let deployment = engine.stack("netted", &VPC).await;
        let network: &[&str] = &["use-network"];
        let expected = policies(&FUNCTION_ROLES.map(|role| (role, network)));
        assert_eq!(added_policies(&deployment.endpoint, "netted").await, expected);
    });
}

/// ministack keeps no lock, so that nothing more than the deployment is seen.
#[test]
fn a_locked_landing_bucket_deploys() {
    let engine = &*ENGINE;
    block_on(async {
        let deployment = engine.stack("locked", &[LOCK]).await;
        assert_eq!(added_policies(&deployment.endpoint, "locked").await, policies(&[]));
    });
}

/// Everything that calls a function goes by its alias, which CodeDeploy moves on AWS. ministack has no CodeDeploy.
#[test]
fn gradually_deployed_functions_are_called_by_their_aliases() {
    let engine = &*ENGINE;
    block_on(async {
        let deployment = engine.stack("gradual", &GRADUAL).await;
        let called = called_functions(&deployment, "gradual").await;
        assert!(called.iter().all(|arn| arn.ends_with(":live")), "{called:?}");
        let expected = policies(&[("EtlRole", &["invoke-aliases"])]);
        assert_eq!(added_policies(&deployment.endpoint, "gradual").await, expected);
    });
}

#[test]
fn all_choices_together_deploy_and_load() {
    let engine = &*ENGINE;
    block_on(async {
        let mut parameters = vec![
            ("KmsKeyArn", engine.key.as_str()),
            ("StreamArn", &engine.stream),
            ("NotifyEmail", "somebody@example.com"),
            ("LogRetentionDays", "90"),
            ("RunningMax", "5"),
            LOCK,
        ];
        parameters.extend(VPC.into_iter().chain(GRADUAL));
        let deployment = engine.stack("every", &parameters).await;
        let kept: Vec<_> = log_groups(&deployment.endpoint, "every").await;
        assert!(kept.iter().all(|group| group["retentionInDays"] == 90), "{kept:?}");
        assert_loads(&deployment).await;
    });
}

#[test]
fn wrong_parameters_are_refused_with_the_reason() {
    let [subnets, groups] = VPC;
    let [canary, release] = GRADUAL;
    let alias = "arn:aws:kms:us-east-1:123456789012:alias/mine";
    let cases: [(&[(&str, &str)], &str); 11] = [
        (&[subnets], "VpcSubnetIds is given, so VpcSecurityGroupIds must be, too"),
        (&[groups], "VpcSecurityGroupIds is given, so VpcSubnetIds must be, too"),
        (&[("VpcSubnetIds", "subnet-0a1b2c3d,vpc-1"), groups], "must be ids of subnets"),
        (&[subnets, ("VpcSecurityGroupIds", "default")], "must be ids of security groups"),
        (&[("KmsKeyArn", alias)], "and not of an alias"),
        (&[release], "only a GradualDeployment looks at"),
        (&[canary, ("Release", "v1.0.0")], "at most 10 letters and digits"),
        (&[("LandingLockDays", "-1")], "from 0 to 36500"),
        (&[("LogRetentionDays", "31")], "LogRetentionDays"),
        (&[("NotifyEmail", "somebody")], "must be one address"),
        (&[("StreamArn", "records")], "must be the ARN of a Kinesis data stream"),
    ];
    let engine = &*ENGINE;
    block_on(async {
        for (parameters, reason) in cases {
            let refusal = engine.ministack.refusal(&engine.template, parameters).await;
            assert!(refusal.contains(reason), "{parameters:?}: {refusal}");
        }
    });
}
