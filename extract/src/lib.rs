//! The first stage: an object in the landing bucket becomes staged parts of accepted records, and rejects.

mod batch;
mod cell;
#[allow(dead_code, unused_imports)]
mod column;
mod csv;
mod header;
mod output;
mod pin;
mod profile;
mod sniff;
mod source;

use std::time::SystemTime;

use bytes::Bytes;
use stepwell_pipeline::{
    ErrorKind, StageError,
    handoff::Extracted,
    manifest::{ExtractManifest, Timing},
    reject::{Reject, RejectCode},
    request::RunRequest,
    run::Run,
    spec::{Catalog, CheckedSpec},
    stage::{CODE_VERSION, Stage, StageContext},
    store::{self, ObjectRef},
};

use crate::{
    batch::BatchBuilder,
    cell::{Cell, FieldParser},
    csv::{Record, RecordSplitter},
    header::Layout,
    output::{PartWriter, RejectWriter},
    source::SourceReader,
};

/// Runs the stage: pins the object, picks the pipeline, checks every record against the schema, and writes accepted
/// records and rejects under the run's prefix.
///
/// Repeated for the same object version and spec, it finds its own manifest and does nothing.
///
/// # Errors
/// `SourceMissing`, `SourceChanged`, `NoPipeline`, `InvalidSpec`, `UnreadableSource`, `SchemaMismatch`,
/// `TooManyRejects`, `ReconciliationFailed`, and what the stores say.
pub async fn extract(context: &StageContext, request: RunRequest) -> Result<Extracted, StageError> {
    let started = SystemTime::now();
    let source = pin::pin(context, &request).await?;
    let catalog = Catalog::read(context).await?;
    let spec = catalog.pick(&request.key, request.pipeline.as_deref())?;
    let run = Run::new(spec.name(), &spec.digest, source);
    let work = &context.buckets.work;
    let manifest_ref = ObjectRef::new(work, run.stage_key(Stage::Extract, "manifest.json"));
    context.progress.started(Stage::Extract, Some(run.source.size));
    if let Some(manifest) = store::get_json::<ExtractManifest>(&*context.stores, &manifest_ref).await? {
        tracing::info!(run = run.id, "extract was finished by an earlier execution");
        context.progress.finished(Stage::Extract, true);
        return Ok(extracted(run, &manifest, manifest_ref.key));
    }
    let request_ref = ObjectRef::new(work, format!("{}request.json", Run::home(&run.id)));
    store::put_json(&*context.stores, &request_ref, &request).await?;
    let spec_ref = ObjectRef::new(work, run.spec_key());
    store::put(&*context.stores, &spec_ref, spec.text.clone()).await?;

    let manifest = decode(context, spec, run, started).await?;
    store::put_json(&*context.stores, &manifest_ref, &manifest).await?;
    context.progress.finished(Stage::Extract, false);
    tracing::info!(
        run = manifest.run.id,
        records_read = manifest.records_read,
        records_rejected = manifest.records_rejected,
        "extracted"
    );
    Ok(extracted(manifest.run.clone(), &manifest, manifest_ref.key))
}

/// The handoff. The run is the execution's own: an earlier one may have read the same bytes for an older event.
fn extracted(run: Run, manifest: &ExtractManifest, key: String) -> Extracted {
    Extracted {
        run,
        manifest: key,
        records_read: manifest.records_read,
        records_rejected: manifest.records_rejected,
        bytes_read: manifest.bytes_read,
    }
}

async fn decode(
    context: &StageContext,
    spec: &CheckedSpec,
    run: Run,
    started: SystemTime,
) -> Result<ExtractManifest, StageError> {
    let mut source = SourceReader::open(context, &run.source)?;
    let mut splitter = RecordSplitter::new(spec.dialect.delimiter[0], spec.dialect.quote.unwrap_or(b'"'));
    let mut records = RecordChecker::new(context, spec, &run);
    let mut first = true;
    loop {
        let chunk = source.next().await?;
        if let (true, Some(chunk)) = (first, &chunk) {
            splitter.skip(sniff::byte_order_mark_bytes(&run.source.key, chunk)?);
        }
        first = false;
        let records_before = records.read;
        if let Some(chunk) = &chunk {
            splitter.feed(chunk);
        }
        while let Some(record) = splitter.next(chunk.is_none())? {
            records.check(&record).await?;
        }
        let chunk_bytes = chunk.as_ref().map_or(0, Bytes::len);
        context.progress.advanced(Stage::Extract, chunk_bytes as u64, records.read - records_before);
        if chunk.is_none() {
            break;
        }
    }
    let manifest = records.finish(&run, started).await?;
    reconcile(&manifest)?;
    refuse_too_many_rejects(spec, &manifest, &context.buckets.work)?;
    Ok(manifest)
}

/// Sorts the records of one object into accepted ones and rejects.
struct RecordChecker<'a> {
    spec: &'a CheckedSpec,
    object: String,
    layout: Option<Layout>,
    parsers: Vec<FieldParser>,
    nulls: Vec<&'a [u8]>,
    batch: BatchBuilder,
    parts: PartWriter,
    rejects: RejectWriter,
    read: u64,
}

impl<'a> RecordChecker<'a> {
    fn new(context: &StageContext, spec: &'a CheckedSpec, run: &Run) -> Self {
        let batch = BatchBuilder::new(&spec.columns, spec.arrow_schema());
        Self {
            spec,
            object: run.source_ref().to_string(),
            layout: (!spec.spec.source.csv.header).then(|| Layout::by_position(&spec.columns)),
            parsers: spec.columns.iter().map(|column| FieldParser::new(&column.column_type)).collect(),
            nulls: spec.spec.source.csv.nulls.iter().map(|null| null.as_bytes()).collect(),
            parts: PartWriter::new(context, run, spec.arrow_schema()),
            batch,
            rejects: RejectWriter::new(context, run),
            read: 0,
        }
    }

    async fn check(&mut self, record: &Record<'_>) -> Result<(), StageError> {
        let Some(layout) = &self.layout else {
            self.layout = Some(Layout::from_header(record, self.spec, &self.object)?);
            self.rejects.set_header(record.bytes());
            return Ok(());
        };
        self.read += 1;
        match self.parse(record, layout) {
            Ok(cells) => {
                if self.batch.append(&cells, record.bytes().len()) {
                    self.parts.write(self.batch.take()?).await?;
                }
            }
            Err(fault) => {
                let reject = Reject {
                    object: self.object.clone(),
                    line: record.line(),
                    byte_offset: record.byte_offset(),
                    column: fault.column,
                    code: fault.code,
                    message: fault.message,
                    value: fault.value,
                };
                self.rejects.write(record.bytes(), &reject).await?;
            }
        }
        Ok(())
    }

    fn parse<'r>(&self, record: &'r Record<'_>, layout: &Layout) -> Result<Vec<Option<Cell<'r>>>, Fault> {
        let fields = record.field_count();
        if fields != layout.fields() {
            let code = if fields < layout.fields() { RejectCode::TooFewFields } else { RejectCode::TooManyFields };
            let message = format!("the record has {fields} fields where {} are declared", layout.fields());
            return Err(Fault { column: None, code, message, value: None });
        }
        let mut cells = Vec::with_capacity(self.spec.columns.len());
        for (index, column) in self.spec.columns.iter().enumerate() {
            let field = record.field(layout.field_of(index));
            let cell = if !self.nulls.contains(&field) {
                self.parsers[index].parse(field).map(Some)
            } else if column.required {
                Err((RejectCode::RequiredMissing, "a required value is missing".to_owned()))
            } else {
                Ok(None)
            };
            cells.push(cell.map_err(|(code, message)| Fault {
                column: Some(column.name.clone()),
                code,
                message,
                value: Some(cell::excerpt(field)),
            })?);
        }
        Ok(cells)
    }

    async fn finish(mut self, run: &Run, started: SystemTime) -> Result<ExtractManifest, StageError> {
        if self.layout.is_none() {
            return Err(StageError::new(
                ErrorKind::UnreadableSource,
                format!("{} is empty: it has not even a header", self.object),
            ));
        }
        if !self.batch.is_empty() {
            self.parts.write(self.batch.take()?).await?;
        }
        let profile = self.batch.profile();
        let parts = self.parts.finish().await?;
        let rejects = self.rejects.finish().await?;
        Ok(ExtractManifest {
            run: run.clone(),
            records_read: self.read,
            records_accepted: parts.iter().map(|part| part.records).sum(),
            records_rejected: rejects.records,
            parts,
            rejects: rejects.files,
            bytes_read: run.source.size,
            reasons: rejects.reasons,
            profile,
            timing: Timing::since(started),
            code_version: CODE_VERSION.to_owned(),
        })
    }
}

/// Why a record is rejected.
struct Fault {
    column: Option<String>,
    code: RejectCode,
    message: String,
    value: Option<String>,
}

fn reconcile(manifest: &ExtractManifest) -> Result<(), StageError> {
    let ExtractManifest { records_read, records_accepted, records_rejected, .. } = manifest;
    if *records_read == records_accepted + records_rejected {
        return Ok(());
    }
    Err(StageError::new(
        ErrorKind::ReconciliationFailed,
        format!("{records_read} records read, but {records_accepted} accepted and {records_rejected} rejected"),
    ))
}

fn refuse_too_many_rejects(spec: &CheckedSpec, manifest: &ExtractManifest, work: &str) -> Result<(), StageError> {
    if !spec.tolerance.is_exceeded(manifest.records_rejected, manifest.records_read) {
        return Ok(());
    }
    let commonest: Vec<String> = manifest
        .reasons
        .iter()
        .take(3)
        .map(|reason| {
            let column = reason.column.as_ref().map(|column| format!(" in `{column}`")).unwrap_or_default();
            format!("{} × {}{column}, first on line {}", reason.records, reason.code.name(), reason.sample.line)
        })
        .collect();
    let kept = manifest.rejects.as_ref().map(|files| ObjectRef::new(work, &files.reasons).to_string());
    Err(StageError::new(
        ErrorKind::TooManyRejects,
        format!(
            "{} of {} records rejected, more than the {} tolerated: {}; the reasons are kept in {}",
            manifest.records_rejected,
            manifest.records_read,
            spec.tolerance,
            commonest.join("; "),
            kept.unwrap_or_default()
        ),
    ))
}
