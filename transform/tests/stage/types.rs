//! Records of many types, and what the engine makes of narrow decimals, dictionaries and views.

use std::sync::Arc;

use arrow::{
    array::{
        ArrayRef, AsArray, Date32Array, Decimal64Array, Decimal128Array, DictionaryArray, Float64Array, Int32Array,
        Int64Array, RecordBatch, StringArray, StringViewArray, UInt8Array,
    },
    compute::cast,
    datatypes::{DataType, Field, Schema},
};

use crate::support::{context, files, transformed};

/// A pipeline over `readings`.
pub(crate) fn readings_spec(sql: &str, load: &str) -> String {
    format!(
        "pipeline: trips\nsource: {{ match: \"in/*.csv\" }}\nschema:\n  - {{ name: id, type: int64, required: true }}\n  \
         - {{ name: kind, type: string }}\n  - {{ name: value, type: float64 }}\n  - {{ name: day, type: date }}\n  \
         - {{ name: price, type: \"decimal(12,2)\" }}\n  - {{ name: note, type: string }}\n\
         transform:\n  sql: >-\n    {sql}\nload: {{ target: parquet, path: lake/trips/, {load} }}\n"
    )
}

/// So many parts of so many records, the same at each call. Kinds are `k0` to `k4`, ids go up.
pub(crate) fn readings(parts: usize, records: usize) -> Vec<Vec<RecordBatch>> {
    (0..parts)
        .map(|part| {
            let first = part * records;
            (first..first + records)
                .step_by(1024)
                .map(|start| readings_batch(start as u64, (first + records).min(start + 1024) as u64))
                .collect()
        })
        .collect()
}

fn readings_batch(start: u64, end: u64) -> RecordBatch {
    // Fibonacci hashing: numbers that look random and are the same each time.
    let mixed = |id: u64| id.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    let ids = || start..end;
    let schema = Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("kind", DataType::Utf8, true),
        Field::new("value", DataType::Float64, true),
        Field::new("day", DataType::Date32, true),
        Field::new("price", DataType::Decimal128(12, 2), true),
        Field::new("note", DataType::Utf8, true),
    ]);
    let prices = Decimal128Array::from_iter_values(ids().map(|id| i128::from(mixed(id) % 1_000_000)));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(ids().map(u64::cast_signed))),
        Arc::new(StringArray::from_iter_values(ids().map(|id| format!("k{}", mixed(id) % 5)))),
        Arc::new(Float64Array::from_iter_values(ids().map(|id| (mixed(id) % 1000) as f64))),
        Arc::new(Date32Array::from_iter_values(ids().map(|id| 15_000 + (mixed(id) % 2500) as i32))),
        Arc::new(prices.with_precision_and_scale(12, 2).unwrap()),
        Arc::new(StringArray::from_iter_values(ids().map(|id| format!("note {:x} of reading {id}", mixed(id))))),
    ];
    RecordBatch::try_new(Arc::new(schema), columns).unwrap()
}

/// Runs SQL over one column pair `a`, `b` of staged types that are narrower than the declared ones.
async fn over(schema: &[(&str, &str)], columns: Vec<ArrayRef>, sql: &str, load: &str) -> Vec<(String, Vec<String>)> {
    let declared: Vec<String> =
        schema.iter().map(|(name, data_type)| format!("  - {{ name: {name}, type: \"{data_type}\" }}\n")).collect();
    let spec = format!(
        "pipeline: trips\nsource: {{ match: \"in/*.csv\" }}\nschema:\n{}transform:\n  sql: >-\n    {sql}\n\
         load: {{ target: parquet, path: lake/trips/, {load} }}\n",
        declared.concat()
    );
    let fields: Vec<Field> = schema
        .iter()
        .zip(&columns)
        .map(|((name, _), column)| Field::new(*name, column.data_type().clone(), true))
        .collect();
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap();
    let context = context();
    let transformed = transformed(&context, &spec, &[vec![batch]]).await.expect(sql);
    files(&context, &transformed).await
}

#[tokio::test]
async fn staged_types_that_are_narrower_than_the_declared_work_in_expressions() {
    let prices = || Arc::new(Decimal64Array::from(vec![1050, 20_000, 399]).with_precision_and_scale(12, 2).unwrap());
    let discounts = || Arc::new(Decimal64Array::from(vec![5, 10, 0]).with_precision_and_scale(12, 2).unwrap());
    let schema = [("price", "decimal(12,2)"), ("discount", "decimal(12,2)")];
    let sql = "SELECT price * (1 - discount) AS net, price FROM input WHERE price > 4 AND discount >= 0.05 AND price BETWEEN 1 AND 300.5";
    let found = over(&schema, vec![prices(), discounts()], sql, "").await;
    assert_eq!(found, [(String::new(), vec!["9.9750,10.50".to_owned(), "180.0000,200.00".into()])]);
    let found =
        over(&schema, vec![prices(), discounts()], "SELECT sum(price) AS total, max(discount) AS most FROM input", "")
            .await;
    assert_eq!(found, [(String::new(), vec!["214.49,0.10".to_owned()])]);

    let words = || StringArray::from(vec![Some("ab"), None, Some("b")]);
    let dictionary =
        |key: DataType| cast(&words(), &DataType::Dictionary(Box::new(key), Box::new(DataType::Utf8))).unwrap();
    let numbers = || Arc::new(Int32Array::from(vec![1, 2, 3])) as ArrayRef;
    let views = || Arc::new(StringViewArray::from_iter(words().iter())) as ArrayRef;
    for staged in [dictionary(DataType::UInt8), dictionary(DataType::Int32), views()] {
        let schema = [("word", "string"), ("number", "int32")];
        let sql = "SELECT number, word, upper(word) AS upper FROM input WHERE word LIKE '%b' AND word <> 'x'";
        let found = over(&schema, vec![staged.clone(), numbers()], sql, "partition_by: [word]").await;
        let expected = [("word=ab".to_owned(), vec!["1,AB".to_owned()]), ("word=b".into(), vec!["3,B".into()])];
        assert_eq!(found, expected, "{}", staged.data_type());
        let sql = "SELECT word, count(*) AS words FROM input GROUP BY word ORDER BY word";
        let found = over(&schema, vec![staged.clone(), numbers()], sql, "").await;
        assert_eq!(found[0].1, ["ab,1", "b,1", ",1"], "{}", staged.data_type());
    }
}

#[tokio::test]
async fn texts_may_be_codes_in_some_parts_and_plain_in_others() {
    let spec = "pipeline: trips\nsource: { match: \"in/*.csv\" }\nschema:\n  - { name: word, type: string }\n\
                transform:\n  sql: SELECT upper(word) AS upper, word FROM input WHERE word <> 'b'\n\
                load: { target: parquet, path: lake/trips/ }\n";
    let part = |words: ArrayRef| {
        let schema = Schema::new(vec![Field::new("word", words.data_type().clone(), true)]);
        vec![RecordBatch::try_new(Arc::new(schema), vec![words]).unwrap()]
    };
    let long = "longer than what a view holds";
    let plain = StringArray::from(vec![Some(long), None, Some("b"), Some("a"), Some(long)]);
    let codes = DataType::Dictionary(Box::new(DataType::UInt8), Box::new(DataType::Utf8));
    let parts = [part(cast(&plain, &codes).unwrap()), part(Arc::new(plain))];
    let context = context();
    let transformed = transformed(&context, spec, &parts).await.expect("runs");
    let upper = format!("{},{long}", long.to_uppercase());
    let expected = [upper.as_str(), "A,a", &upper].repeat(2);
    assert_eq!(
        files(&context, &transformed).await,
        [(String::new(), expected.iter().map(|row| (*row).to_owned()).collect())]
    );
}

/// Readings as `extract` stages them: kinds as codes, prices in 64 bits.
fn staged_readings() -> Vec<Vec<RecordBatch>> {
    let kinds = Arc::new(StringArray::from_iter_values((0..5).map(|kind| format!("k{kind}"))));
    let staged = |batch: &RecordBatch| {
        let mut columns = batch.columns().to_vec();
        let codes = columns[1].as_string::<i32>().iter().map(|kind| kind.unwrap().as_bytes()[1] - b'0');
        columns[1] = Arc::new(DictionaryArray::new(UInt8Array::from_iter_values(codes), kinds.clone()));
        columns[4] = cast(&columns[4], &DataType::Decimal64(12, 2)).unwrap();
        let fields = batch
            .schema()
            .fields()
            .iter()
            .zip(&columns)
            .map(|(field, column)| field.as_ref().clone().with_data_type(column.data_type().clone()))
            .collect::<Vec<_>>();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
    };
    readings(3, 3000).iter().map(|part| part.iter().map(staged).collect()).collect()
}

#[tokio::test]
async fn what_no_expression_looks_at_comes_out_as_what_one_does() {
    let looked_at =
        "SELECT id, substr(kind, 1) AS kind, coalesce(price, price) AS price, note FROM input WHERE id % 10 > 0";
    let passed = "SELECT id, kind, i.price, note FROM input AS i WHERE id % 10 > 0";
    for load in
        ["", "partition_by: [kind]", "partition_by: [note]", "sort_by: [kind, id]", "bloom_filters: [kind, price]"]
    {
        let mut found = Vec::new();
        for sql in [looked_at, passed] {
            let records = if load.contains("note") { 300 } else { 9000 };
            let sql = format!("{sql} AND id < {records}");
            let context = context();
            let transformed = transformed(&context, &readings_spec(&sql, load), &staged_readings()).await.expect(&sql);
            assert_eq!(transformed.records_out, records / 10 * 9);
            found.push(files(&context, &transformed).await);
        }
        assert_eq!(found[0], found[1], "{load}");
    }
    let own = "SELECT kind AS renamed, price, price AS again, id FROM input WHERE kind = 'k1' AND id < 20";
    let context = context();
    let transformed = transformed(&context, &readings_spec(own, ""), &staged_readings()).await.expect(own);
    for row in &files(&context, &transformed).await[0].1 {
        let [kind, price, again, _] = row.split(',').collect::<Vec<_>>()[..] else { panic!("{row}") };
        assert_eq!((kind, price), ("k1", again));
    }
}

#[tokio::test]
async fn nested_columns_stand_amid_flat_ones() {
    let numbers = Arc::new(Int32Array::from(vec![Some(1), None, Some(3)]));
    let words = Arc::new(StringArray::from(vec![Some("ab"), Some("c"), None]));
    let sql = "SELECT number, make_array(word, 'x') AS list, word, named_struct('n', number, 'w', word) AS pair, \
               number + 1 AS next FROM input";
    let found = over(&[("number", "int32"), ("word", "string")], vec![numbers, words], sql, "").await;
    let expected = ["1,[ab, x],ab,{n: 1, w: ab},2", ",[c, x],c,{n: , w: c},", "3,[, x],,{n: 3, w: },4"];
    assert_eq!(found[0].1, expected);
}
