use std::{collections::BTreeMap, fs, net::SocketAddr, path::Path};

use serde::{Deserialize, Serialize};
use stepwell_pipeline::{
    run::digest,
    spec::{CheckedSpec, PIPELINES_PREFIX},
};
use stepwell_sandbox::{
    Checkout, Endpoint, SandboxError,
    environment::Environment,
    ministack::{self, free_port},
    stack,
};

use super::Place;
use crate::command::CommandError;

const STATE: &str = "deployment.json";

/// The stack's name.
pub(crate) const STACK: &str = "stepwell";

/// A ministack and what is deployed on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Deployment {
    /// Where ministack listens on 127.0.0.1.
    pub(crate) port: u16,
    /// The digest of the packaged template, which names all code by its content.
    template: String,
    /// The stack's outputs.
    pub(crate) outputs: BTreeMap<String, String>,
}

/// What a deployment did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Changed {
    /// The stack is new.
    Created,
    /// The stack has other code, or another template, than before.
    Updated,
    /// Everything was as it should be.
    Nothing,
}

impl Deployment {
    /// The deployment that is up, whole and running.
    pub(crate) fn running(place: &Place) -> Result<Option<Self>, CommandError> {
        if !place.group().is_running()? {
            return Ok(None);
        }
        let state = fs::read_to_string(place.join(STATE)).ok();
        Ok(state.and_then(|state| serde_json::from_str(&state).ok()))
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        endpoint(self.port)
    }

    /// Starts ministack on a port, else on a free one, and returns where it listens once it answers.
    pub(crate) async fn start(
        place: &Place,
        checkout: &Checkout,
        environment: &Environment,
        port: Option<u16>,
    ) -> Result<u16, CommandError> {
        let port = port.map_or_else(free_port, Ok)?;
        let (log, folder) = (place.join("ministack.log"), place.join("tmp"));
        fs::create_dir_all(&folder)?;
        let variables = ministack::variables(address(port), &folder);
        let (program, script) = (environment.program("python"), ministack::script(checkout));
        let group = place.group();
        group.start(&program, &[&script], &variables, &log)?;
        ministack::ready(&endpoint(port), &log, || group.is_running().unwrap_or_default()).await?;
        Ok(port)
    }

    /// Packages the template with the binaries, deploys it unless it is what `before` has, and pushes a pipeline if so.
    pub(crate) async fn deploy(
        place: &Place,
        package: &Package,
        port: u16,
        before: Option<Self>,
        spec: &CheckedSpec,
    ) -> Result<(Self, Changed), CommandError> {
        let wanted = digest(package.template.as_bytes());
        let changed = match before {
            Some(before) if before.template == wanted => return Ok((before, Changed::Nothing)),
            Some(_) => Changed::Updated,
            None => Changed::Created,
        };
        let endpoint = endpoint(port);
        stack::upload(&endpoint, &place.join(PACKAGE)).await?;
        let outputs = stack::deploy(&endpoint, STACK, &package.template, &[]).await?;
        let deployment = Self { port, template: wanted, outputs };
        let key = format!("{PIPELINES_PREFIX}{}.yaml", spec.name());
        endpoint.put_object(deployment.output("WorkBucket")?, &key, spec.text.clone()).await?;
        deployment.keep(place)?;
        Ok((deployment, changed))
    }

    pub(crate) fn output(&self, name: &str) -> Result<&str, CommandError> {
        let output = self.outputs.get(name).map(String::as_str);
        output.ok_or_else(|| CommandError::Failed(format!("the stack {STACK} has no output {name}")))
    }

    /// In one step, so that a state that can be read is whole.
    fn keep(&self, place: &Place) -> Result<(), CommandError> {
        let partial = place.join("deployment.json.new");
        fs::write(&partial, serde_json::to_vec(self)?)?;
        Ok(fs::rename(partial, place.join(STATE))?)
    }
}

const PACKAGE: &str = "package";

/// The packaged template; its files are there as long as the value.
#[derive(Debug)]
pub(crate) struct Package {
    template: String,
    folder: std::path::PathBuf,
}

impl Package {
    pub(crate) fn make(
        place: &Place,
        checkout: &Checkout,
        environment: &Environment,
        binaries: &Path,
    ) -> Result<Self, SandboxError> {
        let folder = place.join(PACKAGE);
        let _ = fs::remove_dir_all(&folder);
        let template = stack::package(environment, checkout, binaries, &folder)?;
        Ok(Self { template, folder })
    }
}

impl Drop for Package {
    fn drop(&mut self) {
        // ministack has it; a copy would only take room.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn endpoint(port: u16) -> Endpoint {
    Endpoint::from(address(port))
}
