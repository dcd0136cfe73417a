//! Deployments: the same binaries and the same definition, on the engines there are.

use std::{collections::BTreeMap, env, sync::Arc, time::Duration};

use hyper::Method;
use serde_json::{Value, json};
use stepwell_statemachine::{ETL, substitute};

use crate::{
    api::Endpoint,
    deployment::Deployment,
    fault_proxy::FaultProxy,
    lambda_host::{Function, LambdaHost},
    ministack::Ministack,
    moto::Moto,
    notices::Inbox,
    workspace,
};

/// The functions that the state machine invokes; each is also the name of its binary.
pub const FUNCTIONS: [&str; 4] = ["extract", "transform", "load", "notify"];

const STACK: &str = "stepwell";
const NO_TOPIC: &str = "arn:aws:sns:us-east-1:123456789012:deleted";
const ROLE: &str = "arn:aws:iam::123456789012:role/stepwell";

/// The shipped definition with the ARNs of functions, by the name of their binary.
pub fn definition(arns: &BTreeMap<&str, String>) -> String {
    let values = arns.iter().map(|(name, arn)| {
        let (first, rest) = name.split_at(1);
        (format!("{}{rest}FunctionArn", first.to_uppercase()), arn.clone())
    });
    substitute(ETL, &values.collect()).expect("the definition takes these ARNs")
}

/// Creates a state machine from the shipped definition.
pub async fn create_state_machine(sfn: &aws_sdk_sfn::Client, name: &str, arns: &BTreeMap<&str, String>) -> String {
    let request = sfn.create_state_machine().name(name).role_arn(ROLE).definition(definition(arns));
    let created = request.send().await.unwrap_or_else(|error| panic!("cannot create {name}: {error:?}"));
    created.state_machine_arn().to_owned()
}

/// The Step Functions endpoint that the environment names, and the port that it looks for Lambda on.
pub fn named_endpoint() -> (Endpoint, u16) {
    let endpoint = env::var("STEPFUNCTIONS_ENDPOINT").expect("STEPFUNCTIONS_ENDPOINT names the endpoint");
    let port = env::var("LAMBDA_PORT").expect("LAMBDA_PORT is the port of the endpoint's LAMBDA_ENDPOINT");
    (Endpoint(endpoint), port.parse().expect("LAMBDA_PORT is a number"))
}

/// The real binaries in our Lambda host. moto keeps the buckets, the topic and the queue; the state machine runs on
/// moto too, or on the Step Functions endpoint given with the port that it looks for Lambda on.
pub async fn hosted(suite: &str, elsewhere: Option<(Endpoint, u16)>) -> Deployment {
    let folder = workspace::scratch(suite);
    let (sfn, lambda_port) = elsewhere.unzip();
    let moto_address = Moto::choose_address();
    let host = LambdaHost::start(lambda_port.unwrap_or(0), Some(moto_address), &folder);
    let moto = Moto::start(moto_address, host.address().port(), &folder).await;
    let endpoint = Endpoint::from(moto.address);
    let proxy = FaultProxy::start(moto.address);
    let sfn = sfn.unwrap_or_else(|| Endpoint::from(moto.address)).sfn();

    let s3 = endpoint.s3();
    let buckets = ["landing", "uploads", "work", "lake"];
    for bucket in buckets {
        s3.create_bucket().bucket(bucket).send().await.expect("a bucket can be made");
    }
    let topic = endpoint.sns().create_topic().name("notices").send().await.expect("a topic can be made");
    let topic = topic.topic_arn().expect("a topic has an ARN").to_owned();
    let inbox = Inbox::subscribe(&endpoint, &topic).await;

    let function = |binary: &str, topic: &str| {
        let variables = [
            ("AWS_ENDPOINT_URL", endpoint.0.as_str()),
            ("AWS_ENDPOINT_URL_S3", &proxy.url()),
            ("LANDING_BUCKET", buckets[0]),
            ("WORK_BUCKET", buckets[2]),
            ("LAKE_BUCKET", buckets[3]),
            ("TOPIC_ARN", topic),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Function { binary: workspace::binary(binary), variables: variables.into(), timeout: Duration::from_secs(300) }
    };
    let mut arns = BTreeMap::new();
    for name in FUNCTIONS {
        arns.insert(name, host.deploy(name, function(name, &topic)));
    }
    // An endpoint that the environment names may remember the state machines of earlier test runs.
    let run = std::process::id();
    let state_machine = create_state_machine(&sfn, &format!("etl-{run}"), &arns).await;
    arns.insert("notify", host.deploy("mute", function("notify", NO_TOPIC)));
    let mute_state_machine = create_state_machine(&sfn, &format!("mute-{run}"), &arns).await;

    let [landing, uploads, work, lake] = buckets.map(str::to_owned);
    let (host, events_queue) = (Some(host), None);
    Deployment {
        endpoint,
        landing,
        uploads,
        work,
        lake,
        topic,
        inbox,
        proxy,
        host,
        sfn,
        state_machine,
        mute_state_machine,
        events_queue,
        outputs: BTreeMap::new(),
        waits_are_real: true,
        _running: Box::new(moto),
    }
}

/// The shipped template with the real binaries, as a stack on ministack.
pub async fn on_ministack(suite: &str) -> Deployment {
    let folder = workspace::scratch(suite);
    let ministack = Arc::new(Ministack::start(&folder, &[]).await);
    let template = packaged(&ministack, &folder).await;
    stack(&ministack, STACK, &template, &[]).await
}

/// The shipped template with the real binaries of all functions, uploaded and ready for stacks.
pub async fn packaged(ministack: &Ministack, folder: &std::path::Path) -> String {
    FUNCTIONS.into_iter().chain(["trigger"]).for_each(|name| drop(workspace::binary(name)));
    ministack.package(&workspace::binaries(), folder).await
}

/// A stack of the packaged template on a ministack that may have others. No stack's name may be part of another's.
pub async fn stack(ministack: &Arc<Ministack>, stack: &str, template: &str, parameters: &[(&str, &str)]) -> Deployment {
    let outputs = ministack.create_stack(stack, template, parameters).await;
    let output = |name: &str| outputs.get(name).unwrap_or_else(|| panic!("the stack has no output {name}")).clone();

    let endpoint = ministack.endpoint.clone();
    let uploads = format!("{stack}-uploads");
    endpoint.s3().create_bucket().bucket(&uploads).send().await.expect("a bucket can be made");
    let inbox = Inbox::subscribe(&endpoint, &output("TopicArn")).await;
    let sfn = endpoint.sfn();

    let functions = stack_functions(&endpoint, stack).await;
    let mut arns = BTreeMap::new();
    for name in FUNCTIONS {
        arns.insert(name, functions[name]["FunctionArn"].as_str().expect("a function has an ARN").to_owned());
    }
    arns.insert("notify", create_mute_function(&endpoint, stack, &functions["notify"], template).await);
    let mute_state_machine = create_state_machine(&sfn, &format!("{stack}-mute"), &arns).await;

    let events_queue = Some(output("EventsQueueUrl"));
    let (landing, work, lake) = (output("LandingBucket"), output("WorkBucket"), output("LakeBucket"));
    let (topic, state_machine) = (output("TopicArn"), output("StateMachineArn"));
    let proxy = ministack.proxy.clone();
    Deployment {
        endpoint,
        landing,
        uploads,
        work,
        lake,
        topic,
        inbox,
        proxy,
        host: None,
        sfn,
        state_machine,
        mute_state_machine,
        events_queue,
        outputs,
        waits_are_real: false,
        _running: Box::new(ministack.clone()),
    }
}

/// A stack's functions by the name of their binary, but for `trigger`.
pub async fn stack_functions(endpoint: &Endpoint, stack: &str) -> BTreeMap<&'static str, Value> {
    let listing = endpoint.rest("lambda", Method::GET, "/2015-03-31/functions/", &json!({})).await;
    let listed = listing["Functions"].as_array().expect("functions can be listed").clone();
    let of = |name: &str| {
        let is_it = |function: &&Value| {
            let function = function["FunctionName"].as_str().unwrap_or_default().to_lowercase();
            function.starts_with(stack) && function.contains(name)
        };
        listed.iter().find(is_it).unwrap_or_else(|| panic!("the stack has no function {name}")).clone()
    };
    FUNCTIONS.into_iter().map(|name| (name, of(name))).collect()
}

// The stack's notify function again, but for its topic.
async fn create_mute_function(endpoint: &Endpoint, stack: &str, notify: &Value, template: &str) -> String {
    let template: Value = serde_json::from_str(template).expect("a packaged template is JSON");
    let code = &template["Resources"]["NotifyFunction"]["Properties"]["CodeUri"];
    let mut variables = notify["Environment"]["Variables"].clone();
    variables["TOPIC_ARN"] = NO_TOPIC.into();
    let function = json!({
        "FunctionName": format!("mute-{stack}"),
        "Runtime": notify["Runtime"],
        "Handler": notify["Handler"],
        "Role": notify["Role"],
        "Timeout": notify["Timeout"],
        "Environment": {"Variables": variables},
        "Code": {"S3Bucket": code["Bucket"], "S3Key": code["Key"]},
    });
    let created = endpoint.rest("lambda", Method::POST, "/2015-03-31/functions", &function).await;
    created["FunctionArn"].as_str().expect("a function has an ARN").to_owned()
}
