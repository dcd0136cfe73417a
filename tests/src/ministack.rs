//! ministack: AWS services in one process, which runs `provided.al2023` binaries over the Runtime API and takes the
//! SAM template as it is.

use std::{collections::BTreeMap, net::SocketAddr, path::Path, time::Duration};

use aws_sdk_s3::primitives::ByteStream;
use serde_json::json;

use crate::{
    api::{Endpoint, element},
    fault_proxy::FaultProxy,
    process::{Supervised, free_port, tail},
    python, until, workspace,
};

/// The bucket of what is deployed.
pub const ARTIFACTS: &str = "artifacts";

/// A running ministack.
#[derive(Debug)]
pub struct Ministack {
    /// Where it serves all its services.
    pub endpoint: Endpoint,
    /// What the functions' requests to S3 go through.
    pub proxy: FaultProxy,
    log: std::path::PathBuf,
    _process: Supervised,
}

impl Ministack {
    /// Starts a ministack whose functions get further environment variables, and waits until it answers.
    pub async fn start(folder: &Path, more: &[(&str, &str)]) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let proxy = FaultProxy::start(address);
        let (endpoint, port, s3) = (Endpoint::from(address), address.port().to_string(), proxy.url());
        let (log, temporary) = (folder.join("ministack.log"), folder.join("tmp"));
        std::fs::create_dir_all(&temporary).expect("a scratch folder can be made");
        let mut variables = vec![
            ("PATH", "/usr/bin:/bin"),
            ("TMPDIR", python::argument(&temporary)),
            ("GATEWAY_PORT", port.as_str()),
            // Without these two it listens on every interface, the second for MQTT.
            ("BIND_HOST", "127.0.0.1"),
            ("IOT_MTLS_ENABLED", "false"),
            ("MINISTACK_HOST", "127.0.0.1"),
            ("AWS_ENDPOINT_URL", endpoint.0.as_str()),
            ("AWS_ENDPOINT_URL_S3", s3.as_str()),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            // Its interpreter ignores jitter and caps anyway: the waits are checked on the other engine.
            ("SFN_WAIT_SCALE", "0.01"),
        ];
        variables.extend(more);
        let script = workspace::root().join("tests/python/ministack_like_aws.py");
        let mut process = Supervised::start(&python::program("python"), &[python::argument(&script)], &variables, &log);
        until("ministack to answer", Duration::from_secs(60), async || {
            assert!(process.ended().is_none(), "ministack ended:\n{}", tail(&log));
            endpoint.is_up("/_ministack/health").await.then_some(())
        })
        .await;
        Self { endpoint, proxy, log, _process: process }
    }

    /// Packages the template with binaries of the folder and uploads what comes of it. Returns the template that refers
    /// to it, for any number of stacks.
    pub async fn package(&self, binaries: &Path, folder: &Path) -> String {
        let (root, package) = (workspace::root(), folder.join("package"));
        let (script, template) = (root.join("tests/python/package.py"), root.join("infra/template.yaml"));
        let paths = [&script, &template, binaries, &package].map(|path: &Path| python::argument(path));
        python::run("python", &[paths[0], paths[1], paths[2], paths[3], ARTIFACTS]);

        let s3 = self.endpoint.s3();
        s3.create_bucket().bucket(ARTIFACTS).send().await.expect("a bucket can be made");
        for entry in package.read_dir().expect("the package is a folder") {
            let path = entry.expect("a folder can be read").path();
            let key = path.file_name().and_then(|name| name.to_str()).expect("packaged files have plain names");
            let body = ByteStream::from_path(&path).await.expect("a packaged file can be read");
            s3.put_object().bucket(ARTIFACTS).key(key).body(body).send().await.expect("a package can be uploaded");
        }
        std::fs::read_to_string(package.join("template.json")).expect("the package has the template")
    }

    /// Creates a stack from a packaged template with these parameters. Returns the stack's outputs.
    pub async fn create_stack(
        &self,
        stack: &str,
        template: &str,
        parameters: &[(&str, &str)],
    ) -> BTreeMap<String, String> {
        let creation = self.creation(stack, template, parameters).await;
        self.endpoint.query("cloudformation", &borrowed(&creation)).await;
        let question = [("Action", "DescribeStacks"), ("Version", "2010-05-15"), ("StackName", stack)];
        let description = until("the stack", Duration::from_secs(60), async || {
            let description = self.endpoint.query("cloudformation", &question).await;
            let status = element(&description, "StackStatus").expect("a stack has a status");
            (!status.ends_with("IN_PROGRESS")).then_some(description)
        })
        .await;
        let status = element(&description, "StackStatus").unwrap_or_default();
        assert_eq!(status, "CREATE_COMPLETE", "{description}\n{}", tail(&self.log));
        let outputs = description.split("<OutputKey>").skip(1).map(|output| {
            let key = output.split('<').next().unwrap_or_default();
            (key.to_owned(), element(output, "OutputValue").unwrap_or_default().to_owned())
        });
        outputs.collect()
    }

    /// Why CloudFormation refuses to create a stack from a packaged template with these parameters.
    pub async fn refusal(&self, template: &str, parameters: &[(&str, &str)]) -> String {
        let creation = self.creation("refused", template, parameters).await;
        let answer = self.endpoint.refused("cloudformation", &borrowed(&creation)).await;
        element(&answer, "Message").unwrap_or(&answer).to_owned()
    }

    // The fields of a CreateStack. A request may carry 51,200 bytes of template, a bucket 1 MB.
    async fn creation(&self, stack: &str, template: &str, parameters: &[(&str, &str)]) -> Vec<(String, String)> {
        let (key, body) = (format!("{stack}.json"), ByteStream::from(template.as_bytes().to_vec()));
        let put = self.endpoint.s3().put_object().bucket(ARTIFACTS).key(&key).body(body);
        put.send().await.expect("a template can be uploaded");
        let url = format!("{}/{ARTIFACTS}/{key}", self.endpoint.0);
        let fields = [
            ("Action", "CreateStack"),
            ("Version", "2010-05-15"),
            ("StackName", stack),
            ("TemplateURL", &url),
            ("Capabilities.member.1", "CAPABILITY_IAM"),
            ("Capabilities.member.2", "CAPABILITY_AUTO_EXPAND"),
        ];
        let mut creation: Vec<_> = fields.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        for (number, (parameter, value)) in (1..).zip(parameters) {
            for (part, text) in [("Key", parameter), ("Value", value)] {
                creation.push((format!("Parameters.member.{number}.Parameter{part}"), (*text).to_owned()));
            }
        }
        creation
    }

    /// Shortens the timeouts of a stack's functions, for scripts that hang.
    pub async fn set_timeouts(&self, stack: &str, seconds: u32) {
        let listing = self.endpoint.rest("lambda", hyper::Method::GET, "/2015-03-31/functions/", &json!({})).await;
        for function in listing["Functions"].as_array().expect("functions can be listed") {
            let name = function["FunctionName"].as_str().unwrap_or_default();
            if name.starts_with(stack) {
                let path = format!("/2015-03-31/functions/{name}/configuration");
                self.endpoint.rest("lambda", hyper::Method::PUT, &path, &json!({"Timeout": seconds})).await;
            }
        }
    }
}

fn borrowed(fields: &[(String, String)]) -> Vec<(&str, &str)> {
    fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}
