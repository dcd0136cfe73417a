use std::time::{Duration, SystemTime};

use super::{
    EventType, RunEvent,
    dataset::{self, Name},
    event::{InputDataset, Job, OpenLineageRun, OutputDataset},
    facet::{
        Content, DatasetFacets, DatasetVersion, ErrorMessage, ExternalQuery, InputFacets, JobFacets, JobType,
        LifecycleStateChange, OutputFacets, ProcessingEngine, Read, RunFacets, RunTags, Sql, Statistics, Tag, Written,
    },
    quality::Outcome,
    run_id::run_uuid,
};
use crate::{
    handoff::Commit,
    manifest::{ExtractManifest, Report, TransformManifest},
    run::{Run, Source},
    spec::CheckedSpec,
    stage::{Buckets, CODE_VERSION},
    store::ObjectRef,
};

/// Members of a batch that an event names; the batch list, which is an input too, has them all.
const MEMBERS_NAMED: usize = 50;

/// What events are about: an execution, and as much as is known of what it reads and writes.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The namespace of the job.
    pub namespace: &'a str,
    /// The execution's ARN.
    pub execution_id: &'a str,
    /// How often the execution had been redriven, as far as it is known.
    pub redrive_count: u64,
    /// The pipeline.
    pub pipeline: &'a str,
    /// Its spec.
    pub spec: Option<&'a CheckedSpec>,
    /// The run.
    pub run: Option<&'a Run>,
    /// The object that was asked for, where there is no run.
    pub object: Option<&'a ObjectRef>,
    /// The members, where the source is a batch.
    pub members: Option<&'a [Source]>,
    /// The deployment's buckets.
    pub buckets: &'a Buckets,
}

/// Why an execution ended without success.
#[derive(Clone, Copy, Debug)]
pub struct Problem<'a> {
    /// Whether somebody stopped it.
    pub is_aborted: bool,
    /// The error's name.
    pub name: &'a str,
    /// The error's message.
    pub message: &'a str,
}

impl Subject<'_> {
    /// The event that the execution has begun.
    pub fn started(&self, now: SystemTime) -> RunEvent {
        self.event(EventType::Start, now)
    }

    /// The event that tells of the source's quality before the run fails for it.
    pub fn refused(&self, now: SystemTime, manifest: &ExtractManifest) -> RunEvent {
        let mut event = self.event(EventType::Other, now);
        self.tell_quality(
            &mut event,
            Outcome {
                records_read: manifest.records_read,
                records_rejected: manifest.records_rejected,
                bytes_read: manifest.bytes_read,
                files_read: self.members.map_or(1, |members| members.len() as u64),
                reasons: &manifest.reasons,
                profile: &manifest.profile,
            },
        );
        event
    }

    /// The event that the execution has succeeded, at the time that the report says.
    pub fn completed(&self, report: &Report, transformed: Option<&TransformManifest>) -> RunEvent {
        let load = report.timings.load;
        let ended = SystemTime::UNIX_EPOCH + Duration::from_millis(load.started_ms.saturating_add(load.duration_ms));
        let mut event = self.event(EventType::Complete, ended);
        self.tell_quality(
            &mut event,
            Outcome {
                records_read: report.records_read,
                records_rejected: report.records_rejected,
                bytes_read: report.bytes_read,
                files_read: report.batch.as_ref().map_or(1, |batch| batch.members),
                reasons: &report.reasons,
                profile: &report.profile,
            },
        );
        if let Some(table) = event.outputs.first_mut() {
            let written = Statistics {
                row_count: report.records_loaded,
                size: report.bytes_loaded,
                file_count: report.files.len() as u64,
                way: Written,
            };
            table.output_facets.output_statistics = Some(written.facet());
            if report.commit == Commit::Committed && report.generation > 0 {
                let change = LifecycleStateChange { lifecycle_state_change: "OVERWRITE" };
                table.facets.lifecycle_state_change = Some(change.facet());
            }
            if let Some(transformed) = transformed {
                self.tell_columns(&mut table.facets, transformed);
            }
        }
        event
    }

    /// The event that the execution has ended without success.
    pub fn failed(&self, now: SystemTime, problem: Problem<'_>) -> RunEvent {
        let event_type = if problem.is_aborted { EventType::Abort } else { EventType::Fail };
        let mut event = self.event(event_type, now);
        let message = match problem.message {
            "" => problem.name.to_owned(),
            message => format!("{}: {message}", problem.name),
        };
        event.run.facets.error_message = Some(ErrorMessage { message, programming_language: "RUST" }.facet());
        event
    }

    fn event(&self, event_type: EventType, moment: SystemTime) -> RunEvent {
        let run = OpenLineageRun { run_id: run_uuid(self.execution_id), facets: self.run_facets() };
        let job = Job {
            namespace: self.namespace.to_owned(),
            name: self.pipeline.to_owned(),
            facets: JobFacets {
                job_type: Some(
                    JobType { processing_type: "BATCH", integration: "STEPWELL", job_type: "PIPELINE" }.facet(),
                ),
                sql: self
                    .spec
                    .map(|spec| Sql { query: spec.spec.transform.sql.value.clone(), dialect: "datafusion" }.facet()),
            },
        };
        RunEvent {
            inputs: self.inputs(),
            outputs: self.table().into_iter().collect(),
            redrive_count: self.redrive_count,
            ..RunEvent::new(event_type, moment, run, job)
        }
    }

    fn run_facets(&self) -> RunFacets {
        let tag = |key, value: String| Tag { key, value, source: "STEPWELL" };
        let mut tags = Vec::new();
        if let Some(run) = self.run {
            tags.push(tag("stepwell_run_id", run.id.clone()));
            tags.push(tag("stepwell_spec_digest", run.spec_digest.clone()));
        }
        if let Some(members) = self.members {
            tags.push(tag("stepwell_members", members.len().to_string()));
        }
        if self.redrive_count > 0 {
            tags.push(tag("stepwell_redrive_count", self.redrive_count.to_string()));
        }
        let execution = ExternalQuery { external_query_id: self.execution_id.to_owned(), source: "aws-step-functions" };
        RunFacets {
            processing_engine: Some(ProcessingEngine { name: "Stepwell", version: CODE_VERSION }.facet()),
            external_query: Some(execution.facet()),
            tags: (!tags.is_empty()).then(|| RunTags { tags }.facet()),
            error_message: None,
        }
    }

    /// The source, and for a batch its members; then the reference tables.
    fn inputs(&self) -> Vec<InputDataset> {
        let mut inputs = Vec::new();
        if let Some(object) = self.source() {
            let format = match self.members {
                Some(_) => Some("json"),
                None => self.spec.and_then(|spec| dataset::file_format(spec, &object.key)),
            };
            let name = Name::of(&object);
            let mut facets = name.facets("FILE", format);
            facets.version = self.run.map(|run| version(&run.source));
            facets.schema = self.spec.map(|spec| dataset::schema(&dataset::declared(spec)).facet());
            inputs.push(input(name, facets));
        }
        for member in self.members.into_iter().flatten().take(MEMBERS_NAMED) {
            let format = self.spec.and_then(|spec| dataset::file_format(spec, &member.key));
            let name = Name::of(&ObjectRef::new(&member.bucket, &member.key));
            let facets = DatasetFacets { version: Some(version(member)), ..name.facets("FILE", format) };
            inputs.push(input(name, facets));
        }
        for (_, place) in self.spec.into_iter().flat_map(|spec| dataset::references(spec, self.buckets)) {
            let name = Name::of(&place);
            let facets = name.facets("TABLE", Some("parquet"));
            inputs.push(input(name, facets));
        }
        inputs
    }

    fn table(&self) -> Option<OutputDataset> {
        let name = Name::of(&self.spec?.table(self.buckets));
        let facets = name.facets("TABLE", Some("parquet"));
        let Name { namespace, name } = name;
        Some(OutputDataset { namespace, name, facets, output_facets: OutputFacets::default() })
    }

    fn source(&self) -> Option<ObjectRef> {
        self.run.map(Run::source_ref).or_else(|| self.object.cloned())
    }

    /// Tells of the source's quality; of a batch, of all its members together.
    fn tell_quality(&self, event: &mut RunEvent, outcome: Outcome<'_>) {
        let (Some(source), Some(spec)) = (event.inputs.first_mut(), self.spec) else { return };
        let read = Statistics {
            row_count: outcome.records_read,
            size: outcome.bytes_read,
            file_count: outcome.files_read,
            way: Read,
        };
        source.input_facets = InputFacets {
            input_statistics: Some(read.facet()),
            data_quality_metrics: Some(outcome.metrics(spec).facet()),
            data_quality_assertions: Some(outcome.assertions(spec).facet()),
        };
    }

    fn tell_columns(&self, table: &mut DatasetFacets, transformed: &TransformManifest) {
        if !transformed.columns.is_empty() {
            table.schema = Some(dataset::schema(&transformed.columns).facet());
        }
        if let (Some(lineage), Some(spec), Some(source)) = (&transformed.lineage, self.spec, self.source()) {
            let facet = dataset::column_lineage(lineage, &Name::of(&source), spec, self.buckets);
            table.column_lineage = Some(facet.facet());
        }
    }
}

fn version(source: &Source) -> super::facet::Facet<DatasetVersion> {
    DatasetVersion { dataset_version: dataset::version(source) }.facet()
}

fn input(name: Name, facets: DatasetFacets) -> InputDataset {
    InputDataset { namespace: name.namespace, name: name.name, facets, input_facets: InputFacets::default() }
}
