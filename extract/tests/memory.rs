//! The peak of the heap does not depend on how large an object is.
//!
//! `STEPWELL_MEMORY_BYTES` sets the size of the larger object.
#![allow(clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

mod landing;

use std::{fmt::Write as _, io::Write as _, sync::Arc};

use landing::{Content, Forgetful, Unit, land};
use object_store::local::LocalFileSystem;
use peak_alloc::PeakAlloc;
use stepwell_extract::extract;
use stepwell_pipeline::{ErrorKind, StageError, handoff::Extracted};

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

const MIB: usize = 1024 * 1024;
const SMALL_BYTES: u64 = 100_000_000;
/// A portion more that waits for the store, as chance has it.
const UPLOAD_AHEAD_BYTES: usize = 6 * MIB;
const LARGE_BYTES: u64 = 300_000_000;

struct Case {
    name: &'static str,
    key: &'static str,
    spec: String,
    head: String,
    unit: Unit,
    /// The bytes of text in a unit, where it is compressed.
    text_bytes: u64,
    /// The most that the heap may grow, in bytes.
    cap: usize,
    error: Option<(ErrorKind, &'static str)>,
}

fn spec(columns: &str) -> String {
    format!(
        "pipeline: hostile\nsource: {{ match: \"in/*\" }}\nschema:\n{columns}rejects: {{ tolerate: \"100%\" }}\nload: \
         {{ target: parquet, path: lake/hostile/ }}\n"
    )
}

const COLUMNS: &str = "  - { name: id, type: int64, required: true }
  - { name: price, type: \"decimal(12,2)\" }
  - { name: day, type: date }
  - { name: mode, type: string }
  - { name: comment, type: string }
";
const HEADER: &str = "id,price,day,mode,comment\n";

/// Lines of about 1 MiB, of which every so many is bad.
fn lines(bad_every: usize) -> String {
    let mut text = String::new();
    for number in 0.. {
        let price =
            if number % bad_every == 1 { "dear".to_owned() } else { format!("{}.{:02}", number % 9973, number % 100) };
        let mode = ["AIR", "RAIL", "SHIP"][number % 3];
        let day = format!("19{:02}-{:02}-{:02}", number % 100, number % 12 + 1, number % 28 + 1);
        writeln!(
            text,
            "{number},{price},{day},{mode},of {} the furious packages {}",
            number * 7919 % 104_729,
            number % 13
        )
        .expect("is written");
        if text.len() > MIB {
            return text;
        }
    }
    text
}

fn json_lines() -> String {
    let mut text = String::new();
    for line in lines(usize::MAX).lines() {
        let fields: Vec<&str> = line.split(',').collect();
        writeln!(
            text,
            "{{\"id\": {}, \"price\": {}, \"day\": \"{}\", \"mode\": \"{}\", \"comment\": \"{}\"}}",
            fields[0], fields[1], fields[2], fields[3], fields[4]
        )
        .expect("is written");
    }
    text
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).expect("compresses");
    encoder.finish().expect("compresses")
}

fn same(text: impl Into<Vec<u8>>) -> Unit {
    Unit::Same(text.into().into())
}

const WIDE_COLUMNS: usize = 1000;
const UNIQUE_COLUMNS: usize = 64;
const UNIQUE_BYTES: usize = UNIQUE_COLUMNS * 9;

/// A record none of whose values stands in another one.
fn unique_record(number: u64) -> Vec<u8> {
    let fields: Vec<String> = (0..UNIQUE_COLUMNS as u64).map(|column| format!("{:08}", number * 64 + column)).collect();
    format!("{}\n", fields.join(",")).into_bytes()
}

fn cases() -> Vec<Case> {
    let text = lines(usize::MAX);
    let text_bytes = text.len() as u64;
    let names = |columns: usize| (0..columns).map(|column| format!("c{column}")).collect::<Vec<_>>();
    let declared = |columns, options| {
        names(columns).iter().fold(String::new(), |text, name| format!("{text}  - {{ name: {name}, {options} }}\n"))
    };
    let wide = (0..100).fold(String::new(), |text, number| {
        let fields: Vec<String> = (0..WIDE_COLUMNS).map(|column| format!("{}", number * column % 9973)).collect();
        format!("{text}{}\n", fields.join(","))
    });
    let huge = format!("1,2.50,2024-02-29,AIR,{}\n", "x".repeat(16 * MIB - 64));
    let huge_bad = format!("1,dear,2024-02-29,AIR,{}\n", "x".repeat(16 * MIB - 64));
    let plain = |name, spec: &str, head: &str, unit: Unit, cap| Case {
        name,
        key: "in/a.csv",
        spec: spec.to_owned(),
        head: head.to_owned(),
        text_bytes: unit.len(),
        unit,
        cap,
        error: None,
    };
    let columns = spec(COLUMNS);
    vec![
        plain("csv", &columns, HEADER, same(text.clone()), 48 * MIB),
        plain("csv, 5 % rejects", &columns, HEADER, same(lines(20)), 48 * MIB),
        Case {
            key: "in/a.csv.gz",
            text_bytes,
            ..plain(
                "gzip csv",
                &columns.replace("source: {", "source: { csv: { header: false },"),
                "",
                same(gzip(&text)),
                48 * MIB,
            )
        },
        Case { key: "in/a.ndjson", ..plain("ndjson", &columns, "", same(json_lines()), 48 * MIB) },
        plain(
            "csv, wide records",
            &spec(&declared(WIDE_COLUMNS, "type: int32")),
            &format!("{}\n", names(WIDE_COLUMNS).join(",")),
            same(wide),
            80 * MIB,
        ),
        plain("csv, records of 16 MiB", &columns, HEADER, same(huge), 128 * MIB),
        plain("csv, rejects of 16 MiB", &columns, HEADER, same(huge_bad), 128 * MIB),
        Case {
            error: Some((ErrorKind::UnreadableSource, "too many to remember")),
            ..plain(
                "csv, 64 unique columns",
                &spec(&declared(UNIQUE_COLUMNS, "type: int64, unique: true")),
                &format!("{}\n", names(UNIQUE_COLUMNS).join(",")),
                Unit::Numbered(UNIQUE_BYTES, unique_record),
                128 * MIB,
            )
        },
    ]
}

/// The peak of what the stage takes, in bytes.
async fn peak(case: &Case, bytes: u64) -> (usize, Result<Extracted, StageError>) {
    let folder = tempfile::tempdir().expect("a folder");
    let work = Forgetful {
        kept: Arc::new(LocalFileSystem::new_with_prefix(folder.path()).expect("a folder")),
        forgotten_bytes: Arc::default(),
    };
    let units = bytes.div_ceil(case.text_bytes);
    let content = Content { unit: case.unit.clone(), units, ..Content::of(case.head.clone()) };
    let (context, request) = land(content, case.key, case.spec.clone(), Arc::new(work)).await;
    HEAP.reset_peak_usage();
    let before = HEAP.current_usage();
    let result = extract(&context, request).await.map(|round| round.done().expect("in one round"));
    (HEAP.peak_usage() - before, result)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peak_memory_does_not_grow_with_the_object() {
    let large_bytes =
        std::env::var("STEPWELL_MEMORY_BYTES").map_or(LARGE_BYTES, |bytes| bytes.parse().expect("a number"));
    let wanted = std::env::var("STEPWELL_MEMORY_CASE").unwrap_or_default();
    let mut failures = Vec::new();
    for case in cases().iter().filter(|case| case.name.contains(&wanted)) {
        let mut peaks = Vec::new();
        // How far reading and writing run ahead is chance: the small object has several.
        for bytes in [SMALL_BYTES, SMALL_BYTES, SMALL_BYTES, large_bytes] {
            let started = std::time::Instant::now();
            let (peak, result) = peak(case, bytes).await;
            eprintln!(
                "{:24} {:5} MB: {:6.1} MiB in {:.1} s",
                case.name,
                bytes / 1_000_000,
                peak as f64 / MIB as f64,
                started.elapsed().as_secs_f64()
            );
            match (&case.error, result) {
                (None, Ok(extracted)) => assert!(extracted.records_read > 0, "{}", case.name),
                (Some((kind, message)), Err(error)) => {
                    assert_eq!(error.kind(), *kind, "{}", error.report());
                    assert!(error.report().contains(message), "{}", error.report());
                }
                (_, result) => failures.push(format!("{}: {result:?}", case.name)),
            }
            peaks.push(peak);
        }
        let large = peaks.pop().expect("four peaks");
        let small = peaks.into_iter().max().expect("three peaks");
        if large > case.cap {
            failures.push(format!("{}: {large} bytes are above the cap of {}", case.name, case.cap));
        }
        if large > small + (small / 10).max(UPLOAD_AHEAD_BYTES) {
            failures.push(format!("{}: {small} bytes grow to {large}", case.name));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
