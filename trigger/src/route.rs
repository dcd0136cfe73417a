use std::collections::BTreeSet;

use stepwell_pipeline::{
    ErrorKind, StageError,
    request::RunRequest,
    run::execution_name,
    spec::{Catalog, CheckedSpec},
    store::ObjectRef,
};
use tracing::{debug, error, info, warn};

use crate::{
    Ports, arrivals,
    failure::Failures,
    gather, job,
    look::{Fit, Look},
    slots,
};

/// Sends objects to the pipelines that want them.
pub(crate) struct Router<'a> {
    ports: &'a Ports,
    /// Read when it is first needed, for all messages of a batch.
    catalog: Option<Catalog>,
    /// The pipelines whose arrivals were noted already.
    noted: BTreeSet<String>,
}

impl<'a> Router<'a> {
    pub(crate) fn new(ports: &'a Ports) -> Self {
        Self { ports, catalog: None, noted: BTreeSet::new() }
    }

    /// The specs of the deployment.
    pub(crate) async fn catalog(&mut self) -> Result<&Catalog, StageError> {
        let catalog = match self.catalog.take() {
            Some(catalog) => catalog,
            None => read_catalog(self.ports).await?,
        };
        Ok(self.catalog.insert(catalog))
    }

    /// Starts what one event asks for, whatever becomes of its objects; gives the names of the executions.
    pub(crate) async fn start_all(
        &mut self,
        uploads: Vec<Result<RunRequest, StageError>>,
    ) -> Result<Vec<String>, Failures> {
        let mut names = Vec::new();
        let mut failures = Failures::default();
        for upload in uploads {
            match upload {
                Ok(request) => {
                    let (started, others) = self.start(&request).await;
                    names.extend(started);
                    failures.append(others);
                }
                Err(error) => failures.push(None, error),
            }
        }
        failures.or_done(names)
    }

    /// Sends one object to each pipeline that wants it, whatever becomes of the others.
    async fn start(&mut self, request: &RunRequest) -> (Vec<String>, Failures) {
        let ports = self.ports;
        match job::claim(ports, request).await {
            Ok(Some(name)) => return (vec![name], Failures::default()),
            Ok(None) => {}
            Err(error) => return (Vec::new(), error.into()),
        }
        let mut names = Vec::new();
        let (wanting, mut failures) = match self.catalog().await {
            Ok(catalog) => wanting(ports, catalog, request).await,
            Err(error) => return (names, error.into()),
        };
        let mut arrived = Vec::new();
        for pipeline in wanting {
            match hand_over(ports, pipeline, request).await {
                Ok(name) => names.extend(name),
                Err(error) => failures.push(Some(pipeline.name()), error),
            }
            arrived.extend(pipeline.expect_every.map(|every| (pipeline.name().to_owned(), every)));
        }
        for (pipeline, every) in arrived {
            if self.noted.contains(&pipeline) {
                continue;
            }
            match arrivals::note(ports, &pipeline, every).await {
                Ok(()) => {
                    self.noted.insert(pipeline);
                }
                Err(error) if error.kind().is_transient() => failures.push(Some(&pipeline), error),
                // The upload itself is well; an alarm too many does less harm than a dead letter that helps nobody.
                Err(error) => warn!(pipeline, error = error.report(), "cannot note that an upload came"),
            }
        }
        (names, failures)
    }
}

/// Reads the specs, and tells in the log of those that are wrong.
async fn read_catalog(ports: &Ports) -> Result<Catalog, StageError> {
    let catalog = Catalog::read(&ports.context).await?;
    for wrong in catalog.wrong() {
        let is_match_known = wrong.match_glob.is_some();
        error!(pipeline = wrong.pipeline, is_match_known, error = %wrong.errors, "spec is not valid");
    }
    Ok(catalog)
}

/// The pipelines that want an object, and what is wrong with those that might.
///
/// A spec that is wrong is told of the objects whose keys its `match` fits, so that it is not silently left out where
/// others fit too. One whose `match` cannot even be read is told in the log, and where nobody else wants the object:
/// otherwise one unreadable file would stop every pipeline.
async fn wanting<'c>(ports: &Ports, catalog: &'c Catalog, request: &RunRequest) -> (Vec<&'c CheckedSpec>, Failures) {
    let mut failures = Failures::default();
    for wrong in catalog.wrong_fitting(&request.key) {
        failures.push(wrong.pipeline.as_deref(), wrong.errors.clone().into());
    }
    let fitting = catalog.fitting(&request.key);
    if fitting.is_empty() && failures.is_empty() {
        let schedules = catalog.specs().iter().filter_map(|spec| spec.schedule.as_ref());
        if schedules.into_iter().any(|schedule| schedule.is_sign(&request.key)) {
            info!(bucket = request.bucket, key = request.key, "object tells that a scheduled batch is complete");
            return (Vec::new(), failures);
        }
        catalog.pick(&request.key, None).err().into_iter().for_each(|error| failures.push(None, error));
    }
    let mut look = Look::new(&ports.context, request);
    let (mut wanting, mut misfits) = (Vec::new(), Vec::new());
    for pipeline in fitting {
        match look.fit(pipeline).await {
            Ok(Fit::Fits) => wanting.push(pipeline),
            Ok(Fit::Misfit(reason)) => {
                info!(
                    pipeline = pipeline.name(),
                    bucket = request.bucket,
                    key = request.key,
                    reason,
                    "object does not fit"
                );
                misfits.push(format!("`{}`: {reason}", pipeline.name()));
            }
            Ok(Fit::Ignored(reason)) => {
                info!(bucket = request.bucket, key = request.key, reason, "object ignored");
                return (Vec::new(), failures);
            }
            Err(error) => failures.push(Some(pipeline.name()), error),
        }
    }
    if wanting.is_empty() && failures.is_empty() {
        let object = ObjectRef::new(&request.bucket, &request.key);
        let message = format!("no pipeline wants {object}, whose key fits: {}", misfits.join("; "));
        failures.push(None, StageError::new(ErrorKind::NoPipeline, message));
        for wrong in catalog.wrong().iter().filter(|wrong| wrong.match_glob.is_none()) {
            failures.push(wrong.pipeline.as_deref(), wrong.errors.clone().into());
        }
    }
    (wanting, failures)
}

/// Gives one object to one pipeline, as its spec wants it: at once, gathered with others, or when its time comes. Gives the
/// name of the execution where one was started.
pub(crate) async fn hand_over(
    ports: &Ports,
    pipeline: &CheckedSpec,
    request: &RunRequest,
) -> Result<Option<String>, StageError> {
    if pipeline.schedule.is_some() {
        debug!(pipeline = pipeline.name(), key = request.key, "object waits for its schedule");
        return Ok(None);
    }
    if pipeline.batch.is_some() {
        gather::keep(ports, pipeline, request).await?;
        return Ok(None);
    }
    start_one(ports, pipeline, request).await.map(Some)
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
