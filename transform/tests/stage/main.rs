//! The stage on buckets in memory, and what it says of wrong SQL.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod arrangement;
mod checking;
mod influence;
mod lineage;
mod references;
mod rounds;
mod spilling;
mod support;
mod types;
mod writing;

use std::sync::Arc;

use arrow::array::{Int16Array, RecordBatch, StringArray};
use stepwell_pipeline::{
    ErrorKind, StageError,
    handoff::Transformed,
    spec::CheckedSpec,
    stage::{Stage, StageContext},
    store::{self, ObjectRef},
};

use crate::support::{context, delete, extracted, files, rounds as all_rounds};

fn spec(sql: &str, partition_by: &str) -> String {
    format!(
        "pipeline: trips\nsource: {{ match: \"in/*.csv\" }}\nschema:\n  - {{ name: year, type: int16 }}\n  \
         - {{ name: City, type: string }}\ntransform:\n  sql: {sql}\n\
         load: {{ target: parquet, path: lake/trips/, partition_by: [{partition_by}] }}\n"
    )
}

/// Six accepted records in two parts.
fn trips(spec: &str) -> Vec<Vec<RecordBatch>> {
    let schema = CheckedSpec::parse("trips.yaml", spec).expect("a spec").arrow_schema();
    let values = [([2013, 2014, 2013], ["Rome", "Oslo", "Oslo"]), ([2014, 2014, 2014], ["Rome", "Rome", "Wien"])];
    let part = |(years, cities): ([i16; 3], [&str; 3])| {
        let columns: Vec<arrow::array::ArrayRef> =
            vec![Arc::new(Int16Array::from(years.to_vec())), Arc::new(StringArray::from(cities.to_vec()))];
        let batch = RecordBatch::try_new(schema.clone(), columns).unwrap();
        vec![batch.slice(0, 1), batch.slice(1, 2)]
    };
    values.into_iter().map(part).collect()
}

async fn run(sql: &str, partition_by: &str) -> (StageContext, Result<Transformed, StageError>) {
    let context = context();
    let spec = spec(sql, partition_by);
    let result = support::transformed(&context, &spec, &trips(&spec)).await;
    (context, result)
}

#[tokio::test]
async fn row_wise_sql_is_partitioned_and_reconciled() {
    let (context, transformed) =
        run("SELECT year, City, year - 2000 AS age FROM input WHERE City <> 'Wien'", "year").await;
    let transformed = transformed.expect("transformed");
    assert_eq!((transformed.records_in, transformed.records_out, transformed.records_filtered), (6, 5, Some(1)));
    assert_eq!(
        files(&context, &transformed).await,
        [
            ("year=2013".to_owned(), vec!["Rome,13".to_owned(), "Oslo,13".into()]),
            ("year=2014".to_owned(), vec!["Oslo,14".into(), "Rome,14".into(), "Rome,14".into()]),
        ]
    );
}

#[tokio::test]
async fn sql_over_the_whole_object_has_no_filtered_count() {
    let (context, transformed) = run("SELECT City, COUNT(*) AS trips FROM input GROUP BY City ORDER BY City", "").await;
    let transformed = transformed.expect("transformed");
    assert_eq!((transformed.records_out, transformed.records_filtered), (3, None));
    assert_eq!(
        files(&context, &transformed).await,
        [(String::new(), vec!["Oslo,2".to_owned(), "Rome,3".into(), "Wien,1".into()])]
    );
}

#[tokio::test]
async fn a_condition_that_never_holds_leaves_every_record_out() {
    for condition in ["year < 0", "1 = 0"] {
        let (_, transformed) = run(&format!("SELECT * FROM input WHERE {condition}"), "").await;
        let transformed = transformed.expect("transformed");
        assert_eq!((transformed.records_out, transformed.records_filtered), (0, Some(6)), "{condition}");
    }
}

#[tokio::test]
async fn sql_that_fails_on_the_data_says_so() {
    let (_, result) = run("SELECT CAST(City AS INT) AS city FROM input", "").await;
    let error = result.expect_err("no number");
    assert_eq!(error.kind(), ErrorKind::TransformFailed);
    assert!(error.report().contains("Cannot cast string 'Rome'"), "{}", error.report());
}

#[tokio::test]
async fn a_part_that_is_gone_or_a_changed_spec_fails_the_stage() {
    let context = context();
    let text = spec("SELECT * FROM input", "");
    let extracted = extracted(&context, &text, &trips(&text)).await;
    delete(&context, &extracted.run.stage_key(Stage::Extract, "part-1.arrow")).await;
    let error = all_rounds(&context, extracted.clone()).await.expect_err("a part is gone");
    assert_eq!(error.kind(), ErrorKind::SourceMissing);
    store::put(&*context.stores, &ObjectRef::new("work", extracted.run.spec_key()), text + "\n").await.unwrap();
    let error = all_rounds(&context, extracted).await.expect_err("the pinned spec was changed");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[tokio::test]
async fn a_repetition_gives_the_same_bytes_and_a_finished_run_is_left_alone() {
    let sql = "SELECT * FROM input";
    let (first_context, first) = run(sql, "year").await;
    let (second_context, second) = run(sql, "year").await;
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_eq!(files(&first_context, &first).await, files(&second_context, &second).await);
    assert_eq!(first.bytes_out, second.bytes_out);

    let text = spec(sql, "year");
    let again = extracted(&first_context, &text, &trips(&text)).await;
    delete(&first_context, &again.run.stage_key(Stage::Extract, "part-0.arrow")).await;
    assert_eq!(all_rounds(&first_context, again).await.expect("finished before"), (first, 1));
}
