//! Sources made to exhaust memory, to escape, or to slip records by: each ends in an error by name or in exact counts,
//! and nothing is written outside the run's prefix.
#![allow(clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

mod landing;
mod zip;

use std::{io::Write as _, sync::Arc};

use futures::TryStreamExt;
use landing::{Content, land};
use object_store::{ObjectStore, ObjectStoreExt, memory::InMemory};
use stepwell_extract::extract;
use stepwell_pipeline::ErrorKind;
use zip::zip;

const MIB: usize = 1024 * 1024;
const MESSAGE_BYTES_MAX: usize = 2048;

const COLUMNS: &str = "schema: [{ name: a, type: string }, { name: b, type: string }]\nunknown_columns: reject";

/// How a run ended: its counts of records read and rejected, or its error.
type Outcome = Result<(u64, u64), (ErrorKind, String)>;

fn spec(source: &str, columns: &str) -> String {
    format!(
        "pipeline: hostile\nsource: {{ match: \"in/*\"{source} }}\n{columns}\nrejects: {{ tolerate: \"100%\" }}\nload: {{ \
         target: parquet, path: lake/hostile/ }}\n"
    )
}

/// Runs the stage, and sees to it that what it writes is in one run's prefix and that its reasons are short.
async fn run(key: &str, spec: String, content: Content) -> Outcome {
    let work = Arc::new(InMemory::new());
    let (context, request) = land(content, key, spec, work.clone()).await;
    let result = extract(&context, request).await.map(|round| round.done().expect("in one round"));
    let objects: Vec<_> = work.list(None).try_collect().await.expect("lists");
    let mut runs = Vec::new();
    for object in objects.iter().map(|meta| meta.location.as_ref()).filter(|name| *name != "pipelines/hostile.yaml") {
        let mut segments = object.split('/');
        assert!(matches!(segments.next(), Some("runs" | "staged")), "{object}");
        runs.extend(segments.next().map(str::to_owned));
        if object.ends_with("reasons.ndjson") {
            let path = object_store::path::Path::from(object);
            let reasons = work.get(&path).await.expect("is there").bytes().await.expect("reads");
            let longest = reasons.split(|byte| *byte == b'\n').map(<[u8]>::len).max();
            assert!(longest <= Some(MESSAGE_BYTES_MAX), "{object}: {longest:?}");
        }
    }
    runs.dedup();
    assert!(runs.len() <= 1, "{runs:?}");
    match result {
        Ok(extracted) => {
            assert_eq!(runs, [extracted.run.id]);
            Ok((extracted.records_read, extracted.records_rejected))
        }
        Err(error) => {
            let report = error.report();
            assert!(report.len() <= MESSAGE_BYTES_MAX, "{} bytes: {report:.300}", report.len());
            Err((error.kind(), report))
        }
    }
}

async fn csv(bytes: impl Into<Vec<u8>>) -> Outcome {
    run("in/a.csv", spec(", format: csv", COLUMNS), Content::of(bytes.into())).await
}

async fn ndjson(bytes: impl Into<Vec<u8>>) -> Outcome {
    run("in/a.ndjson", spec(", format: ndjson", COLUMNS), Content::of(bytes.into())).await
}

#[track_caller]
fn refused(outcome: Outcome, kind: ErrorKind, message: &str) {
    let (found, report) = outcome.expect_err(message);
    assert_eq!(found, kind, "{report}");
    assert!(report.contains(message), "expected {message}\ngot {report}");
}

fn gzip(pieces: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    pieces.into_iter().for_each(|piece| encoder.write_all(piece.as_ref()).expect("compresses"));
    encoder.finish().expect("compresses")
}

fn zstd(pieces: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Vec<u8> {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).expect("compresses");
    pieces.into_iter().for_each(|piece| encoder.write_all(piece.as_ref()).expect("compresses"));
    encoder.finish().expect("compresses")
}

fn bzip2(pieces: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Vec<u8> {
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best());
    pieces.into_iter().for_each(|piece| encoder.write_all(piece.as_ref()).expect("compresses"));
    encoder.finish().expect("compresses")
}

#[tokio::test]
async fn compression_bombs_are_refused() {
    let lines = b"1,2\n".repeat(MIB / 4);
    let text = |mib| std::iter::once(&b"a,b\n"[..]).chain(std::iter::repeat_n(&lines[..], mib));
    for (key, bytes) in [("in/a.csv.gz", gzip(text(300))), ("in/a.csv.zst", zstd(text(3 * 1024)))] {
        let outcome = run(key, spec(", format: csv", COLUMNS), Content::of(bytes)).await;
        refused(outcome, ErrorKind::UnreadableSource, "as decompression bombs do");
    }
    let zeros = gzip(std::iter::repeat_n(vec![0; MIB], 300));
    let outcome = run("in/a.csv.gz", spec(", format: csv", COLUMNS), Content::of(zeros)).await;
    refused(outcome, ErrorKind::UnreadableSource, "has a NUL byte at byte 0 of its content");
    let stream = bzip2(std::iter::repeat_n(&lines[..], 16));
    let content = Content::repeated(bzip2([b"a,b\n"]), stream, 1024, "");
    let outcome = run("in/a.csv.bz2", spec(", format: csv", COLUMNS), content).await;
    refused(outcome, ErrorKind::UnreadableSource, "as decompression bombs do");
}

#[tokio::test]
async fn a_gzip_of_many_members_is_a_bomb_as_a_whole() {
    let member = gzip([&b"1,2\n".repeat(MIB)]);
    let content = Content::repeated(gzip([b"a,b\n"]), member, 1024, "");
    refused(
        run("in/a.csv.gz", spec(", format: csv", COLUMNS), content).await,
        ErrorKind::UnreadableSource,
        "as decompression bombs do",
    );
}

#[tokio::test]
async fn a_line_of_a_gigabyte_is_refused_with_its_place() {
    let large = |head: &'static str| Content::repeated(head, vec![b'x'; MIB], 1024, "\n");
    let cases = [
        ("in/a.csv", ", format: csv", "a,b\n1,2\n3,", "the record on line 3 (byte 8 of the text) has more than 16 MiB"),
        ("in/a.csv", ", format: csv", "", "the record on line 1 (byte 0 of the text) has more than 16 MiB"),
        ("in/a.csv", ", format: csv", "a,b\n1,\"", "the record on line 2 (byte 4 of the text) has more than 16 MiB"),
        (
            "in/a.csv",
            ", format: csv, csv: { skip_lines: 1 }",
            "",
            "the record on line 1 (byte 0 of the text) has more than",
        ),
        (
            "in/a.ndjson",
            ", format: ndjson",
            "{\"a\": \"",
            "the record on line 1 (byte 0 of the text) has more than 16 MiB",
        ),
        ("in/a.json", ", format: json", "[{\"a\": \"", "more than 16 MiB"),
    ];
    for (key, source, head, message) in cases {
        refused(run(key, spec(source, COLUMNS), large(head)).await, ErrorKind::UnreadableSource, message);
    }
    let commented = ", format: csv, csv: { comment: \"#\" }";
    refused(
        run("in/a.csv", spec(commented, COLUMNS), large("a,b\n#")).await,
        ErrorKind::UnreadableSource,
        "line 2 (byte 4 of the text) has more than 16 MiB",
    );
    let pieces = || std::iter::once(&b"a,b\n1,"[..]).chain(std::iter::repeat_n(&[b'x'; 65536][..], 16 * 1024));
    let packed = Content::of(zstd(pieces()));
    let (kind, report) =
        run("in/a.csv.zst", spec(", format: csv", COLUMNS), packed).await.expect_err("too long a line");
    assert_eq!(kind, ErrorKind::UnreadableSource, "{report}");
}

#[tokio::test]
async fn a_million_columns_are_named_in_part() {
    let names = (0..1_000_000).map(|number| format!("column{number}")).collect::<Vec<_>>().join(",");
    refused(csv(format!("{names}\n1,2\n")).await, ErrorKind::SchemaMismatch, "and 999990 more");
    refused(csv(format!("{}\n", ",".repeat(1_000_000))).await, ErrorKind::SchemaMismatch, "and 999991 more");
    let fields = "7,".repeat(999_999);
    assert_eq!(csv(format!("a,b\n1,2\n{fields}7\n3,4\n{fields}7\n")).await, Ok((4, 2)));
    let ignore = COLUMNS.replace("reject", "ignore");
    let outcome = run("in/a.csv", spec(", format: csv", &ignore), Content::of(format!("a,b,{names}\n1,2\n"))).await;
    assert_eq!(outcome, Ok((1, 1)));
    for (unknown, rejected) in [("reject", 1), ("ignore", 0), ("keep", 0)] {
        let members = (0..1_000_000).map(|number| format!("\"k{number}\":1")).collect::<Vec<_>>().join(",");
        let content = Content::of(format!("{{\"a\":\"x\",{members}}}\n{{\"a\":\"y\"}}\n"));
        let columns = COLUMNS.replace("reject", unknown);
        let outcome = run("in/a.ndjson", spec(", format: ndjson", &columns), content).await;
        assert_eq!(outcome, Ok((2, rejected)), "{unknown}");
    }
}

#[tokio::test]
async fn archives_stay_within_themselves() {
    let table: &[u8] = b"a,b\n1,2\n";
    for (name, message) in [
        ("../a.csv", "leads out of the archive: `../a.csv`"),
        ("in/../../a.csv", "leads out of the archive"),
        ("..\\a.csv", "leads out of the archive"),
        ("/etc/a.csv", "is an absolute path: `/etc/a.csv`"),
        ("C:/a.csv", "is an absolute path"),
        ("a\0.csv", "holds a control character"),
        ("", "is empty or too long"),
        (&"x".repeat(5000), "is empty or too long"),
    ] {
        let archive = zip(&[("good.csv", table), (name, table)]);
        refused(run("in/a.zip", spec("", COLUMNS), Content::of(archive)).await, ErrorKind::UnreadableSource, message);
    }
    let whole = zip(&[("a.csv", table), ("b/c.csv", table)]);
    assert_eq!(run("in/a.zip", spec("", COLUMNS), Content::of(whole.clone())).await, Ok((2, 0)));
    let nested = zip(&[("a.csv", table), ("inner.zip", &whole)]);
    refused(
        run("in/a.zip", spec("", COLUMNS), Content::of(nested)).await,
        ErrorKind::UnreadableSource,
        "`inner.zip` in s3://landing/in/a.zip holds another compressed file",
    );
    for (key, packed) in [("in/a.zip.gz", gzip([&whole])), ("in/a.csv.gz", gzip([gzip([table])]))] {
        refused(
            run(key, spec("", COLUMNS), Content::of(packed)).await,
            ErrorKind::UnreadableSource,
            "holds another compressed file",
        );
    }
}

#[tokio::test]
async fn deep_nesting_does_not_exhaust_the_stack() {
    let deep = "[".repeat(100_000);
    let closed = format!("{deep}{}", "]".repeat(100_000));
    assert_eq!(
        ndjson(format!("{{\"a\":{closed}}}\n{{\"a\":\"x\"}}\n{deep}\n{{\"z\":{deep}\n{closed}\n")).await,
        Ok((5, 4))
    );
    let objects = format!("{}1{}", "{\"a\":".repeat(100_000), "}".repeat(100_000));
    assert_eq!(ndjson(format!("{objects}\n")).await, Ok((1, 1)));
    for document in [closed.clone(), deep.clone(), objects.clone(), format!("[{{\"a\":{closed}}}]")] {
        let outcome = run("in/a.json", spec(", format: json", COLUMNS), Content::of(document)).await;
        match outcome {
            Ok(counts) => assert_eq!(counts, (1, 1)),
            Err((kind, report)) => {
                assert_eq!(kind, ErrorKind::UnreadableSource, "{report}");
                assert!(report.contains("the JSON document"), "{report}");
            }
        }
    }
}

#[tokio::test]
async fn empty_lines_are_no_records() {
    for end in ["\n", "\r\n", "\r"] {
        let content = Content::repeated(format!("a,b{end}1,2{end}"), end.repeat(1000), 10_000, "3,4");
        assert_eq!(run("in/a.csv", spec(", format: csv", COLUMNS), content).await, Ok((2, 0)), "{end:?}");
    }
    let content = Content::repeated("{\"a\":\"1\"}\n", "\n".repeat(1000), 10_000, "{\"a\":\"2\"}");
    assert_eq!(run("in/a.ndjson", spec(", format: ndjson", COLUMNS), content).await, Ok((2, 0)));
    let content = Content::repeated("", "\n".repeat(1000), 10_000, "");
    refused(
        run("in/a.csv", spec(", format: csv", COLUMNS), content).await,
        ErrorKind::UnreadableSource,
        "has not even a header",
    );
}

#[tokio::test]
async fn quotes_alone_hide_no_record() {
    // The one field of the header is half as many quotes, less the enclosing ones.
    for quotes in [1, 2, 3, 4, 1000, 1001] {
        let (kind, report) = csv("\"".repeat(quotes)).await.expect_err("no header");
        assert!([ErrorKind::SchemaMismatch, ErrorKind::UnreadableSource].contains(&kind), "{report}");
    }
    let outcome = csv(format!("a,b\n{}\n", "\"".repeat(10_000))).await;
    assert_eq!(outcome, Ok((1, 1)));
    assert_eq!(csv(format!("a,b\n{}", "\"".repeat(10_001))).await, Ok((1, 1)));
    assert_eq!(csv(format!("a,b\n{}", "\"\n".repeat(10_000))).await, Ok((5000, 5000)));
}

#[tokio::test]
async fn a_quote_that_never_closes_costs_its_own_line() {
    let mut text = String::from("a,b\n1,\"2\n");
    (0..100_000).for_each(|number| text.push_str(&format!("{number},good\n")));
    assert_eq!(csv(text.clone()).await, Ok((100_001, 1)));
    text.push_str("x,\"quoted \"\"here\"\"\"\n");
    let (read, rejected) = csv(text).await.expect("is read");
    assert!(read >= 1 && rejected >= 1, "{read} {rejected}");
}

/// The last record is in the source's last piece and in the one before, and nothing ends it.
#[tokio::test]
async fn a_long_last_record_without_line_end_is_read_once() {
    for bytes in [MIB - 10, MIB, MIB + 1, 2 * MIB, 3 * MIB - 7, 5 * MIB] {
        assert_eq!(csv(format!("a,b\n1,2\n3,{}", "x".repeat(bytes))).await, Ok((2, 0)), "{bytes}");
        let lines = "1,2\n".repeat(MIB / 4 - 5);
        assert_eq!(csv(format!("a,b\n{lines}3,{}", "x".repeat(bytes))).await, Ok((MIB as u64 / 4 - 4, 0)), "{bytes}");
    }
}

#[tokio::test]
async fn bytes_of_every_value_are_accounted_for() {
    for byte in 0..=u8::MAX {
        let outcome = csv([byte]).await;
        if b"ab".contains(&byte) {
            assert_eq!(outcome, Ok((0, 0)), "the name of one of two optional columns");
            continue;
        }
        let (kind, report) = outcome.expect_err("no table");
        assert!([ErrorKind::SchemaMismatch, ErrorKind::UnreadableSource].contains(&kind), "{byte}: {report}");
        if byte == 0 {
            continue;
        }
        // In a value: good or a reject, but never lost, save line ends, which make two records.
        let value = [b"a,b\n1,x".as_slice(), &[byte], b"y\n3,4\n"].concat();
        let (read, rejected) = csv(value).await.expect("is read");
        let expected = match byte {
            b'\n' | b'\r' => (3, 1),
            b',' => (2, 1),
            0x80.. => (2, 1),
            _ => (2, 0),
        };
        assert_eq!((read, rejected), expected, "{byte}");
    }
    refused(
        csv([&b"a,b\n"[..], &[0; 1000], b"\n1,2\n"].concat()).await,
        ErrorKind::UnreadableSource,
        "has a NUL byte at byte 4 of its content",
    );
}

#[tokio::test]
async fn the_ends_of_files_are_where_they_are() {
    assert_eq!(csv("a,b\n").await, Ok((0, 0)));
    assert_eq!(csv("a,b").await, Ok((0, 0)));
    assert_eq!(csv("a,b\n1,2").await, Ok((1, 0)));
    assert_eq!(csv("a,b\n1,").await, Ok((1, 0)));
    assert_eq!(csv("a,b\r1,2\r3,4\r").await, Ok((2, 0)));
    assert_eq!(csv("a,b\r1,2\r3,4").await, Ok((2, 0)));
    assert_eq!(csv("\u{feff}a,b\n1,2\n").await, Ok((1, 0)));
    refused(csv("\u{feff}").await, ErrorKind::UnreadableSource, "empty");
    refused(csv("").await, ErrorKind::UnreadableSource, "is empty: it has 0 bytes");
    refused(csv(b"\xff\xfe".to_vec()).await, ErrorKind::UnreadableSource, "empty");
    // Half a character at the end of UTF-16.
    let (kind, report) = csv(b"\xff\xfea\x00,\x00b\x00\n\x0001\x00,\x002".to_vec()).await.map_or_else(
        |error| error,
        |counts| {
            assert_eq!(counts, (1, 1));
            (ErrorKind::UnreadableSource, String::new())
        },
    );
    assert_eq!(kind, ErrorKind::UnreadableSource, "{report}");
}
