//! Rounds: the parts group by group, and the checkpoint between.

use std::time::SystemTime;

use datafusion::physical_plan::{SendableRecordBatchStream, common::spawn_buffered};
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use stepwell_pipeline::{
    StageError,
    manifest::{DataFile, ExtractManifest, Part, Timing, TransformManifest},
    run::Run,
    spec::CheckedSpec,
    stage::{CODE_VERSION, Stage, StageContext},
    store::{self, ObjectRef},
};

use crate::{
    files::{FileWriter, Layout},
    sql::{self, InputTable, Query, References},
};

/// On several cores the SQL goes on while its records are written, and is at most so many batches ahead.
const BATCHES_AHEAD: usize = 2;

/// What the groups that are done gave. It counts only for the same input, cut into the same groups by the same code.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Checkpoint {
    basis: Basis,
    groups_done: usize,
    files: Vec<DataFile>,
    records_filtered: Option<u64>,
    records_duplicate: Option<u64>,
    bytes_spilled: u64,
    timing: Timing,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Basis {
    parts: usize,
    records_accepted: u64,
    group_parts: usize,
    code_version: String,
}

/// Does groups until none is left or the time is up; nothing stands for the latter.
pub(crate) async fn run(
    context: &StageContext,
    spec: &CheckedSpec,
    source: &ExtractManifest,
    started: SystemTime,
) -> Result<Option<TransformManifest>, StageError> {
    let references = References::open(context, spec).await?;
    let all = InputTable::new(context, spec.arrow_schema(), &source.parts);
    let shape = sql::shape(spec, &context.limits, all, &references).await?;
    let in_groups = spec.dedupe.is_none() && shape.is_row_wise;
    let group_parts = if in_groups { context.limits.group_parts.max(1) } else { source.parts.len().max(1) };
    let groups: Vec<&[Part]> = if in_groups { source.parts.chunks(group_parts).collect() } else { vec![&source.parts] };
    let basis = Basis {
        parts: source.parts.len(),
        records_accepted: source.records_accepted,
        group_parts,
        code_version: CODE_VERSION.to_owned(),
    };
    let checkpoint_ref =
        ObjectRef::new(&context.buckets.work, source.run.staged_key(Stage::Transform, "checkpoint.json"));
    let kept = match groups.len() {
        0 | 1 => None,
        _ => store::get_json::<Checkpoint>(&*context.stores, &checkpoint_ref).await?,
    };
    let mut done = kept.filter(|kept| kept.basis == basis).unwrap_or_else(|| Checkpoint {
        basis,
        records_filtered: in_groups.then_some(0),
        timing: Timing::between(started, (context.now)()),
        ..Checkpoint::default()
    });
    let earlier_ms = done.timing.duration_ms;
    let ahead = groups.iter().skip(done.groups_done).flat_map(|parts| *parts);
    context.progress.started(Stage::Transform, Some(ahead.map(|part| part.bytes).sum()));
    for (index, parts) in groups.iter().enumerate().skip(done.groups_done) {
        let group = Group { context, spec, source, references: &references, index, parts };
        done.add(group.write().await?);
        done.timing.duration_ms = earlier_ms + Timing::between(started, (context.now)()).duration_ms;
        if index + 1 < groups.len() {
            store::put_json(&*context.stores, &checkpoint_ref, &done).await?;
            if context.budget.is_spent() {
                tracing::info!(run = source.run.id, groups = done.groups_done, "time is up; to be continued");
                return Ok(None);
            }
        }
    }
    Ok(Some(done.into_manifest(&source.run, source.records_accepted, shape)))
}

impl Checkpoint {
    fn add(&mut self, (files, counts): (Vec<DataFile>, sql::Counts)) {
        let sum = |one: Option<u64>, other: Option<u64>| other.map(|other| one.unwrap_or_default() + other);
        self.groups_done += 1;
        self.files.extend(files);
        self.records_filtered = sum(self.records_filtered, counts.filtered);
        self.records_duplicate = sum(self.records_duplicate, counts.duplicate);
        self.bytes_spilled += counts.bytes_spilled;
    }

    fn into_manifest(self, run: &Run, records_in: u64, shape: sql::Shape) -> TransformManifest {
        TransformManifest {
            run: run.clone(),
            records_in,
            records_out: self.files.iter().map(|file| file.records).sum(),
            records_filtered: self.records_filtered,
            records_duplicate: self.records_duplicate,
            bytes_out: self.files.iter().map(|file| file.bytes).sum(),
            bytes_spilled: self.bytes_spilled,
            columns: shape.columns,
            lineage: Some(shape.lineage),
            files: self.files,
            timing: self.timing,
            code_version: CODE_VERSION.to_owned(),
        }
    }
}

/// Some of the parts, which the SQL is run over at once.
struct Group<'a> {
    context: &'a StageContext,
    spec: &'a CheckedSpec,
    source: &'a ExtractManifest,
    references: &'a References,
    index: usize,
    parts: &'a [Part],
}

impl Group<'_> {
    /// Runs the SQL over the group and writes what it gives.
    async fn write(&self) -> Result<(Vec<DataFile>, sql::Counts), StageError> {
        let input = InputTable::open(self.context, &self.spec.arrow_schema(), self.parts).await?;
        let scanned = input.records();
        let query = Query::plan(self.spec, &self.context.limits, input, self.references).await?;
        let layout = Layout::new(&self.source.run, self.index, self.spec);
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let mut files = FileWriter::new(self.context, layout, &query.schema(), threads)?;
        let batches = query.execute()?;
        let batches = if threads > 1 { spawn_buffered(batches, BATCHES_AHEAD) } else { batches };
        if let Err(error) = write_all(&mut files, batches).await {
            files.abort().await;
            return Err(error);
        }
        let files = files.finish().await?;
        let accepted = self.parts.iter().map(|part| part.records).sum();
        let written = files.iter().map(|file| file.records).sum();
        let counts = query.reconcile(accepted, scanned.get(), written, self.spec.dedupe.is_some())?;
        Ok((files, counts))
    }
}

async fn write_all(files: &mut FileWriter, mut batches: SendableRecordBatchStream) -> Result<(), StageError> {
    while let Some(batch) = batches.next().await {
        files.write(batch.map_err(sql::failed)?).await?;
    }
    Ok(())
}
