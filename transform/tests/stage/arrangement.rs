//! Sorted files and one record of each key.

use std::sync::Arc;

use arrow::{
    array::{Array, AsArray, Int32Array, Int64Array, RecordBatch, StringArray},
    datatypes::{DataType, Field, Float64Type, Int64Type, Schema},
};
use parquet::{arrow::arrow_reader::ParquetRecordBatchReaderBuilder, file::metadata::SortingColumn};

use crate::{
    support::{bytes, context, files, manifest, transformed},
    types::{readings, readings_spec},
};

#[tokio::test]
async fn records_are_sorted_in_each_file_and_the_footer_says_so() {
    let context = context();
    let spec = readings_spec("SELECT * FROM input", "partition_by: [kind], sort_by: [kind, value]");
    let transformed = transformed(&context, &spec, &readings(3, 3000)).await.expect("transformed");
    let manifest = manifest(&context, &transformed).await;
    assert_eq!((manifest.files.len(), manifest.records_out, manifest.records_filtered), (5, 9000, Some(0)));
    for file in &manifest.files {
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes(&context, file).await).unwrap();
        // Of the columns that the file holds, `value` is the second.
        let expected = vec![SortingColumn { column_idx: 1, descending: false, nulls_first: false }];
        assert_eq!(reader.metadata().row_group(0).sorting_columns(), Some(&expected));
        let mut keys: Vec<(f64, i64)> = Vec::new();
        for batch in reader.build().unwrap() {
            let batch = batch.unwrap();
            let values = batch.column_by_name("value").unwrap().as_primitive::<Float64Type>().values();
            let ids = batch.column_by_name("id").unwrap().as_primitive::<Int64Type>().values();
            keys.extend(values.iter().copied().zip(ids.iter().copied()));
        }
        // Records of the same value keep the source's order.
        assert!(keys.len() > 1000 && keys.is_sorted());
    }
}

fn versions() -> Vec<Vec<RecordBatch>> {
    let schema = Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("rank", DataType::Int32, true),
        Field::new("text", DataType::Utf8, true),
    ]));
    let batch = |ids: Vec<Option<i64>>, ranks: Vec<Option<i32>>, texts: Vec<&str>| {
        let columns: Vec<Arc<dyn Array>> = vec![
            Arc::new(Int64Array::from(ids)),
            Arc::new(Int32Array::from(ranks)),
            Arc::new(StringArray::from(texts)),
        ];
        RecordBatch::try_new(schema.clone(), columns).unwrap()
    };
    vec![
        vec![batch(vec![Some(2), Some(1), None], vec![Some(1), Some(5), None], vec!["a", "b", "c"])],
        vec![batch(
            vec![Some(1), Some(2), None, Some(2)],
            vec![Some(5), None, Some(0), Some(1)],
            vec!["d", "e", "f", "g"],
        )],
    ]
}

#[tokio::test]
async fn one_record_of_each_key_is_kept() {
    let cases = [
        ("first", ["a", "b", "c"]),
        ("last", ["d", "f", "g"]),
        // Of the same greatest rank the last, and null is less than any.
        ("max(rank)", ["d", "f", "g"]),
    ];
    for (keep, expected) in cases {
        let spec = |condition: &str| {
            format!(
                "pipeline: trips\nsource: {{ match: \"in/*.csv\" }}\nschema:\n  - {{ name: id, type: int64 }}\n  \
                 - {{ name: rank, type: int32 }}\n  - {{ name: text, type: string }}\n\
                 transform: {{ sql: \"SELECT text, id, rank FROM input {condition}\" }}\n\
                 load: {{ target: parquet, path: lake/trips/, dedupe: {{ key: [id], keep: {keep} }} }}\n"
            )
        };
        let context = context();
        let done = transformed(&context, &spec(""), &versions()).await.expect(keep);
        let rows = files(&context, &done).await.remove(0).1;
        let texts: Vec<&str> = rows.iter().filter_map(|row| row.split(',').next()).collect();
        assert_eq!(texts, expected, "{keep}, in the source's order");
        assert_eq!(
            (done.records_in, done.records_out, done.records_filtered, done.records_duplicate),
            (7, 3, Some(0), Some(4))
        );

        let done = transformed(&context, &spec("WHERE text <> 'c'"), &versions()).await.expect(keep);
        assert_eq!(
            (done.records_in, done.records_out, done.records_filtered, done.records_duplicate),
            (7, 3, Some(1), Some(3))
        );
    }
}

#[tokio::test]
async fn duplicates_of_aggregates_are_counted_without_filtered() {
    let context = context();
    let sql = "SELECT kind, day, count(*) AS n FROM input GROUP BY kind, day";
    let spec = readings_spec(sql, "dedupe: { key: [kind], keep: max(n) }");
    let done = transformed(&context, &spec, &readings(2, 2000)).await.expect("transformed");
    assert_eq!((done.records_out, done.records_filtered), (5, None));
    assert!(done.records_duplicate.unwrap() > 1000);
}
