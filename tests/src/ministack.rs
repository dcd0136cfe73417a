//! ministack: AWS services in one process, which runs `provided.al2023` binaries over the Runtime API and takes the
//! SAM template as it is.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use serde_json::json;
use stepwell_sandbox::{
    Checkout,
    ministack::{free_port, ready, script, tail, variables},
    stack,
};

use crate::{api::Endpoint, fault_proxy::FaultProxy, process::Supervised, python, workspace};

/// A running ministack.
#[derive(Debug)]
pub struct Ministack {
    /// Where it serves all its services.
    pub endpoint: Endpoint,
    /// What the functions' requests to S3 go through.
    pub proxy: FaultProxy,
    log: PathBuf,
    _process: Supervised,
}

impl Ministack {
    /// Starts a ministack whose functions get further environment variables, and waits until it answers.
    pub async fn start(folder: &Path, more: &[(&str, &str)]) -> Self {
        let port = free_port().expect("127.0.0.1 has a free port");
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let proxy = FaultProxy::start(address);
        let (log, temporary, s3) = (folder.join("ministack.log"), folder.join("tmp"), proxy.url());
        std::fs::create_dir_all(&temporary).expect("a scratch folder can be made");
        let shared = variables(address, &temporary);
        let mut variables: Vec<_> = shared.iter().map(|(name, value)| (*name, value.as_str())).collect();
        // Its interpreter ignores jitter and caps anyway: the waits are checked on the other engine.
        variables.extend([("AWS_ENDPOINT_URL_S3", s3.as_str()), ("SFN_WAIT_SCALE", "0.01")]);
        variables.extend(more);
        let script = script(&checkout());
        let mut process = Supervised::start(&python::program("python"), &[python::argument(&script)], &variables, &log);
        let answers = ready(&Endpoint::from(address).bare(), &log, || process.ended().is_none()).await;
        answers.unwrap_or_else(|error| panic!("{error}"));
        Self { endpoint: Endpoint::from(address), proxy, log, _process: process }
    }

    /// Packages the template with binaries of the folder and uploads what comes of it. Returns the template that refers
    /// to it, for any number of stacks.
    pub async fn package(&self, binaries: &Path, folder: &Path) -> String {
        let package = folder.join("package");
        let template = stack::package(python::TESTS.environment(), &checkout(), binaries, &package);
        let template = template.unwrap_or_else(|error| panic!("{error}"));
        stack::upload(&self.endpoint.bare(), &package).await.unwrap_or_else(|error| panic!("{error}"));
        template
    }

    /// Creates a stack from a packaged template with these parameters. Returns the stack's outputs.
    pub async fn create_stack(
        &self,
        stack: &str,
        template: &str,
        parameters: &[(&str, &str)],
    ) -> BTreeMap<String, String> {
        let outputs = stack::deploy(&self.endpoint.bare(), stack, template, parameters).await;
        outputs.unwrap_or_else(|error| panic!("{error}\n{}", tail(&self.log)))
    }

    /// Why CloudFormation refuses to create a stack from a packaged template with these parameters.
    pub async fn refusal(&self, template: &str, parameters: &[(&str, &str)]) -> String {
        match stack::request(&self.endpoint.bare(), "refused", template, parameters).await {
            Ok(()) => panic!("a stack with {parameters:?} is not refused"),
            Err(refusal) => refusal.to_string(),
        }
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

fn checkout() -> Checkout {
    Checkout::at(workspace::root())
}
