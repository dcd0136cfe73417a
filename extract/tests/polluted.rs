//! CSV files that are broken in the ways that files are, each with what must become of it: `polluted/<case>.csv`, and
//! `polluted/<case>.json` with the source's options, the accepted rows and the rejects (line and code), or the error.
//!
//! The kinds of pollution follow Vitagliano et al., "Pollock: A Data Loading Benchmark" (2023); the files are our own.
#![allow(clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

mod landing;

use std::{path::Path, sync::Arc};

use arrow::{
    array::{Array, AsArray},
    compute::cast,
    datatypes::{DataType, Int32Type},
    ipc::reader::FileReader,
};
use landing::{Content, land};
use object_store::memory::InMemory;
use serde::Deserialize;
use stepwell_extract::extract;
use stepwell_pipeline::{
    manifest::ExtractManifest,
    reject::Reject,
    store::{self, ObjectRef, Stores},
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    #[serde(default)]
    source: String,
    #[serde(default)]
    unknown_columns: Option<String>,
    #[serde(default)]
    accepted: Vec<Row>,
    #[serde(default)]
    rejects: Vec<(u64, String)>,
    /// The kind, and a part of the message.
    #[serde(default)]
    error: Option<String>,
}

type Row = (Option<i32>, Option<String>, Option<String>);

struct Outcome {
    accepted: Vec<Row>,
    rejects: Vec<Reject>,
}

async fn read(stores: &dyn Stores, key: &str) -> bytes::Bytes {
    store::get(stores, &ObjectRef::new("work", key)).await.expect("reads").expect("is there").0
}

fn rows(part: bytes::Bytes) -> Vec<Row> {
    let mut rows = Vec::new();
    for batch in FileReader::try_new(std::io::Cursor::new(part), None).expect("a part") {
        let batch = batch.expect("a batch");
        let column = |number: usize, as_type| cast(batch.column(number), &as_type).expect("casts");
        let (ids, names, notes) = (column(0, DataType::Int32), column(1, DataType::Utf8), column(2, DataType::Utf8));
        let text = |array: &dyn Array, row| array.is_valid(row).then(|| array.as_string::<i32>().value(row).to_owned());
        for row in 0..batch.num_rows() {
            let id = ids.is_valid(row).then(|| ids.as_primitive::<Int32Type>().value(row));
            rows.push((id, text(&names, row), text(&notes, row)));
        }
    }
    rows
}

async fn run(case: &Case, bytes: Vec<u8>) -> Result<Outcome, String> {
    let options = if case.source.is_empty() { String::new() } else { format!(", {}", case.source) };
    let unknown = case.unknown_columns.as_deref().unwrap_or("reject");
    let spec = format!(
        "pipeline: hostile
source: {{ match: \"in/*.csv\"{options} }}
schema:
  - {{ name: id, type: int32, required: true }}
  - {{ name: name, type: string }}
  - {{ name: note, type: string }}
unknown_columns: {unknown}
rejects: {{ tolerate: \"100%\" }}
load: {{ target: parquet, path: lake/hostile/ }}
"
    );
    let (context, request) = land(Content::of(bytes), "in/a.csv", spec, Arc::new(InMemory::new())).await;
    let extracted = match extract(&context, request).await {
        Ok(round) => round.done().expect("in one round"),
        Err(error) => return Err(format!("{:?}: {}", error.kind(), error.report())),
    };
    let stores = &*context.stores;
    let manifest: ExtractManifest = serde_json::from_slice(&read(stores, &extracted.manifest).await).expect("JSON");
    let mut accepted = Vec::new();
    for part in &manifest.parts {
        accepted.extend(rows(read(stores, &part.key).await));
    }
    let rejects = match &manifest.rejects {
        Some(files) => {
            let reasons = read(stores, &files.reasons).await;
            let lines = reasons.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
            lines.map(|line| serde_json::from_slice(line).expect("JSON")).collect()
        }
        None => Vec::new(),
    };
    assert_eq!(extracted.records_read, (accepted.len() + rejects.len()) as u64);
    Ok(Outcome { accepted, rejects })
}

/// What of an outcome is not as it must be.
fn difference(case: &Case, outcome: Result<Outcome, String>) -> Option<String> {
    match (&case.error, outcome) {
        (Some(expected), Err(report)) => {
            let (kind, message) = expected.split_once(": ").expect("kind: message");
            let fits = report.starts_with(&format!("{kind}: ")) && report.contains(message);
            (!fits).then(|| format!("fails with {report}"))
        }
        (None, Ok(Outcome { accepted, rejects })) => {
            let rejects: Vec<(u64, String)> =
                rejects.iter().map(|reject| (reject.line, reject.code.name().to_owned())).collect();
            let fits = accepted == case.accepted && rejects == case.rejects;
            (!fits).then(|| format!("accepts {accepted:?}, rejects {rejects:?}"))
        }
        (None, Err(report)) => Some(format!("fails with {report}")),
        (Some(_), Ok(outcome)) => Some(format!("accepts {:?}, rejects {:?}", outcome.accepted, outcome.rejects)),
    }
}

#[tokio::test]
async fn every_case_ends_as_stated() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/polluted");
    let (mut cases, mut differences) = (0, Vec::new());
    for entry in std::fs::read_dir(folder).expect("the folder") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let name = path.display();
        let case: Case = serde_json::from_slice(&std::fs::read(&path).expect("reads"))
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let outcome = run(&case, std::fs::read(path.with_extension("csv")).expect("reads")).await;
        differences.extend(difference(&case, outcome).map(|difference| format!("{name}: {difference}")));
        cases += 1;
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert!(cases > 50, "{cases}");
}
