//! Joins with reference tables.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;
use stepwell_pipeline::{
    ErrorKind,
    manifest::{CommitManifest, CommittedFile},
    stage::StageContext,
    store::{self, ObjectRef},
};

use crate::{
    support::{context, files, run_of, transformed},
    types::{readings, readings_spec},
};

pub(crate) async fn put(context: &StageContext, key: &str, columns: Vec<(&str, ArrayRef)>) -> u64 {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    let bytes = writer.into_inner().unwrap();
    let size = bytes.len() as u64;
    store::put(&*context.stores, &ObjectRef::new("lake", key), bytes).await.unwrap();
    size
}

pub(crate) fn texts(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

pub(crate) fn numbers(values: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

fn spec(sql: &str, path: &str) -> String {
    readings_spec(sql, "").replace("load:", &format!("  references: [{{ name: kinds, path: {path} }}]\nload:"))
}

async fn joined(context: &StageContext, sql: &str, path: &str) -> Vec<String> {
    let done = transformed(context, &spec(sql, path), &readings(2, 100)).await.expect(sql);
    assert_eq!(done.records_filtered, None);
    files(context, &done).await.into_iter().flat_map(|(_, rows)| rows).collect()
}

const SQL: &str =
    "SELECT k.label, count(*) AS n FROM input i JOIN kinds k ON i.kind = k.kind GROUP BY k.label ORDER BY k.label";

#[tokio::test]
async fn a_file_and_a_folder_are_joined_with() {
    let context = context();
    put(&context, "kinds.parquet", vec![("label", texts(&["zero", "one"])), ("kind", texts(&["k0", "k1"]))]).await;
    let whole = joined(&context, SQL, "lake/kinds.parquet").await;
    assert_eq!(whole.len(), 2);
    assert!(whole[0].starts_with("one,") && whole[1].starts_with("zero,"), "{whole:?}");

    // In a folder, columns may be in another order, and partitions are columns; hidden names are skipped.
    put(&context, "kinds/group=7/a.parquet", vec![("label", texts(&["zero"])), ("kind", texts(&["k0"]))]).await;
    put(
        &context,
        "kinds/group=__HIVE_DEFAULT_PARTITION__/b.parquet",
        vec![("kind", texts(&["k1"])), ("label", texts(&["one"]))],
    )
    .await;
    put(&context, "kinds/_tmp/c.parquet", vec![("kind", texts(&["k2"])), ("label", texts(&["two"]))]).await;
    put(&context, "kinds/.d.parquet", vec![("kind", texts(&["k3"])), ("label", texts(&["three"]))]).await;
    assert_eq!(joined(&context, SQL, "lake/kinds/").await, whole);
    let groups = joined(&context, "SELECT \"group\" + 1 AS next, label FROM kinds ORDER BY label", "lake/kinds").await;
    assert_eq!(groups, [",one", "8,zero"]);
    assert_eq!(joined(&context, "SELECT count(*) AS n FROM kinds", "lake/kinds/").await, ["2"]);
}

#[tokio::test]
async fn only_what_is_current_of_a_table_of_our_own_is_read() {
    let context = context();
    let mut committed = Vec::new();
    for (key, label, current) in [("kinds/a.parquet", "old", false), ("kinds/b.parquet", "new", true)] {
        let bytes = put(&context, key, vec![("label", texts(&[label])), ("kind", texts(&["k0"]))]).await;
        if current {
            committed.push(CommittedFile { key: key.into(), records: 1, bytes });
        }
    }
    let commit = CommitManifest {
        run: run_of("other"),
        generation: 0,
        files: committed,
        records_loaded: 1,
        bytes_loaded: 1,
        replaced: Vec::new(),
        code_version: "test".into(),
    };
    let object = ObjectRef::new("lake", "kinds/_stepwell/commits/x.json");
    store::put_json(&*context.stores, &object, &commit).await.unwrap();
    assert_eq!(joined(&context, "SELECT label FROM kinds", "lake/kinds/").await, ["new"]);
}

#[tokio::test]
async fn a_reference_that_is_missing_or_no_parquet_is_named() {
    let context = context();
    for (path, expected) in [
        ("lake/nothing/", "the reference `kinds` cannot be read: lake/nothing/ is no Parquet file"),
        ("work/nothing.parquet", "the reference `kinds` cannot be read: work/nothing.parquet is no Parquet file"),
        ("lake/torn.parquet", "the reference file s3://lake/torn.parquet is no whole Parquet"),
    ] {
        store::put(&*context.stores, &ObjectRef::new("lake", "torn.parquet"), "no Parquet, but long enough")
            .await
            .unwrap();
        let error = transformed(&context, &spec(SQL, path), &readings(1, 10)).await.expect_err(path);
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.report().starts_with(expected), "{}", error.report());
    }
}

#[tokio::test]
async fn the_smaller_side_of_a_join_is_held_and_row_wise_sql_stays_row_wise() {
    let context = context();
    put(&context, "kinds.parquet", vec![("kind", texts(&["k0"])), ("weight", numbers(&[3]))]).await;
    let sql = "SELECT i.id, k.weight FROM input i LEFT JOIN kinds k ON i.kind = k.kind";
    assert_eq!(joined(&context, sql, "lake/kinds.parquet").await.len(), 200);
    let text = spec("SELECT id FROM input WHERE id < 5", "lake/kinds.parquet");
    let done = transformed(&context, &text, &readings(2, 100)).await.expect("transformed");
    assert_eq!((done.records_out, done.records_filtered), (5, Some(195)));
}
