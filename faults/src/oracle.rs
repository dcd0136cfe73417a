//! The oracle: what the destination really holds, against the model.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use arrow::{
    array::{Array, AsArray},
    compute::cast,
    datatypes::{DataType, Int64Type},
};
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use stepwell_pipeline::{
    manifest::{CommitManifest, Report},
    reject::Reject,
    request::RunRequest,
    store::ObjectRef,
};

use crate::{
    call::{Fault, FaultKind},
    scenario::{Expected, HEADER, Model, Row, Spec, Version},
    state::State,
    world::{LAKE, WORK},
};

/// Reads tables, each file once.
#[derive(Debug, Default)]
pub(crate) struct Oracle {
    files: RefCell<HashMap<String, Arc<Vec<Row>>>>,
}

/// Whether faults may have left an upload that only the bucket's lifecycle rule can end: its id was lost, or the
/// function was killed, or it could not be ended.
pub(crate) fn may_leave_uploads(fired: &[Fault]) -> bool {
    use FaultKind::*;
    fired.iter().any(|fault| {
        matches!(fault.kind, KilledBefore | KilledAfter | KilledDuring | ReplyLost | TimesOut) || fired.len() > 1
    })
}

impl Oracle {
    /// Compares everything.
    pub(crate) fn check(&self, state: &State, model: &Model, may_leave_uploads: bool) -> Result<(), String> {
        for pipeline in model.pipelines() {
            self.check_table(state, model, pipeline)?;
        }
        if !may_leave_uploads && let Some(upload) = state.uploads().next() {
            return Err(format!("the upload of {} is not ended", upload.at));
        }
        check_work(state, model)
    }

    fn check_table(&self, state: &State, model: &Model, pipeline: &str) -> Result<(), String> {
        let prefix = format!("{pipeline}/");
        let (own, commits) = (format!("{prefix}_stepwell/"), format!("{prefix}_stepwell/commits/"));
        let mut files = BTreeSet::new();
        let mut held = Vec::new();
        for (key, object) in state.objects(LAKE, &prefix).filter(|(key, _)| !key.starts_with(&own)) {
            files.insert(key.to_owned());
            held.extend(self.rows(key, &object.etag, &object.bytes)?.iter().cloned());
        }
        let mut wanted: Vec<Row> = model.current(pipeline).flat_map(|(spec, version)| version.loaded(spec)).collect();
        held.sort();
        wanted.sort();
        if held != wanted {
            return Err(format!("the table {pipeline} {}", difference(&held, &wanted)));
        }
        let mut named = BTreeSet::new();
        let mut documents: Vec<CommitManifest> = Vec::new();
        for (key, object) in state.objects(LAKE, &commits) {
            let document: CommitManifest = serde_json::from_slice(&object.bytes)
                .map_err(|error| format!("{key} is no commit document: {error}"))?;
            named.extend(document.keys());
            documents.push(document);
        }
        if named != files {
            return Err(format!("the commit documents of {pipeline} name {named:?}, but the table has {files:?}"));
        }
        check_documents(&documents, model, pipeline)?;
        let announced = state.objects(LAKE, &format!("{own}loading/")).count();
        if announced > model.failed.len() {
            return Err(format!("{announced} runs of {pipeline} are announced, though all have ended"));
        }
        Ok(())
    }

    fn rows(&self, key: &str, etag: &str, bytes: &Bytes) -> Result<Arc<Vec<Row>>, String> {
        let partition = key.split('/').find_map(|folder| folder.strip_prefix("day="));
        let name = format!("{etag} {}", partition.unwrap_or_default());
        if let Some(rows) = self.files.borrow().get(&name) {
            return Ok(rows.clone());
        }
        let rows = read(bytes.clone(), partition).map_err(|error| format!("{key} cannot be read: {error}"))?;
        let rows = Arc::new(rows);
        self.files.borrow_mut().insert(name, rows.clone());
        Ok(rows)
    }
}

fn difference(held: &[Row], wanted: &[Row]) -> String {
    let missing: Vec<_> = wanted.iter().filter(|row| !held.contains(row)).collect();
    let foreign: Vec<_> = held.iter().filter(|row| !wanted.contains(row)).collect();
    if missing.is_empty() && foreign.is_empty() {
        return format!("holds {} records where {} are wanted: some twice", held.len(), wanted.len());
    }
    format!("lacks {missing:?} and holds {foreign:?} besides")
}

fn read(bytes: Bytes, partition: Option<&str>) -> Result<Vec<Row>, Box<dyn std::error::Error>> {
    let mut rows = Vec::new();
    for batch in ParquetRecordBatchReaderBuilder::try_new(bytes)?.build()? {
        let batch = batch?;
        let column = |name: &str, data_type: &DataType| {
            let column = batch.column_by_name(name).ok_or_else(|| format!("it has no column `{name}`"))?;
            Ok::<_, Box<dyn std::error::Error>>(cast(column, data_type)?)
        };
        let [id, amount, twice] =
            [column("id", &DataType::Int64)?, column("amount", &DataType::Int64)?, column("twice", &DataType::Int64)?];
        let days = match partition {
            Some(_) => None,
            None => Some(column("day", &DataType::Utf8)?),
        };
        let number = |column: &Arc<dyn Array>, row| column.as_primitive::<Int64Type>().value(row);
        for row in 0..batch.num_rows() {
            let day = match &days {
                Some(days) => days.as_string::<i32>().value(row),
                None => partition.unwrap_or_default(),
            };
            rows.push(Row {
                id: number(&id, row),
                day: day.to_owned(),
                amount: number(&amount, row),
                twice: number(&twice, row),
            });
        }
    }
    Ok(rows)
}

/// Exactly one document for each key, of the version that must be current.
fn check_documents(documents: &[CommitManifest], model: &Model, pipeline: &str) -> Result<(), String> {
    let wanted: Vec<&(Spec, Version)> = model.current(pipeline).collect();
    if documents.len() != wanted.len() {
        return Err(format!("{} commit documents where {} keys were loaded", documents.len(), wanted.len()));
    }
    for (spec, version) in wanted {
        let fits = |document: &&CommitManifest| {
            let source = &document.run.source;
            source.key == version.key
                && source.etag == version.etag()
                && source.sequencer == version.sequencer()
                && document.run.pipeline == spec.pipeline
                && document.records_loaded == version.loaded(spec).len() as u64
                && document.run.spec_digest == stepwell_pipeline::run::digest(spec.text().as_bytes())
        };
        if !documents.iter().any(|document| fits(&document)) {
            let found: Vec<_> = documents.iter().map(|document| &document.run).collect();
            return Err(format!(
                "no commit document is that of upload {} of {}: {found:?}",
                version.number, version.key
            ));
        }
    }
    Ok(())
}

/// What runs left in the work bucket: everything that is promised, and nothing more.
fn check_work(state: &State, model: &Model) -> Result<(), String> {
    let mut groups: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    let mut staged: BTreeSet<(String, String)> = BTreeSet::new();
    for (key, _) in state.objects(WORK, "") {
        match key.splitn(4, '/').collect::<Vec<_>>()[..] {
            ["pipelines", ..] | ["notices", ..] | ["runs", _, "request.json"] => {}
            ["runs", run, spec, name] => {
                groups.entry((run.to_owned(), spec.to_owned())).or_default().insert(name.to_owned());
            }
            ["staged", run, spec, _] => {
                staged.insert((run.to_owned(), spec.to_owned()));
            }
            _ => return Err(format!("{key} is left in the work bucket")),
        }
    }
    for ((run, spec), names) in &groups {
        let at = |name: &str| ObjectRef::new(WORK, format!("runs/{run}/{spec}/{name}"));
        let text = |at: &ObjectRef| state.object(at).map(|object| String::from_utf8_lossy(&object.bytes).into_owned());
        let request = text(&ObjectRef::new(WORK, format!("runs/{run}/request.json")));
        let request: Option<RunRequest> = request.and_then(|text| serde_json::from_str(&text).ok());
        let Some(request) = request else {
            // It failed before it began.
            if names.len() == 1 && !model.failed.is_empty() {
                continue;
            }
            return Err(format!("the run {run} has no request"));
        };
        let spec_text = text(&at("spec.yaml")).unwrap_or_default();
        let of_run = model.runs.iter().rev().find(|(spec, version, _)| {
            spec.text() == spec_text && Some(version.etag()) == request.etag && version.key == request.key
        });
        let Some((spec_of_run, version, expected)) = of_run else { continue };
        let mut wanted = BTreeSet::from(["spec.yaml".to_owned()]);
        if !version.rejected().is_empty() {
            wanted.extend(["extract/rejects.csv", "extract/reasons.ndjson"].map(str::to_owned));
        }
        if *expected != Expected::TooManyRejects {
            wanted.extend(
                ["extract/manifest.json", "transform/manifest.json", "report.json", "report.html"].map(str::to_owned),
            );
            let is_failed =
                model.failed.iter().any(|failed| failed.key == version.key && failed.etag() == version.etag());
            if !is_failed && staged.contains(&(run.clone(), spec.clone())) {
                return Err(format!("the run {run} succeeded, but its staged data is left"));
            }
        }
        if *names != wanted {
            return Err(format!("the run {run} left {names:?} where {wanted:?} is promised"));
        }
        check_rejects(version, text(&at("extract/rejects.csv")), text(&at("extract/reasons.ndjson")))?;
        if let Some(report) = text(&at("report.json")) {
            check_report(&report, spec_of_run, version)?;
        }
    }
    Ok(())
}

fn check_rejects(version: &Version, records: Option<String>, reasons: Option<String>) -> Result<(), String> {
    let rejected = version.rejected();
    if rejected.is_empty() {
        return Ok(());
    }
    let wanted: String =
        std::iter::once(HEADER).chain(rejected.iter().map(|(_, line)| *line)).map(|line| format!("{line}\n")).collect();
    let records = records.unwrap_or_default();
    if records != wanted {
        return Err(format!("the rejects file is {records:?} where {wanted:?} is promised"));
    }
    let reasons = reasons.unwrap_or_default();
    let lines: Result<Vec<u64>, _> =
        reasons.lines().map(|line| serde_json::from_str::<Reject>(line).map(|reject| reject.line)).collect();
    let wanted: Vec<u64> = rejected.iter().map(|(line, _)| *line).collect();
    match lines {
        Ok(lines) if lines == wanted => Ok(()),
        Ok(lines) => Err(format!("reasons are given for the lines {lines:?} where {wanted:?} were rejected")),
        Err(error) => Err(format!("the reasons cannot be read: {error}")),
    }
}

fn check_report(report: &str, spec: &Spec, version: &Version) -> Result<(), String> {
    let report: Report = serde_json::from_str(report).map_err(|error| format!("the report cannot be read: {error}"))?;
    let count = |number: usize| number as u64;
    let (accepted, loaded) = (count(version.accepted().len()), count(version.loaded(spec).len()));
    let wanted = [count(version.lines.len()), count(version.rejected().len()), accepted, loaded, accepted - loaded];
    let told = [
        report.records_read,
        report.records_rejected,
        report.records_in,
        report.records_out,
        report.records_filtered.unwrap_or_default(),
    ];
    if told != wanted {
        return Err(format!("the report counts {told:?} (read, rejected, in, out, filtered) where {wanted:?} holds"));
    }
    Ok(())
}
