//! The stage on buckets in memory, and what it says of wrong SQL.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "tests fail by panicking")]

use std::sync::Arc;

use arrow::{
    array::{Int16Array, RecordBatch, StringArray},
    ipc::writer::FileWriter,
};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use stepwell_pipeline::{
    ErrorKind, StageError,
    handoff::{Extracted, Transformed},
    manifest::{ExtractManifest, Part, Timing, TransformManifest},
    progress::Unwatched,
    run::{Run, Source, digest},
    spec::CheckedSpec,
    stage::{Buckets, Stage, StageContext},
    store::{self, MemoryStores, ObjectRef},
};
use stepwell_transform::{check, transform};

fn spec(sql: &str, partition_by: &str) -> String {
    format!(
        "pipeline: trips\nsource: {{ match: \"in/*.csv\" }}\nschema:\n  - {{ name: year, type: int16 }}\n  \
         - {{ name: City, type: string }}\ntransform:\n  sql: {sql}\n\
         load: {{ target: parquet, path: lake/trips/, partition_by: [{partition_by}] }}\n"
    )
}

fn context() -> StageContext {
    StageContext::new(
        Arc::new(MemoryStores::default()),
        Buckets { landing: "landing".into(), work: "work".into(), lake: "lake".into() },
        Arc::new(Unwatched),
    )
}

/// What `extract` would leave for six accepted records in two parts.
async fn extracted(context: &StageContext, spec: &str) -> Extracted {
    let source = Source {
        bucket: "landing".into(),
        key: "in/trips.csv".into(),
        version: None,
        etag: "e".into(),
        size: 100,
        modified_ms: 0,
        sequencer: None,
    };
    let run = Run::new("trips", &digest(spec.as_bytes()), source);
    let stores = &*context.stores;
    store::put(stores, &ObjectRef::new("work", run.spec_key()), spec.to_owned()).await.unwrap();
    let schema = CheckedSpec::parse("trips.yaml", spec).expect("a spec").arrow_schema();
    let mut parts = Vec::new();
    for (index, (years, cities)) in
        [([2013, 2014, 2013], ["Rome", "Oslo", "Oslo"]), ([2014, 2014, 2014], ["Rome", "Rome", "Wien"])]
            .into_iter()
            .enumerate()
    {
        let columns: Vec<arrow::array::ArrayRef> =
            vec![Arc::new(Int16Array::from(years.to_vec())), Arc::new(StringArray::from(cities.to_vec()))];
        let batch = RecordBatch::try_new(schema.clone(), columns).unwrap();
        let mut writer = FileWriter::try_new(Vec::new(), &schema).unwrap();
        writer.write(&batch.slice(0, 1)).unwrap();
        writer.write(&batch.slice(1, 2)).unwrap();
        let bytes = writer.into_inner().unwrap();
        let part = Part {
            key: run.stage_key(Stage::Extract, &format!("part-{index}.arrow")),
            records: 3,
            bytes: bytes.len() as u64,
        };
        store::put(stores, &ObjectRef::new("work", &part.key), bytes).await.unwrap();
        parts.push(part);
    }
    let manifest = ExtractManifest {
        run: run.clone(),
        parts,
        rejects: None,
        records_read: 7,
        records_accepted: 6,
        records_rejected: 1,
        bytes_read: 100,
        reasons: Vec::new(),
        profile: Vec::new(),
        timing: Timing::default(),
        code_version: "test".into(),
    };
    let key = run.stage_key(Stage::Extract, "manifest.json");
    store::put_json(stores, &ObjectRef::new("work", &key), &manifest).await.unwrap();
    Extracted { run, manifest: key, records_read: 7, records_rejected: 1, bytes_read: 100 }
}

async fn run(sql: &str, partition_by: &str) -> (StageContext, Result<Transformed, StageError>) {
    let context = context();
    let extracted = extracted(&context, &spec(sql, partition_by)).await;
    let result = transform(&context, extracted).await;
    (context, result)
}

/// The files of a transformed run: their directory and their records as text.
async fn files(context: &StageContext, transformed: &Transformed) -> Vec<(String, Vec<String>)> {
    let manifest: TransformManifest =
        store::get_json(&*context.stores, &ObjectRef::new("work", &transformed.manifest)).await.unwrap().unwrap();
    let mut files = Vec::new();
    for file in manifest.files {
        let (bytes, _) = store::get(&*context.stores, &ObjectRef::new("work", &file.staged)).await.unwrap().unwrap();
        assert_eq!(bytes.len() as u64, file.bytes);
        let mut rows = Vec::new();
        for batch in ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().build().unwrap() {
            let batch = batch.unwrap();
            for row in 0..batch.num_rows() {
                let values = batch
                    .columns()
                    .iter()
                    .map(|column| arrow::util::display::array_value_to_string(column, row).expect("displays"));
                rows.push(values.collect::<Vec<_>>().join(","));
            }
        }
        assert_eq!(rows.len() as u64, file.records);
        files.push((file.path.rsplit_once('/').map_or("", |(directory, _)| directory).to_owned(), rows));
    }
    files
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
    let extracted = extracted(&context, &text).await;
    let work = context.stores.bucket("work").unwrap();
    let part = store::path(&extracted.run.stage_key(Stage::Extract, "part-1.arrow")).unwrap();
    object_store::ObjectStoreExt::delete(&*work, &part).await.unwrap();
    let error = transform(&context, extracted.clone()).await.expect_err("a part is gone");
    assert_eq!(error.kind(), ErrorKind::SourceMissing);
    store::put(&*context.stores, &ObjectRef::new("work", extracted.run.spec_key()), text + "\n").await.unwrap();
    let error = transform(&context, extracted).await.expect_err("the pinned spec was changed");
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

    let again = extracted(&first_context, &spec(sql, "year")).await;
    let work = first_context.stores.bucket("work").unwrap();
    let part = store::path(&again.run.stage_key(Stage::Extract, "part-0.arrow")).unwrap();
    object_store::ObjectStoreExt::delete(&*work, &part).await.unwrap();
    assert_eq!(transform(&first_context, again).await.expect("finished before"), first);
}

#[tokio::test]
async fn wrong_sql_has_its_line_and_the_nearest_name() {
    let cases = [
        (
            "SELECT yaer FROM input",
            "",
            "t.yaml:7: the SQL names a column `yaer` that does not exist; did you mean `year`?",
        ),
        (
            "SELECT city FROM input",
            "",
            "t.yaml:7: the SQL names a column `city` that does not exist; did you mean `City`?",
        ),
        (
            "SELECT * FROM inputs",
            "",
            "t.yaml:7: the SQL is wrong: table 'datafusion.public.inputs' not found; the only table is `input`",
        ),
        ("SELEC year FROM input", "", "t.yaml:7: the SQL is wrong: "),
        ("SELECT nofunction(year) AS y FROM input", "", "t.yaml:7: the SQL is wrong: Invalid function 'nofunction'"),
        ("DROP TABLE input", "", "t.yaml:7: the SQL is wrong: "),
        ("SELECT City FROM input", "year", "t.yaml:8: the SQL gives no column `year` to partition by"),
        (
            "SELECT City, year FROM input",
            "yeer",
            "t.yaml:8: the SQL gives no column `yeer` to partition by; did you mean `year`?",
        ),
        ("SELECT year FROM input", "year", "t.yaml:8: every column is a partition column"),
        (
            "SELECT City, year / 2.0 AS half FROM input",
            "half",
            "t.yaml:8: `half` is Float64 and cannot be a partition column",
        ),
    ];
    for (sql, partition_by, expected) in cases {
        let spec = CheckedSpec::parse("t.yaml", &spec(sql, partition_by)).expect("well formed");
        let errors = check(&spec).await.expect_err(sql).to_string();
        assert!(errors.starts_with(expected), "{sql}\n  expected {expected}\n  got      {errors}");
    }
    let good = CheckedSpec::parse("t.yaml", &spec("SELECT Sum(year) AS total, City FROM input GROUP BY City", "City"));
    assert!(check(&good.expect("well formed")).await.is_ok());
}
