//! SQL over much more data than the memory that it may use.

use stepwell_pipeline::{
    ErrorKind, StageError,
    handoff::Transformed,
    stage::{Limits, StageContext},
};

use crate::{
    support::{context, files, manifest, transformed},
    types::{readings, readings_spec},
};

const RECORDS: u64 = 200_000;
/// The records take about 20 MiB.
const MEMORY_BYTES: usize = 4 * 1024 * 1024;

async fn run(sql: &str, load: &str, sql_memory_bytes: usize) -> (StageContext, Result<Transformed, StageError>) {
    let context = context();
    let context = StageContext { limits: Limits { sql_memory_bytes, ..context.limits }, ..context };
    let result = transformed(&context, &readings_spec(sql, load), &readings(4, RECORDS as usize / 4)).await;
    (context, result)
}

async fn assert_same_with_and_without_spilling(sql: &str, load: &str, records: u64) {
    let (ample_context, ample) = run(sql, load, 1 << 30).await;
    let (tight_context, tight) = run(sql, load, MEMORY_BYTES).await;
    let (ample, tight) = (ample.expect(sql), tight.expect(sql));
    assert_eq!((ample.records_out, tight.records_out), (records, records), "{sql}");
    assert_eq!(manifest(&ample_context, &ample).await.bytes_spilled, 0, "{sql}");
    assert!(manifest(&tight_context, &tight).await.bytes_spilled > 1024 * 1024, "{sql}");
    let sorted = |mut files: Vec<(String, Vec<String>)>| {
        files.iter_mut().for_each(|(_, rows)| rows.sort());
        files
    };
    assert_eq!(sorted(files(&ample_context, &ample).await), sorted(files(&tight_context, &tight).await), "{sql}");
}

#[tokio::test]
async fn sorting_spills() {
    assert_same_with_and_without_spilling("SELECT * FROM input ORDER BY note", "", RECORDS).await;
    assert_same_with_and_without_spilling("SELECT * FROM input", "partition_by: [kind], sort_by: [note]", RECORDS)
        .await;
}

#[tokio::test]
async fn grouping_by_very_many_groups_spills() {
    let sql = "SELECT note, count(*) AS n, max(price) AS most FROM input GROUP BY note";
    assert_same_with_and_without_spilling(sql, "", RECORDS).await;
    assert_same_with_and_without_spilling("SELECT DISTINCT note, id FROM input", "", RECORDS).await;
}

#[tokio::test]
async fn windows_spill() {
    let sql = "SELECT id, note, row_number() OVER (PARTITION BY day ORDER BY note) AS n FROM input";
    assert_same_with_and_without_spilling(sql, "", RECORDS).await;
}

#[tokio::test]
async fn large_joins_spill() {
    let sql = "SELECT a.id, b.note FROM input a JOIN input b ON a.id = b.id";
    let (context, result) = run(sql, "", MEMORY_BYTES).await;
    let transformed = result.expect("joined");
    assert_eq!(transformed.records_out, RECORDS);
    assert!(manifest(&context, &transformed).await.bytes_spilled > 1024 * 1024);
}

#[tokio::test]
async fn finding_duplicates_spills() {
    assert_same_with_and_without_spilling("SELECT * FROM input", "dedupe: { key: [note], keep: last }", RECORDS).await;
    assert_same_with_and_without_spilling("SELECT * FROM input", "dedupe: { key: [day], keep: first }", 2500).await;
}

#[tokio::test]
async fn what_cannot_spill_fails_with_advice() {
    // A single list of everything is held in memory.
    let sql = "SELECT array_agg(note) AS notes FROM input";
    let (_, result) = run(sql, "", 1024 * 1024).await;
    let error = result.expect_err("too much");
    assert_eq!(error.kind(), ErrorKind::TransformFailed);
    assert!(error.report().contains("give the function more of both"), "{}", error.report());
}
