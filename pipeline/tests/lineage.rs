//! How events are sent, and what they say of a source's quality.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "tests fail by panicking")]

use std::{sync::Arc, time::SystemTime};

use futures::TryStreamExt;
use proptest::prelude::*;
use serde_json::{Value, json};
use stepwell_pipeline::{
    ErrorKind, StageError,
    handoff::Commit,
    lineage::{
        ColumnLineage, ColumnSource, Effect, EventType, Lineage, LineageSink, MemoryLineage, Problem, RunEvent,
        StoredLineage, Subject, TableColumn, Transformation,
    },
    manifest::{ColumnProfile, ExtractManifest, Report, Timing, Timings, TransformManifest},
    reject::{ReasonCount, Reject, RejectCode},
    run::{Run, Source},
    spec::CheckedSpec,
    stage::Buckets,
    store::{MemoryStores, ObjectRef, Stores},
};

const SPEC: &str = r#"
pipeline: orders
source: { match: "in/*.csv.gz" }
schema:
  - { name: id, type: int64, required: true, unique: true }
  - { name: amount, type: float64, min: 0 }
  - { name: age, type: int32, pii: hash }
rejects: { tolerate: "10%" }
load: { target: parquet, path: lake/orders/ }
"#;

fn spec() -> CheckedSpec {
    CheckedSpec::parse("orders.yaml", SPEC).expect("a spec")
}

fn buckets() -> Buckets {
    Buckets { landing: "landing".into(), work: "work".into(), lake: "lake".into() }
}

fn run() -> Run {
    let source = Source {
        bucket: "landing".into(),
        key: "in/a.csv.gz".into(),
        version: Some("v1".into()),
        etag: "e".into(),
        size: 9,
        modified_ms: 0,
        sequencer: None,
    };
    Run::new("orders", "d", source)
}

fn with_subject<T>(redrive_count: u64, told: impl FnOnce(Subject<'_>) -> T) -> T {
    with_subject_of(&spec(), redrive_count, told)
}

fn with_subject_of<T>(spec: &CheckedSpec, redrive_count: u64, told: impl FnOnce(Subject<'_>) -> T) -> T {
    let (run, buckets) = (run(), buckets());
    let lineage = Lineage::new(Arc::new(MemoryLineage::default()), "tests");
    told(Subject {
        namespace: lineage.namespace(),
        execution_id: "arn:1",
        redrive_count,
        pipeline: "orders",
        spec: Some(spec),
        run: Some(&run),
        object: None,
        members: None,
        buckets: &buckets,
    })
}

fn started(at: SystemTime) -> RunEvent {
    with_subject(0, |subject| subject.started(at))
}

fn refusal(kind: ErrorKind) -> StageError {
    StageError::new(kind, "refused")
}

#[tokio::test]
async fn what_may_pass_is_tried_again_and_what_stays_is_given_up() {
    for (refusals, taken) in [
        (vec![], 1),
        (vec![ErrorKind::TargetUnavailable, ErrorKind::Throttled], 1),
        (vec![ErrorKind::TargetUnavailable; 3], 0),
        (vec![ErrorKind::AccessDenied], 0),
    ] {
        let sink = Arc::new(MemoryLineage::refusing(refusals.iter().copied().map(refusal).collect()));
        let lineage = Lineage::new(sink.clone(), "tests");
        lineage.send(&started(SystemTime::UNIX_EPOCH)).await;
        assert_eq!(sink.events().len(), taken, "{refusals:?}");
    }
}

#[tokio::test]
async fn an_event_on_its_way_is_waited_for() {
    let sink = Arc::new(MemoryLineage::default());
    let mut sending = Lineage::new(sink.clone(), "tests").begin(started(SystemTime::UNIX_EPOCH));
    sending.finish().await;
    sending.finish().await;
    assert_eq!(sink.events().len(), 1);
}

#[tokio::test]
async fn of_repetitions_the_first_stays_and_each_failure_of_a_redrive_is_kept() {
    let stores = Arc::new(MemoryStores::default());
    let sink = StoredLineage::new(stores.clone(), ObjectRef::new("work", "lineage/"));
    let later = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(7);
    let problem = Problem { is_aborted: false, name: "Internal", message: "" };
    let failed = |count| with_subject(count, |subject| subject.failed(later, problem));
    for event in [started(SystemTime::UNIX_EPOCH), started(later), failed(0), failed(1), failed(1)] {
        sink.emit(&event).await.expect("kept");
    }
    let bucket = stores.bucket("work").expect("a bucket");
    let listed: Vec<_> = bucket.list(None).try_collect().await.expect("a list");
    let id = started(later).run_id().to_owned();
    let mut names: Vec<String> = listed.iter().map(|meta| meta.location.to_string()).collect();
    names.sort();
    assert_eq!(names, ["FAIL-1", "FAIL", "START"].map(|name| format!("lineage/orders/{id}/{name}.json")));
    let kept: Value = stepwell_pipeline::store::get_json(&*stores, &ObjectRef::new("work", &names[2]))
        .await
        .expect("read")
        .expect("an event");
    assert_eq!(kept["eventTime"], "1970-01-01T00:00:00.000Z");
}

#[test]
fn an_event_names_job_run_source_and_table() {
    let event = json!(started(SystemTime::UNIX_EPOCH));
    assert_eq!((&event["eventType"], &event["job"]["name"]), (&json!("START"), &json!("orders")));
    assert_eq!(event["job"]["namespace"], "tests");
    assert_eq!(event["run"]["facets"]["externalQuery"]["externalQueryId"], "arn:1");
    let input = &event["inputs"][0];
    assert_eq!((&input["namespace"], &input["name"]), (&json!("s3://landing"), &json!("in/a.csv.gz")));
    assert_eq!(input["facets"]["version"]["datasetVersion"], "v1");
    assert_eq!(input["facets"]["storage"]["fileFormat"], "csv");
    let (bucket, kind) = (&input["facets"]["dataSource"], &input["facets"]["datasetType"]["datasetType"]);
    assert_eq!(
        (&bucket["name"], &bucket["uri"], kind),
        (&json!("s3://landing"), &json!("s3://landing"), &json!("FILE"))
    );
    let columns = json!([
        {"name": "id", "type": "int64", "ordinal_position": 1},
        {"name": "amount", "type": "float64", "ordinal_position": 2},
        {"name": "age", "type": "int32", "ordinal_position": 3},
    ]);
    assert_eq!(input["facets"]["schema"]["fields"], columns);
    assert_eq!(
        (&event["outputs"][0]["namespace"], &event["outputs"][0]["name"]),
        (&json!("s3://lake"), &json!("orders"))
    );
    assert_eq!(event["outputs"][0]["facets"]["datasetType"]["datasetType"], "TABLE");
}

#[test]
fn redrives_are_told_by_their_number() {
    for (redrive_count, expected) in [(0, None), (1, Some("1")), (12, Some("12"))] {
        let event = json!(with_subject(redrive_count, |subject| subject.started(SystemTime::UNIX_EPOCH)));
        let tags = event["run"]["facets"]["tags"]["tags"].as_array().expect("tags");
        let told = tags.iter().find(|tag| tag["key"] == "stepwell_redrive_count");
        assert_eq!(told.and_then(|tag| tag["value"].as_str()), expected);
    }
}

const JOINING_SPEC: &str = r#"
pipeline: orders
source: { match: "in/*.csv.gz" }
schema:
  - { name: id, type: int64 }
  - { name: currency, type: string }
transform:
  sql: SELECT id, rate FROM input JOIN rates ON currency = name WHERE id > 0
  references: [{ name: countries, path: lake/countries/ }, { name: rates, path: work/rates.parquet }]
load: { target: parquet, path: lake/orders/ }
"#;

#[test]
fn the_columns_of_the_table_are_told_with_what_they_come_from() {
    let spec = CheckedSpec::parse("orders.yaml", JOINING_SPEC).expect("a spec");
    let source = |table: &str, column: &str, effect, masking| ColumnSource {
        table: table.into(),
        column: column.into(),
        transformations: vec![Transformation { effect, masking }],
    };
    let lineage = ColumnLineage {
        columns: [
            ("id".to_owned(), vec![source("input", "id", Effect::Identity, false)]),
            (
                "rate".to_owned(),
                vec![
                    source("rates", "rate", Effect::Aggregation, true),
                    source("unknown", "a", Effect::Identity, false),
                ],
            ),
        ]
        .into(),
        dataset: vec![source("input", "currency", Effect::Join, false)],
    };
    let column = |name: &str, data_type: &str| TableColumn { name: name.into(), data_type: data_type.into() };
    let transformed = TransformManifest {
        run: run(),
        files: Vec::new(),
        records_in: 2,
        records_out: 2,
        records_filtered: None,
        records_duplicate: None,
        bytes_out: 0,
        bytes_spilled: 0,
        columns: vec![column("id", "int64"), column("rate", "float64")],
        lineage: Some(lineage),
        timing: Timing::default(),
        code_version: String::new(),
    };
    let report = Report {
        run: run(),
        batch: None,
        table: String::new(),
        commit: Commit::Committed,
        generation: 0,
        records_read: 2,
        records_rejected: 0,
        records_in: 2,
        records_out: 2,
        records_filtered: None,
        records_duplicate: None,
        records_loaded: 2,
        bytes_read: 9,
        bytes_loaded: 5,
        files: Vec::new(),
        rejects: None,
        reasons: Vec::new(),
        profile: Vec::new(),
        timings: Timings { extract: Timing::default(), transform: Timing::default(), load: Timing::default() },
        cost: None,
        code_version: String::new(),
    };
    let facets = |transformed: &TransformManifest| {
        let event = with_subject_of(&spec, 0, |subject| subject.completed(&report, Some(transformed)));
        json!(event)["outputs"][0]["facets"].take()
    };
    let told = facets(&transformed);
    let fields = json!([
        {"name": "id", "type": "int64", "ordinal_position": 1},
        {"name": "rate", "type": "float64", "ordinal_position": 2},
    ]);
    assert_eq!(told["schema"]["fields"], fields);
    let of = |bucket: &str, name: &str, field: &str, kind: &str, subtype: &str, masking: bool| {
        let transformation = json!({"type": kind, "subtype": subtype, "masking": masking});
        json!({"namespace": bucket, "name": name, "field": field, "transformations": [transformation]})
    };
    let lineage = &told["columnLineage"];
    let id = of("s3://landing", "in/a.csv.gz", "id", "DIRECT", "IDENTITY", false);
    let rate = of("s3://work", "rates.parquet", "rate", "DIRECT", "AGGREGATION", true);
    assert_eq!(lineage["fields"], json!({"id": {"inputFields": [id]}, "rate": {"inputFields": [rate]}}));
    let joined = of("s3://landing", "in/a.csv.gz", "currency", "INDIRECT", "JOIN", false);
    assert_eq!(lineage["dataset"], json!([joined]));

    let told = facets(&TransformManifest { columns: Vec::new(), lineage: None, ..transformed });
    assert_eq!((told.get("schema"), told.get("columnLineage")), (None, None), "nothing is told that is not known");
}

#[test]
fn a_batch_is_told_by_its_list_and_its_first_members() {
    let members: Vec<Source> =
        (0..70).map(|number| Source { key: format!("in/{number}.csv"), ..run().source }).collect();
    let (spec, buckets) = (spec(), buckets());
    let source = Source { bucket: "work".into(), key: "batches/orders/b.json".into(), version: None, ..run().source };
    let run = Run::new("orders", "d", source);
    let subject = Subject {
        namespace: "tests",
        execution_id: "arn:1",
        redrive_count: 0,
        pipeline: "orders",
        spec: Some(&spec),
        run: Some(&run),
        object: None,
        members: Some(&members),
        buckets: &buckets,
    };
    let event = json!(subject.started(SystemTime::UNIX_EPOCH));
    let inputs = event["inputs"].as_array().expect("inputs");
    assert_eq!(inputs.len(), 51);
    assert_eq!(inputs[0]["name"], "batches/orders/b.json");
    assert!(inputs[0]["facets"].get("schema").is_some() && inputs[1]["facets"].get("schema").is_none());
    assert_eq!(
        (&inputs[50]["name"], &inputs[50]["facets"]["version"]["datasetVersion"]),
        (&json!("in/49.csv"), &json!("v1"))
    );
    let tags = event["run"]["facets"]["tags"]["tags"].as_array().expect("tags");
    assert!(tags.iter().any(|tag| tag["key"] == "stepwell_members" && tag["value"] == "70"), "{tags:?}");
}

#[test]
fn a_stopped_execution_is_aborted() {
    let problem = |is_aborted| Problem { is_aborted, name: "ABORTED", message: "" };
    for (is_aborted, expected) in [(true, EventType::Abort), (false, EventType::Fail)] {
        let event = with_subject(0, |subject| subject.failed(SystemTime::UNIX_EPOCH, problem(is_aborted)));
        assert_eq!(event.event_type, expected);
        assert_eq!(json!(event)["run"]["facets"]["errorMessage"]["message"], "ABORTED");
    }
}

fn profile(name: &str, min: &str, max: &str) -> ColumnProfile {
    ColumnProfile {
        name: name.into(),
        data_type: String::new(),
        nulls: 1,
        min: Some(min.into()),
        max: Some(max.into()),
        distinct_estimate: 2,
    }
}

fn told_of(records_read: u64, reasons: Vec<ReasonCount>) -> Value {
    // Hashes may look like numbers: `12e4…`.
    let profile = vec![profile("id", "-1", "7"), profile("amount", "0.5", "inf"), profile("age", "120000", "12e4")];
    told_of_profile(&spec(), records_read, reasons, profile)
}

fn told_of_profile(
    spec: &CheckedSpec,
    records_read: u64,
    reasons: Vec<ReasonCount>,
    profile: Vec<ColumnProfile>,
) -> Value {
    let records_rejected = reasons.iter().map(|reason| reason.records).sum();
    let manifest = ExtractManifest {
        run: run(),
        parts: Vec::new(),
        rejects: None,
        records_read,
        records_accepted: records_read - records_rejected,
        records_rejected,
        bytes_read: 9,
        reasons,
        profile,
        timing: Timing::default(),
        code_version: String::new(),
    };
    let event = with_subject_of(spec, 0, |subject| subject.refused(SystemTime::UNIX_EPOCH, &manifest));
    json!(event)["inputs"][0]["inputFacets"].take()
}

fn reason(column: Option<&str>, code: RejectCode, records: u64) -> ReasonCount {
    let sample = Reject {
        object: String::new(),
        line: 1,
        byte_offset: 0,
        column: column.map(str::to_owned),
        code,
        message: "told nowhere".into(),
        value: Some("told nowhere".into()),
    };
    ReasonCount { column: column.map(str::to_owned), code, records, sample }
}

#[test]
fn values_are_told_of_numbers_alone_and_never_of_personal_data() {
    let told = told_of(10, vec![reason(Some("age"), RejectCode::InvalidValue, 1)]);
    let columns = &told["dataQualityMetrics"]["columnMetrics"];
    assert_eq!(columns["id"], json!({"nullCount": 1, "distinctCount": 2, "count": 8, "min": -1.0, "max": 7.0}));
    assert_eq!((&columns["amount"]["min"], columns["amount"].get("max")), (&json!(0.5), None));
    assert_eq!(columns["age"], json!({"nullCount": 1, "distinctCount": 2, "count": 8}));
    assert!(!told.to_string().contains("told nowhere"));
}

const STRICT_SPEC: &str = r#"
pipeline: orders
source: { match: "in/*.csv.gz" }
schema:
  - { name: id, type: int64, required: true, unique: true }
  - { name: kind, type: string, enum: [a, b], pattern: "[ab]" }
  - { name: least, type: int8, min: 0 }
  - { name: most, type: int8, max: 9 }
  - { name: long, type: string, min_length: 2 }
  - { name: short, type: string, max_length: 9 }
  - { name: checked, type: int8, check: "checked <> least" }
  - { name: free, type: string }
rejects: { tolerate: "50%" }
load: { target: parquet, path: lake/orders/ }
"#;

#[test]
fn each_condition_of_the_spec_is_told_with_how_many_records_broke_it() {
    let spec = CheckedSpec::parse("orders.yaml", STRICT_SPEC).expect("a spec");
    let reasons = vec![
        reason(None, RejectCode::Malformed, 1),
        reason(Some("gone"), RejectCode::InvalidValue, 2),
        reason(Some("id"), RejectCode::UnknownColumn, 4),
        reason(Some("id"), RejectCode::RequiredMissing, 3),
        reason(Some("id"), RejectCode::NotUnique, 5),
        reason(Some("kind"), RejectCode::NotAllowed, 6),
        reason(Some("kind"), RejectCode::PatternMismatch, 7),
        reason(Some("least"), RejectCode::OutOfBounds, 8),
        reason(Some("long"), RejectCode::InvalidLength, 9),
        reason(Some("checked"), RejectCode::CheckFailed, 10),
        reason(Some("checked"), RejectCode::OutOfRange, 11),
        // As by an earlier spec.
        reason(Some("free"), RejectCode::RequiredMissing, 12),
    ];
    let told = told_of_profile(&spec, 100, reasons, vec![profile("free", "1", "2"), profile("most", "1", "2")]);
    let assertions = told["dataQualityAssertions"]["assertions"].as_array().expect("assertions");
    let row = |told: &Value| {
        ["column", "assertion", "actual", "content"].map(|field| told[field].as_str().unwrap_or_default().to_owned())
    };
    let expected = [
        ["", "rejects_tolerated", "78 of 100 records", ""],
        ["", "well_formed", "7", ""],
        ["checked", "valid_type", "11", ""],
        ["checked", "custom_sql", "10", "checked <> least"],
        ["free", "valid_type", "0", ""],
        ["free", "not_null", "12", ""],
        ["id", "valid_type", "0", ""],
        ["id", "not_null", "3", ""],
        ["id", "unique", "5", ""],
        ["kind", "valid_type", "0", ""],
        ["kind", "accepted_values", "6", ""],
        ["kind", "matches_pattern", "7", ""],
        ["least", "valid_type", "0", ""],
        ["least", "in_range", "8", ""],
        ["long", "valid_type", "0", ""],
        ["long", "length_in_range", "9", ""],
        ["most", "valid_type", "0", ""],
        ["most", "in_range", "0", ""],
        ["short", "valid_type", "0", ""],
        ["short", "length_in_range", "0", ""],
    ];
    assert_eq!(assertions.iter().map(row).collect::<Vec<_>>(), expected);
    assert_eq!(assertions[0]["expected"], "at most 50%");
    for assertion in assertions {
        assert_eq!(assertion.get("contentType").is_some(), assertion["assertion"] == "custom_sql", "{assertion}");
    }

    let columns = &told["dataQualityMetrics"]["columnMetrics"];
    let text_alone = json!({"nullCount": 1, "distinctCount": 2, "count": 21});
    assert_eq!(columns["free"], text_alone, "text that looks like a number is none");
    assert_eq!((&columns["most"]["min"], &columns["most"]["max"]), (&json!(1.0), &json!(2.0)));
}

const CODES: [RejectCode; 14] = [
    RejectCode::TooFewFields,
    RejectCode::TooManyFields,
    RejectCode::RequiredMissing,
    RejectCode::InvalidValue,
    RejectCode::OutOfRange,
    RejectCode::InvalidEncoding,
    RejectCode::Malformed,
    RejectCode::UnknownColumn,
    RejectCode::NotUnique,
    RejectCode::CheckFailed,
    RejectCode::NotAllowed,
    RejectCode::PatternMismatch,
    RejectCode::OutOfBounds,
    RejectCode::InvalidLength,
];

proptest! {
    #[test]
    fn assertions_add_up_to_the_rejects(
        counts in prop::collection::vec((0..5_usize, 0..CODES.len(), 1..1000_u64), 0..20),
        accepted in 0..10_000_u64,
    ) {
        let columns = [None, Some("id"), Some("amount"), Some("age"), Some("undeclared")];
        let reasons: Vec<_> = counts.iter().map(|(column, code, records)| reason(columns[*column], CODES[*code], *records)).collect();
        let rejected: u64 = counts.iter().map(|(_, _, records)| records).sum();
        let told = told_of(accepted + rejected, reasons);
        let assertions = told["dataQualityAssertions"]["assertions"].as_array().unwrap();
        prop_assert_eq!(&assertions[0]["assertion"], "rejects_tolerated");
        prop_assert_eq!(&assertions[0]["success"], &json!(rejected * 10 <= accepted + rejected));
        let mut sum = 0;
        for assertion in &assertions[1..] {
            let records: u64 = assertion["actual"].as_str().unwrap().parse().unwrap();
            prop_assert_eq!(&assertion["success"], &json!(records == 0));
            sum += records;
        }
        prop_assert_eq!(sum, rejected);
    }
}
