//! Lineage says too little nowhere: where other values of a column change what SQL gives, the lineage names that column.

use std::{collections::BTreeMap, sync::Arc};

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use proptest::prelude::*;
use stepwell_pipeline::lineage::{ColumnLineage, ColumnSource};

use crate::{
    references::{numbers, put, texts},
    support::{context, files, manifest, transformed},
};

const COLUMNS: [&str; 4] = ["id", "a", "b", "kind"];

fn spec(sql: &str) -> String {
    format!(
        "pipeline: trips\nsource: {{ match: \"in/*.csv\" }}\nschema:\n  - {{ name: id, type: int64 }}\n  \
         - {{ name: a, type: int64 }}\n  - {{ name: b, type: int64 }}\n  - {{ name: kind, type: string }}\n\
         transform:\n  sql: >-\n    {sql}\n  references: [{{ name: kinds, path: lake/kinds.parquet }}]\n\
         load: {{ target: parquet, path: lake/t/ }}\n"
    )
}

/// Some records; `changed` has other values in the same range.
fn records(changed: Option<&str>) -> RecordBatch {
    let turn = |name: &str| if changed == Some(name) { 5 } else { 0 };
    let column = |name: &str, factor: i64| -> ArrayRef {
        let value = |row: i64| ((row * factor + turn(name)) % 11, (row + turn(name)) % 7);
        Arc::new(Int64Array::from_iter((0..40).map(|row| match value(row) {
            (_, 3) if name != "id" => None,
            (value, _) => Some(value - 4),
        })))
    };
    let kind = (0..40).map(|row| format!("k{}", (row + turn("kind")) * (row + 2) % 4));
    let kind: ArrayRef = Arc::new(StringArray::from_iter_values(kind));
    let columns = [column("id", 1), column("a", 3), column("b", 7), kind];
    RecordBatch::try_from_iter(COLUMNS.into_iter().zip(columns)).expect("records")
}

/// The values of each column, in no order. Nothing for SQL that the engine itself plans wrongly, and refuses: windows by
/// certain nested conditions (DataFusion 55.2, `SanityCheckPlan`).
async fn given(sql: &str, changed: Option<&str>) -> Option<(BTreeMap<String, Vec<String>>, ColumnLineage)> {
    let context = context();
    let labels = vec![("kind", texts(&["k0", "k1", "k2"])), ("w", numbers(&[10, 20, 30]))];
    put(&context, "kinds.parquet", labels).await;
    let done = transformed(&context, &spec(sql), &[vec![records(changed)]]).await;
    let done = match done {
        Err(error) if error.report().contains("SanityCheckPlan") => return None,
        done => done.unwrap_or_else(|error| panic!("{sql}: {}", error.report())),
    };
    let manifest = manifest(&context, &done).await;
    let rows: Vec<String> = files(&context, &done).await.into_iter().flat_map(|(_, rows)| rows).collect();
    let column = |index: usize| {
        let mut values: Vec<String> =
            rows.iter().map(|row| row.split(',').nth(index).expect("a value").to_owned()).collect();
        values.sort();
        values
    };
    let names = manifest.columns.iter().enumerate();
    let values = names.map(|(index, described)| (described.name.clone(), column(index))).collect();
    Some((values, manifest.lineage.expect("a lineage")))
}

async fn whoever_changes_it_is_named(sql: &str) {
    let Some((before, lineage)) = given(sql, None).await else { return };
    for changed in COLUMNS {
        let (after, _) = given(sql, Some(changed)).await.expect("it was planned before");
        let is_named =
            |sources: &[ColumnSource]| sources.iter().any(|source| source.table == "input" && source.column == changed);
        for (name, values) in &before {
            let own = lineage.columns.get(name).unwrap_or_else(|| panic!("`{name}` of {sql} is not understood"));
            let is_explained = is_named(own) || is_named(&lineage.dataset);
            assert!(is_explained || values == &after[name], "{changed} changes {name} of {sql}: {lineage:#?}");
        }
    }
}

fn number() -> BoxedStrategy<String> {
    let leaf = prop_oneof![
        Just("id".to_owned()),
        Just("a".to_owned()),
        Just("b".to_owned()),
        (-3..4_i64).prop_map(|number| format!("({number})")),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        let pair = (inner.clone(), inner.clone());
        prop_oneof![
            (pair.clone(), prop_oneof![Just("+"), Just("-"), Just("*")])
                .prop_map(|((one, other), sign)| format!("({one} {sign} {other})")),
            pair.clone().prop_map(|(one, other)| format!("coalesce({one}, {other})")),
            (condition(inner.clone()), pair)
                .prop_map(|(when, (then, other))| format!("CASE WHEN {when} THEN {then} ELSE {other} END")),
            inner.prop_map(|one| format!("abs({one})")),
        ]
    })
    .boxed()
}

fn condition(number: BoxedStrategy<String>) -> BoxedStrategy<String> {
    prop_oneof![
        (number.clone(), number.clone()).prop_map(|(one, other)| format!("{one} > {other}")),
        (number.clone(), number.clone()).prop_map(|(one, other)| format!("{one} BETWEEN -1 AND {other}")),
        number.clone().prop_map(|one| format!("{one} IS NOT NULL")),
        number.prop_map(|one| format!("{one} IN (0, 1, 2)")),
        (0..4).prop_map(|kind| format!("kind = 'k{kind}'")),
    ]
    .boxed()
}

fn filter() -> impl Strategy<Value = String> {
    prop_oneof![4 => condition(number()), 1 => Just("kind IN (SELECT kind FROM kinds WHERE w > 10)".to_owned())]
}

fn query() -> impl Strategy<Value = String> {
    let parts = (number(), number(), number(), filter());
    (0..8_usize, parts).prop_map(|(shape, (one, other, third, when))| match shape {
        0 => format!("SELECT {one} AS x, {other} AS y FROM input WHERE {when}"),
        1 => format!(
            "WITH t AS (SELECT {one} AS g, {other} AS h, {third} AS i FROM input WHERE {when}) SELECT g * 2 AS x, sum(h) AS \
             y, count(i) AS z FROM t GROUP BY g"
        ),
        2 => format!("SELECT x + 1 AS u, y FROM (SELECT {one} AS x, {other} AS y FROM input) s WHERE x > y"),
        3 => format!(
            "WITH t AS (SELECT {one} AS x, kind, {other} AS y FROM input) SELECT t.x, t.y, k.w FROM t LEFT JOIN kinds k ON \
             t.kind = k.kind"
        ),
        4 => format!("SELECT {one} AS x, sum({other}) OVER (PARTITION BY {third}) AS y FROM input"),
        5 => format!("SELECT {one} AS x FROM input WHERE {when} UNION ALL SELECT {other} FROM input"),
        6 => format!("SELECT DISTINCT {one} AS x, {other} AS y FROM input WHERE {when}"),
        _ => format!("SELECT kind, min({one}) AS x FROM input WHERE {when} GROUP BY kind HAVING max({other}) > 0"),
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn whatever_changes_a_column_is_in_its_lineage(sql in query()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(whoever_changes_it_is_named(&sql));
    }
}
