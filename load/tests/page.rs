//! `report.html`: what a person reads of a run.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

mod trips;

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::json;
use stepwell_load::load;
use stepwell_pipeline::{
    handoff::Loaded,
    manifest::{ColumnProfile, ExtractManifest, RejectFiles, Report, Timing, TransformManifest},
    reject::{ReasonCount, Reject, RejectCode},
    run::{Run, Source, digest},
    stage::{Stage, StageContext},
    store::{self, ObjectRef},
    usage::Meter,
};
use trips::{SPEC, context, transformed};

const OBJECT: &str = "s3://landing/in/trips.csv";

/// What the stages before `load` left of a run.
struct Left {
    extracted: ExtractManifest,
    transformed: TransformManifest,
}

fn column(name: &str, nulls: u64) -> ColumnProfile {
    ColumnProfile {
        name: name.into(),
        data_type: "int8".into(),
        nulls,
        min: Some("-7".into()),
        max: None,
        distinct_estimate: 1234,
    }
}

fn reason(column: Option<&str>, code: RejectCode, records: u64, value: Option<&str>) -> ReasonCount {
    let sample = Reject {
        object: OBJECT.into(),
        line: 4321,
        byte_offset: 0,
        column: column.map(Into::into),
        code,
        message: format!("is {}", code.name()),
        value: value.map(Into::into),
    };
    ReasonCount { column: column.map(Into::into), code, records, sample }
}

/// Makes the run one of 12,000 records, of which 2,000 are rejected and 2,500 filtered.
fn of_some_size(left: &mut Left) {
    left.extracted.records_read = 12_000;
    left.extracted.records_accepted = 10_000;
    left.extracted.records_rejected = 2_000;
    left.extracted.bytes_read = 3_400_000;
    left.extracted.timing = Timing { started_ms: 0, duration_ms: 8_125 };
    left.transformed.records_in = 10_000;
    left.transformed.records_out = 7_500;
    left.transformed.records_filtered = Some(2_500);
    left.transformed.timing = Timing { started_ms: 0, duration_ms: 61_500 };
    left.transformed.files[0].records = 5_500;
    left.transformed.files[1].records = 2_000;
}

/// Loads a version of whose run the stages before left something else than the fixture's, and gives the page.
async fn page_of(context: &StageContext, sequencer: &str, change: impl Fn(&mut Left)) -> (Loaded, String) {
    let asked = transformed(context, &format!("v{sequencer}"), sequencer, SPEC).await;
    let stores = &*context.stores;
    let extracted = ObjectRef::new("work", asked.run.stage_key(Stage::Extract, "manifest.json"));
    let manifest = ObjectRef::new("work", &asked.manifest);
    let mut left = Left {
        extracted: store::get_json(stores, &extracted).await.unwrap().unwrap(),
        transformed: store::get_json(stores, &manifest).await.unwrap().unwrap(),
    };
    change(&mut left);
    store::put_json(stores, &extracted, &left.extracted).await.unwrap();
    store::put_json(stores, &manifest, &left.transformed).await.unwrap();
    let loaded = load(context, asked).await.expect("loaded").done().expect("in one round");
    let page = ObjectRef::new("work", loaded.report.replace(".json", ".html"));
    let (page, _) = store::get(stores, &page).await.unwrap().unwrap();
    (loaded, String::from_utf8(page.to_vec()).unwrap())
}

fn assert_says(page: &str, fragments: &[&str]) {
    for fragment in fragments {
        assert!(page.contains(fragment), "the page lacks {fragment}:\n{page}");
    }
}

#[tokio::test]
async fn the_page_is_whole_and_names_the_object() {
    let (loaded, page) = page_of(&context(), "01", |_| {}).await;
    assert!(page.starts_with("<!DOCTYPE html><html lang=\"en\">") && page.ends_with("</html>"), "{page}");
    assert_says(
        &page,
        &[
            "<title>trips · in/trips.csv</title>",
            "<h1>in/trips.csv</h1>",
            "<h2>Records</h2>",
            "<h2>Columns</h2>",
            "<h2>Time</h2>",
            "<h2>Files</h2>",
            &format!("<dt>Run</dt><dd><code>{}</code></dd>", loaded.run.id),
            &format!("<dt>Object</dt><dd><code>{OBJECT}</code> etag <code>v01</code></dd>"),
            &format!("<dt>Spec</dt><dd><code>{}</code></dd>", digest(SPEC.as_bytes())),
            &format!("<dt>Stepwell</dt><dd>{}</dd>", stepwell_pipeline::stage::CODE_VERSION),
        ],
    );
    for absent in ["<h2>Rejects</h2>", "<h2>Cost</h2>", "<h2>Members</h2>", "more in report.json", "http"] {
        assert!(!page.contains(absent), "the page has {absent}");
    }
}

#[tokio::test]
async fn the_page_says_how_the_load_ended() {
    let context = context();
    let ended = |class: &str, text: &str| {
        format!("<span class=\"badge {class}\">{text}</span> <span class=\"table\">s3://lake/trips/</span>")
    };
    let (_, page) = page_of(&context, "02", |_| {}).await;
    assert_says(&page, &[&ended("good", "Loaded"), "4 loaded of 4 given"]);
    let (_, page) = page_of(&context, "02", |_| {}).await;
    assert_says(&page, &[&ended("good", "Loaded by an earlier execution"), "4 loaded of 4 given"]);
    let (_, page) = page_of(&context, "01", |_| {}).await;
    let superseded = "Superseded: a newer version of the object is current, nothing was changed";
    assert_says(&page, &[&ended("late", superseded), "0 loaded of 4 given"]);
}

#[tokio::test]
async fn counts_are_bars_in_proportion_to_the_records_read() {
    let (_, page) = page_of(&context(), "01", of_some_size).await;
    let share = |class: &str, width: &str, title: &str| {
        format!("<div class=\"share {class}\" style=\"width:{width}%\" title=\"{title}\"></div>")
    };
    assert_says(
        &page,
        &[
            "<div class=\"name\">Read <b>12,000</b></div>",
            &share("on", "83.333", "10,000 accepted"),
            &share("bad", "16.667", "2,000 rejected"),
            "<div class=\"name\">Accepted <b>10,000</b></div>",
            &share("on", "62.500", "7,500 given by the SQL"),
            &share("off", "20.833", "2,500 filtered"),
            "<div class=\"name\">Loaded <b>7,500</b></div>",
            &share("done", "62.500", "7,500 loaded"),
            "<span><i class=\"dot off\"></i>2,500 filtered</span>",
        ],
    );
}

#[tokio::test]
async fn sums_are_ticked_where_they_add_up_and_crossed_where_they_do_not() {
    let (_, page) = page_of(&context(), "01", of_some_size).await;
    assert_says(
        &page,
        &[
            "<li><span class=\"good\">✓</span> 12,000 read = 10,000 accepted + 2,000 rejected</li>",
            "<li><span class=\"good\">✓</span> 10,000 accepted = 7,500 given by the SQL + 2,500 filtered</li>",
            "<li>7,500 loaded of 7,500 given</li>",
        ],
    );
    let lost = |left: &mut Left| {
        of_some_size(left);
        left.extracted.records_rejected = 1_999;
    };
    let (_, page) = page_of(&context(), "01", lost).await;
    assert_says(
        &page,
        &["<li><span class=\"bad\">✗</span> 12,000 read = 10,000 accepted + 1,999 rejected</li>", "✓</span> 10,000"],
    );
}

#[tokio::test]
async fn records_left_out_as_duplicates_are_part_of_the_sum() {
    let deduplicated = |left: &mut Left| {
        of_some_size(left);
        left.transformed.records_filtered = Some(2_100);
        left.transformed.records_duplicate = Some(400);
    };
    let (_, page) = page_of(&context(), "01", deduplicated).await;
    assert_says(
        &page,
        &[
            "<span class=\"good\">✓</span> 10,000 accepted = 7,500 given by the SQL + 2,100 filtered + 400 duplicate",
            "<span><i class=\"dot off\"></i>400 duplicate</span>",
        ],
    );
}

#[tokio::test]
async fn sql_over_the_whole_object_has_no_sum() {
    let (_, page) = page_of(&context(), "01", |left| left.transformed.records_filtered = None).await;
    assert_says(&page, &["<li>5 accepted → 4 given by SQL over the whole object</li>"]);
    assert!(!page.contains("5 accepted ="), "{page}");
}

#[tokio::test]
async fn rejects_stand_with_their_reason_place_and_value() {
    let rejected = |left: &mut Left| {
        left.extracted.rejects = Some(RejectFiles {
            records: "r/records.csv".into(),
            reasons: "r/reasons.ndjson".into(),
            further: vec!["r/records-2.csv".into()],
        });
        let script = "<script>12";
        left.extracted.reasons = vec![
            reason(Some("id"), RejectCode::InvalidValue, 1_500, Some(script)),
            reason(None, RejectCode::TooFewFields, 500, None),
        ];
    };
    let (_, page) = page_of(&context(), "01", rejected).await;
    let row = |records: &str, column: &str, code: &str, value: &str| {
        format!(
            "<tr><td class=\"number\">{records}</td><td>{column}</td><td class=\"reason\"><code class=\"code\">{code}\
             </code> is {code}</td><td class=\"place\">line 4,321</td><td>{value}</td></tr>"
        )
    };
    assert_says(
        &page,
        &[
            "<h2>Rejects</h2><p>The records as they came: <code>r/records.csv</code>, <code>r/records-2.csv</code>, to \
             be mended and uploaded again; every reason: <code>r/reasons.ndjson</code>.</p>",
            &row("1,500", "id", "invalid_value", "<code>&lt;script&gt;12</code>"),
            &row("500", "–", "too_few_fields", ""),
        ],
    );
}

#[tokio::test]
async fn columns_stand_with_the_share_of_their_nulls_among_the_accepted() {
    let profiled = |left: &mut Left| {
        of_some_size(left);
        left.extracted.profile = vec![column("id", 0), column("fare", 2_500)];
    };
    let (_, page) = page_of(&context(), "01", profiled).await;
    let row = |name: &str, nulls: &str, width: &str| {
        format!(
            "<tr><td><b>{name}</b></td><td><code class=\"type\">int8</code></td><td class=\"number\">{nulls}</td><td>\
             <div class=\"meter\"><div style=\"width:{width}%\"></div></div></td><td>-7</td><td>–</td>\
             <td class=\"number\">1,234</td></tr>"
        )
    };
    assert_says(&page, &[&row("id", "0", "0.000"), &row("fare", "2,500", "25.000")]);
}

#[tokio::test]
async fn a_run_without_accepted_records_has_a_page() {
    let none = |left: &mut Left| {
        left.extracted.records_rejected = 6;
        left.extracted.records_accepted = 0;
        left.extracted.profile = vec![column("id", 0)];
        left.transformed.records_in = 0;
        left.transformed.records_out = 0;
        left.transformed.records_filtered = Some(0);
        left.transformed.bytes_out = 0;
        left.transformed.files.clear();
    };
    let (_, page) = page_of(&context(), "01", none).await;
    assert_says(&page, &["<div class=\"meter\"><div style=\"width:0.000%\"></div></div>", "0 loaded of 0 given"]);
    assert!(!page.contains("NaN") && !page.contains("inf%"), "{page}");
}

#[tokio::test]
async fn of_very_long_tables_the_first_rows_are_shown_and_the_rest_counted() {
    let long = |columns: usize| {
        move |left: &mut Left| {
            left.extracted.profile = (0..columns).map(|number| column(&format!("c{number:04}"), 0)).collect();
        }
    };
    let (_, page) = page_of(&context(), "01", long(1_403)).await;
    assert_says(&page, &["<b>c0000</b>", "<b>c0199</b>", "<p class=\"note\">and 1,203 more in report.json</p>"]);
    assert!(!page.contains("c0200"));
    let (_, page) = page_of(&context(), "01", long(200)).await;
    assert_says(&page, &["<b>c0199</b>"]);
    assert!(!page.contains("more in report.json"));
}

/// A clock that is a quarter of a minute later whenever it is looked at.
fn clock() -> SystemTime {
    static LOOKS: AtomicU64 = AtomicU64::new(0);
    UNIX_EPOCH + Duration::from_secs(15) * u32::try_from(LOOKS.fetch_add(1, Ordering::Relaxed)).unwrap()
}

#[tokio::test]
async fn times_are_seconds_and_bars_in_proportion_to_the_longest() {
    let context = StageContext { now: clock, ..context() };
    let (_, page) = page_of(&context, "01", of_some_size).await;
    let row = |name: &str, seconds: &str, width: &str| {
        format!(
            "<div class=\"name\">{name} <b>{seconds} s</b></div><div class=\"bar\"><div class=\"share on\" \
             style=\"width:{width}%\"></div></div>"
        )
    };
    assert_says(
        &page,
        &[
            &row("Extract", "8.12", "13.211"),
            &row("Transform", "61.50", "100.000"),
            // It looks when it begins, when it has committed, and for the report.
            &row("Load", "30.00", "48.780"),
            "<p class=\"note\">3.4 MB read, 6 bytes loaded.</p>",
        ],
    );
}

#[tokio::test]
async fn what_the_run_cost_stands_where_it_was_measured() {
    let context = context();
    let asked = transformed(&context, "v1", "01", SPEC).await;
    let stage = |stage: &str| {
        json!({"stage": stage, "calls": 2, "billed_ms": 4_500, "memory_mib": 2048, "gb_seconds": 9.0,
               "requests_get": 1_000, "requests_put": 30, "requests_delete": 0, "bytes_read": 12_000_000,
               "bytes_written": 3_000_000})
    };
    let mut input = json!({"usage": {"stages": [stage("Extract"), stage("Transform")]}});
    let meter = Meter::begin(Stage::Load, 1024, Duration::ZERO, &mut input);
    let loaded = load(&context.clone().metered(meter.clone()), asked).await.expect("loaded").done().expect("done");

    let stores = &*context.stores;
    let json_ref = ObjectRef::new("work", &loaded.report);
    let report: Report = store::get_json(stores, &json_ref).await.unwrap().unwrap();
    let bill = report.cost.expect("measured");
    assert_eq!(bill.usage.calls(), 5);
    assert_eq!(bill.usage.transitions(), 11, "five calls, five choices and the notice");
    let [.., own] = &bill.usage.stages[..] else { panic!("no stage") };
    assert_eq!((own.stage, own.calls, own.memory_mib), (Stage::Load, 1, 1024));
    let after = meter.so_far().requests();
    let reported = bill.usage.requests();
    // The report's own two are in it; the listing of what is staged comes later.
    assert_eq!(after.requests_put - reported.requests_put, 1, "{reported:?} {after:?}");
    assert!(own.requests.requests_get > 3 && own.requests.requests_put > 3, "{own:?}");

    let page_ref = ObjectRef::new("work", loaded.report.replace(".json", ".html"));
    let (page, _) = store::get(stores, &page_ref).await.unwrap().unwrap();
    let page = String::from_utf8(page.to_vec()).unwrap();
    assert_says(
        &page,
        &[
            "<h2>Cost</h2>",
            "<td>Extract: 4.50 s of 2048 MiB</td><td class=\"number\">9</td><td>GB-second</td>\
             <td class=\"number\">$0.0000133</td><td class=\"number\">$0.000120</td>",
            "<td>State transitions</td><td class=\"number\">11</td><td>transition</td>\
             <td class=\"number\">$0.0000250</td><td class=\"number\">$0.000275</td>",
            "list prices of us-east-1 as of 2026-",
        ],
    );
    assert!(!page.contains("http"), "nothing is fetched");
}

#[tokio::test]
async fn files_stand_with_their_records_and_bytes() {
    let (loaded, page) = page_of(&context(), "01", of_some_size).await;
    let row = |directory: &str, records: &str| {
        let key = format!("trips/{directory}/{}-00000.parquet", loaded.run.file_stem());
        format!(
            "<tr><td><code>{key}</code></td><td class=\"number\">{records}</td><td class=\"number\">3 bytes</td></tr>"
        )
    };
    assert_says(&page, &[&row("year=1", "5,500"), &row("year=2", "2,000")]);
}

#[tokio::test]
async fn of_a_versioned_object_the_version_is_named() {
    let context = context();
    let mut asked = transformed(&context, "v1", "01", SPEC).await;
    let source = Source { version: Some("3HL4k".into()), ..asked.run.source.clone() };
    let of_version = Run { source, ..asked.run.clone() };
    assert_eq!(of_version.prefix(), asked.run.prefix());
    asked.run = of_version;
    let loaded = load(&context, asked).await.expect("loaded").done().expect("in one round");
    let page = ObjectRef::new("work", loaded.report.replace(".json", ".html"));
    let (page, _) = store::get(&*context.stores, &page).await.unwrap().unwrap();
    let page = String::from_utf8(page.to_vec()).unwrap();
    assert_says(&page, &[&format!("<code>{OBJECT}</code> version <code>3HL4k</code>")]);
    assert!(!page.contains("etag"));
}
