//! One role with its stage's binary, on a moto of its own.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use aws_sdk_s3::{
    config::{BehaviorVersion, Credentials, Region},
    primitives::ByteStream,
    types::BucketVersioningStatus,
    types::VersioningConfiguration,
};
use serde_json::{Value, json};

use stepwell_sandbox::{ministack::free_port, stack::element};

use super::{
    gate::{Gate, Seen},
    policy::Policy,
    roles::{BUCKETS, QUEUES},
};
use crate::{
    api::{ACCOUNT, Endpoint, REGION},
    environment::{Answer, Environment, Function},
    fault_proxy::FaultProxy,
    moto::Moto,
    workspace,
};

const TIMEOUT: Duration = Duration::from_secs(60);

/// A bucket that no role has any business with.
pub const OTHER_BUCKET: &str = "other";

/// Who refuses what the policy does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judge {
    /// Our gate.
    Gate,
    /// moto's IAM.
    Moto,
}

#[derive(Clone, Debug)]
struct Keys {
    id: String,
    secret: String,
    token: String,
}

/// One role, its stage, and what it works on.
#[derive(Debug)]
pub struct Lab {
    /// moto itself, which nobody stands before.
    pub endpoint: Endpoint,
    /// What makes requests fail.
    pub proxy: FaultProxy,
    /// What sees them, and may refuse them.
    pub gate: Gate,
    function: String,
    folder: PathBuf,
    keys: Keys,
    law: Mutex<(Judge, Policy)>,
    processes: tokio::sync::Mutex<BTreeMap<String, Environment>>,
    counter: AtomicUsize,
    _moto: Moto,
}

impl Lab {
    /// Starts moto with everything that the stage works on, and its role.
    pub async fn start(function: &str, policy: &Policy) -> Self {
        let folder = workspace::scratch(&format!("least-privilege-{function}"));
        let moto = Moto::start(Moto::choose_address(), free_port().expect("127.0.0.1 has a free port"), &folder).await;
        let endpoint = Endpoint::from(moto.address);
        let gate = Gate::start(moto.address);
        let proxy = FaultProxy::start(gate.address());
        for bucket in BUCKETS.map(|(_, name)| name).into_iter().chain([OTHER_BUCKET]) {
            endpoint.s3().create_bucket().bucket(bucket).send().await.expect("a bucket can be made");
        }
        let versioning = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
        let request = endpoint.s3().put_bucket_versioning().bucket("landing").versioning_configuration(versioning);
        request.send().await.expect("a bucket can have versions");
        for name in ["notices", "other"] {
            endpoint.sns().create_topic().name(name).send().await.expect("a topic can be made");
        }
        for name in QUEUES.map(|(_, name)| name).into_iter().chain(["other"]) {
            endpoint.json("sqs", "AmazonSQS.CreateQueue", &json!({"QueueName": name})).await;
        }
        for name in ["etl", "other"] {
            create_state_machine(&endpoint, name).await;
        }
        let keys = assume(&endpoint, policy).await;
        Self {
            endpoint,
            proxy,
            gate,
            function: function.to_owned(),
            folder,
            keys,
            law: Mutex::new((Judge::Gate, policy.clone())),
            processes: tokio::sync::Mutex::default(),
            counter: AtomicUsize::new(0),
            _moto: moto,
        }
    }

    /// A number that no scenario had before.
    pub fn unique(&self) -> usize {
        self.counter.fetch_add(1, Ordering::Relaxed)
    }

    /// What the role may do from now on, and who sees to it.
    pub async fn rule(&self, judge: Judge, policy: &Policy) {
        *self.law.lock().unwrap() = (judge, policy.clone());
        if judge == Judge::Moto {
            put_policy(&self.endpoint, policy).await;
        }
    }

    /// What the gate saw since it was asked last.
    pub fn seen(&self) -> Seen {
        self.gate.seen()
    }

    /// Does something under the rule.
    pub async fn ruled<T>(&self, something: impl Future<Output = T>) -> T {
        let (judge, policy) = self.law.lock().unwrap().clone();
        match judge {
            Judge::Gate => self.gate.enforce(Some(policy)),
            Judge::Moto => self.gate.let_moto_judge(true).await,
        }
        let done = something.await;
        match judge {
            Judge::Gate => self.gate.enforce(None),
            Judge::Moto => self.gate.let_moto_judge(false).await,
        }
        done
    }

    /// Calls the stage with its role's rights.
    ///
    /// # Errors
    /// The error that the function ended in.
    pub async fn call(&self, payload: &Value) -> Result<Value, String> {
        self.call_within(payload, TIMEOUT).await
    }

    /// As [`Self::call`], and the function has so much time.
    ///
    /// # Errors
    /// The error that the function ended in.
    pub async fn call_within(&self, payload: &Value, time: Duration) -> Result<Value, String> {
        self.ruled(self.invoke(&self.function, true, payload, time)).await
    }

    /// Calls the stage as the state machine does.
    ///
    /// # Errors
    /// The error that the function ended in.
    pub async fn run(&self, input: &Value) -> Result<Value, String> {
        self.call(&from_state_machine(input)).await
    }

    /// Runs a stage with all rights, as the state machine does, so that there is what the next one needs.
    pub async fn prepare(&self, function: &str, input: &Value) -> Value {
        let done = self.invoke(function, false, &from_state_machine(input), TIMEOUT).await;
        done.unwrap_or_else(|error| panic!("{function} with all rights: {error}"))
    }

    /// As [`Self::prepare`], and the function has so much time.
    pub async fn prepare_within(&self, function: &str, input: &Value, time: Duration) -> Value {
        let done = self.invoke(function, false, &from_state_machine(input), time).await;
        done.unwrap_or_else(|error| panic!("{function} with all rights: {error}"))
    }

    async fn invoke(&self, function: &str, is_ruled: bool, payload: &Value, time: Duration) -> Result<Value, String> {
        let name = if is_ruled { function.to_owned() } else { format!("{function}-with-all-rights") };
        let mut processes = self.processes.lock().await;
        let mut environment = processes.remove(&name).unwrap_or_else(|| {
            let variables = self.variables(is_ruled);
            let function = Function { binary: workspace::binary(function), variables, timeout: TIMEOUT };
            Environment::start(&name, &function, &self.folder.join(format!("{name}.log")))
        });
        let answer = environment.invoke("0", &name, payload.to_string().into(), time).await;
        if environment.is_alive() {
            processes.insert(name, environment);
        }
        match answer {
            Answer::Response(body) => Ok(serde_json::from_slice(&body).expect("a function gives JSON")),
            Answer::Error(body) => Err(String::from_utf8_lossy(&body).into_owned()),
        }
    }

    fn variables(&self, is_ruled: bool) -> Vec<(String, String)> {
        let queue = |name: &str| format!("{}/{ACCOUNT}/{name}", self.endpoint.0);
        let mut variables = vec![
            ("AWS_ENDPOINT_URL", self.proxy.url()),
            ("LANDING_BUCKET", "landing".to_owned()),
            ("WORK_BUCKET", "work".to_owned()),
            ("LAKE_BUCKET", "lake".to_owned()),
            ("TOPIC_ARN", super::roles::arn("sns", "notices")),
            ("STATE_MACHINE_ARN", super::roles::arn("states", "stateMachine:etl")),
            ("EVENTS_QUEUE_URL", queue("events")),
            ("DEAD_EVENTS_QUEUE_URL", queue("dead-events")),
            ("RUNNING_MAX", "2".to_owned()),
        ];
        if is_ruled {
            variables.push(("AWS_ACCESS_KEY_ID", self.keys.id.clone()));
            variables.push(("AWS_SECRET_ACCESS_KEY", self.keys.secret.clone()));
            variables.push(("AWS_SESSION_TOKEN", self.keys.token.clone()));
        }
        variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// An S3 client with the role's credentials, which the rule holds for.
    pub fn s3_of_role(&self) -> aws_sdk_s3::Client {
        let Keys { id, secret, token } = &self.keys;
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(self.proxy.url())
            .region(Region::new(REGION))
            .credentials_provider(Credentials::new(id, secret, Some(token.clone()), None, "lab"))
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .force_path_style(true);
        aws_sdk_s3::Client::from_conf(config.build())
    }

    /// Writes an object and gives its version, where the bucket has versions.
    pub async fn put(&self, bucket: &str, key: &str, bytes: impl Into<Vec<u8>>) -> Option<String> {
        let request = self.endpoint.s3().put_object().bucket(bucket).key(key).body(ByteStream::from(bytes.into()));
        let put = request.send().await.unwrap_or_else(|error| panic!("cannot write {bucket}/{key}: {error:?}"));
        put.version_id().map(str::to_owned)
    }

    /// The bytes of an object, if it is there.
    pub async fn get(&self, bucket: &str, key: &str) -> Option<Vec<u8>> {
        let got = self.endpoint.s3().get_object().bucket(bucket).key(key).send().await.ok()?;
        Some(got.body.collect().await.expect("an object can be read").to_vec())
    }

    /// The keys below a prefix.
    pub async fn keys(&self, bucket: &str, prefix: &str) -> Vec<String> {
        let listing = self.endpoint.s3().list_objects_v2().bucket(bucket).prefix(prefix).send().await;
        let listing = listing.expect("a bucket can be listed");
        listing.contents().iter().map(|object| object.key().unwrap_or_default().to_owned()).collect()
    }

    /// Removes an object.
    pub async fn delete(&self, bucket: &str, key: &str) {
        self.endpoint.s3().delete_object().bucket(bucket).key(key).send().await.expect("an object can be removed");
    }

    /// Whether uploads in parts were begun in a bucket and neither completed nor aborted.
    pub async fn has_unfinished_uploads(&self, bucket: &str) -> bool {
        let listed = self.endpoint.s3().list_multipart_uploads().bucket(bucket).send().await;
        !listed.expect("uploads can be listed").uploads().is_empty()
    }

    /// The names of the executions so far that begin with a prefix.
    pub async fn executions(&self, prefix: &str) -> Vec<String> {
        let machine = super::roles::arn("states", "stateMachine:etl");
        let listed = self.endpoint.sfn().list_executions().state_machine_arn(machine).send().await;
        let listed = listed.expect("executions can be listed");
        let names = listed.executions().iter().map(|execution| execution.name().to_owned());
        names.filter(|name| name.starts_with(prefix)).collect()
    }

    /// Makes every execution that begins from now on end with an output; with none, with its input.
    pub async fn executions_give(&self, output: Option<&Value>) {
        let mut definition = json!({"StartAt": "Done", "States": {"Done": {"Type": "Pass", "End": true}}});
        if let Some(output) = output {
            definition["States"]["Done"]["Result"] = output.clone();
        }
        let machine = super::roles::arn("states", "stateMachine:etl");
        let update = self.endpoint.sfn().update_state_machine().state_machine_arn(machine);
        update.definition(definition.to_string()).send().await.expect("a state machine can be changed");
    }

    /// Whether moto judges.
    pub fn is_judged_by_moto(&self) -> bool {
        self.law.lock().unwrap().0 == Judge::Moto
    }

    /// Takes the messages of a queue.
    pub async fn messages(&self, queue: &str) -> Vec<Value> {
        self.endpoint.take_messages(&format!("{}/{ACCOUNT}/{queue}", self.endpoint.0)).await
    }

    /// Empties the buckets and queues.
    pub async fn clean(&self) {
        self.gate.pretend_huge(None);
        self.gate.hold(None);
        for (_, bucket) in BUCKETS {
            for key in self.keys(bucket, "").await {
                self.delete(bucket, &key).await;
            }
            let uploads = self.endpoint.s3().list_multipart_uploads().bucket(bucket).send().await;
            for upload in uploads.expect("uploads can be listed").uploads() {
                let abort = self.endpoint.s3().abort_multipart_upload().bucket(bucket);
                let abort = abort.set_key(upload.key().map(str::to_owned));
                abort.set_upload_id(upload.upload_id().map(str::to_owned)).send().await.expect("it can be aborted");
            }
        }
        // Only `trigger` sends; and a purge is allowed once a minute.
        if self.function == "trigger" {
            for (_, queue) in QUEUES {
                while !self.messages(queue).await.is_empty() {}
            }
        }
        self.gate.seen();
    }
}

fn from_state_machine(input: &Value) -> Value {
    json!({"execution_id": "arn:aws:states:::execution:etl:lab", "input": input})
}

async fn create_state_machine(endpoint: &Endpoint, name: &str) {
    let definition = json!({"StartAt": "Done", "States": {"Done": {"Type": "Pass", "End": true}}});
    let request = endpoint.sfn().create_state_machine().name(name).definition(definition.to_string());
    let role = format!("arn:aws:iam::{ACCOUNT}:role/etl");
    request.role_arn(role).send().await.expect("a state machine can be made");
}

async fn assume(endpoint: &Endpoint, policy: &Policy) -> Keys {
    let trust = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}]});
    let trust = trust.to_string();
    let fields = [
        ("Action", "CreateRole"),
        ("Version", "2010-05-08"),
        ("RoleName", "stage"),
        ("AssumeRolePolicyDocument", trust.as_str()),
    ];
    endpoint.query("iam", &fields).await;
    put_policy(endpoint, policy).await;
    let arn = format!("arn:aws:iam::{ACCOUNT}:role/stage");
    let fields =
        [("Action", "AssumeRole"), ("Version", "2011-06-15"), ("RoleArn", arn.as_str()), ("RoleSessionName", "lab")];
    let answer = endpoint.query("sts", &fields).await;
    let text = |name: &str| element(&answer, name).unwrap_or_else(|| panic!("no {name}: {answer}"));
    Keys { id: text("AccessKeyId"), secret: text("SecretAccessKey"), token: text("SessionToken") }
}

async fn put_policy(endpoint: &Endpoint, policy: &Policy) {
    let document = policy.for_moto().to_string();
    let fields = [
        ("Action", "PutRolePolicy"),
        ("Version", "2010-05-08"),
        ("RoleName", "stage"),
        ("PolicyName", "stage"),
        ("PolicyDocument", document.as_str()),
    ];
    endpoint.query("iam", &fields).await;
}
