use stepwell_pipeline::{
    StageError,
    request::RunRequest,
    run::execution_name,
    spec::{Catalog, CheckedSpec},
};

use crate::{Ports, job, slots};

/// Sends objects to the pipelines that want them.
pub(crate) struct Router<'a> {
    ports: &'a Ports,
    /// Read when it is first needed, for all messages of a batch.
    catalog: Option<Catalog>,
}

impl<'a> Router<'a> {
    pub(crate) fn new(ports: &'a Ports) -> Self {
        Self { ports, catalog: None }
    }

    /// The specs of the deployment.
    pub(crate) async fn catalog(&mut self) -> Result<&Catalog, StageError> {
        let catalog = match self.catalog.take() {
            Some(catalog) => catalog,
            None => Catalog::read(&self.ports.context).await?,
        };
        Ok(self.catalog.insert(catalog))
    }

    /// Starts what one event asks for, whatever becomes of its objects; gives the names of the executions.
    pub(crate) async fn start_all(&mut self, requests: Vec<RunRequest>) -> Result<Vec<String>, StageError> {
        let mut names = Vec::new();
        let mut first_error = None;
        for request in requests {
            match self.start(&request).await {
                Ok(started) => names.extend(started),
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        first_error.map_or(Ok(names), Err)
    }

    /// Starts an execution for each pipeline that fits one object, whatever becomes of the others; gives their names.
    async fn start(&mut self, request: &RunRequest) -> Result<Vec<String>, StageError> {
        let ports = self.ports;
        if let Some(name) = job::claim(ports, request).await? {
            return Ok(vec![name]);
        }
        let catalog = self.catalog().await?;
        let fitting = catalog.fitting(&request.key);
        if fitting.is_empty() {
            catalog.pick(&request.key, None)?;
        }
        let mut names = Vec::new();
        let mut first_error = None;
        for pipeline in fitting {
            match start_one(ports, pipeline, request).await {
                Ok(name) => names.push(name),
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        first_error.map_or(Ok(names), Err)
    }
}

/// Starts the execution of one pipeline for one object; gives its name.
pub(crate) async fn start_one(
    ports: &Ports,
    pipeline: &CheckedSpec,
    request: &RunRequest,
) -> Result<String, StageError> {
    let request = RunRequest { pipeline: Some(pipeline.name().to_owned()), ..request.clone() };
    let name = execution_name(pipeline.name(), &request);
    slots::start(ports, &name, &request).await?;
    Ok(name)
}
