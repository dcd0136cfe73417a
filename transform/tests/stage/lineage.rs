//! Where the columns of a table come from, for SQL of every kind.

use std::collections::BTreeMap;

use stepwell_pipeline::{
    lineage::{ColumnLineage, ColumnSource, Effect},
    stage::StageContext,
};

use crate::{
    references::{numbers, put, texts},
    support::{context, manifest, transformed},
};

const SPEC: &str = "pipeline: trips\nsource: { match: \"in/*.ndjson\" }\nschema:\n  - { name: id, type: int64 }\n  \
                    - { name: a, type: int64 }\n  - { name: b, type: int64 }\n  - { name: kind, type: string }\n  \
                    - { name: tags, type: list<string> }\n  - { name: mail, type: string, pii: hash }\n  \
                    - { name: phone, type: string, pii: redact }\n  - { name: gone, type: string, pii: drop }\n\
                    unknown_columns: keep\ntransform:\n  sql: >-\n    SQL\n  references: [{ name: kinds, path: lake/kinds.parquet }]\n\
                    load: { target: parquet, path: lake/t/LOAD }\n";

async fn of(context: &StageContext, sql: &str, load: &str) -> Result<ColumnLineage, String> {
    put(context, "kinds.parquet", vec![("kind", texts(&["k0"])), ("label", texts(&["l"])), ("w", numbers(&[1]))]).await;
    let spec = SPEC.replace("SQL", sql).replace("LOAD", load);
    let done = transformed(context, &spec, &[]).await.map_err(|error| format!("{sql}: {}", error.report()))?;
    Ok(manifest(context, &done).await.lineage.expect("a lineage"))
}

/// `a I, kinds.w T*`: identity, a transformation that masks.
fn text(sources: &[ColumnSource]) -> String {
    let letter = |effect| match effect {
        Effect::Identity => "I",
        Effect::Transformation => "T",
        Effect::Aggregation => "A",
        Effect::Join => "join",
        Effect::GroupBy => "group",
        Effect::Filter => "filter",
        Effect::Sort => "sort",
        Effect::Window => "window",
        Effect::Conditional => "if",
    };
    let source = |source: &ColumnSource| {
        let table = if source.table == "input" { String::new() } else { format!("{}.", source.table) };
        let effects = source.transformations.iter().map(|transformation| {
            assert!(transformation.effect.is_direct() || !transformation.masking);
            format!("{}{}", letter(transformation.effect), if transformation.masking { "*" } else { "" })
        });
        format!("{table}{} {}", source.column, effects.collect::<Vec<_>>().join("+"))
    };
    sources.iter().map(source).collect::<Vec<_>>().join(", ")
}

/// Each column and what it is made of; below `*` what decides about the records.
fn table(lineage: &ColumnLineage) -> BTreeMap<String, String> {
    let columns = lineage.columns.iter().map(|(name, sources)| (name.clone(), text(sources)));
    let whole = Some(("*".to_owned(), text(&lineage.dataset))).filter(|(_, text)| !text.is_empty());
    columns.chain(whole).collect()
}

async fn expect(sql: &str, load: &str, expected: &[(&str, &str)]) {
    let lineage = of(&context(), sql, load).await.expect("transformed");
    let expected: BTreeMap<String, String> =
        expected.iter().map(|(name, sources)| ((*name).to_owned(), (*sources).to_owned())).collect();
    assert_eq!(table(&lineage), expected, "{sql}");
}

#[tokio::test]
async fn columns_are_taken_or_made_of_others() {
    for (sql, expected) in [
        ("SELECT a FROM input", &[("a", "a I")][..]),
        ("SELECT a AS c, b FROM input", &[("c", "a I"), ("b", "b I")]),
        ("SELECT a + b AS c, a * 2 AS d FROM input", &[("c", "a T, b T"), ("d", "a T")]),
        ("SELECT 1 AS one, a FROM input", &[("one", ""), ("a", "a I")]),
        ("SELECT CAST(a AS VARCHAR) AS c, upper(trim(kind)) AS k FROM input", &[("c", "a T"), ("k", "kind T")]),
        ("SELECT CASE WHEN a > 0 THEN b ELSE id END AS c FROM input", &[("c", "a if, b T, id T")]),
        ("SELECT CASE kind WHEN 'x' THEN 1 ELSE 2 END AS c FROM input", &[("c", "kind if")]),
        ("SELECT CASE WHEN a > 0 THEN a END AS c FROM input", &[("c", "a T+if")]),
        ("SELECT coalesce(a, b, 0) AS c FROM input", &[("c", "a T, b T")]),
        ("SELECT a IN (1, b) AS c, a BETWEEN 1 AND id AS d FROM input", &[("c", "a T, b T"), ("d", "a T, id T")]),
        ("SELECT sha256(kind) AS h, a FROM input", &[("h", "kind T*"), ("a", "a I")]),
        ("SELECT unnest(tags) AS tag, a FROM input", &[("tag", "tags T"), ("a", "a I")]),
    ] {
        expect(sql, "", expected).await;
    }
}

#[tokio::test]
async fn conditions_groups_and_orders_decide_about_the_records() {
    for (sql, expected) in [
        ("SELECT a FROM input WHERE b > 0 AND kind = 'x'", &[("a", "a I"), ("*", "b filter, kind filter")][..]),
        ("SELECT a FROM input ORDER BY b LIMIT 3", &[("a", "a I"), ("*", "b sort")]),
        ("SELECT DISTINCT a FROM input", &[("a", "a I"), ("*", "a group")]),
        (
            "SELECT kind, sum(a) AS s, count(b) AS n, count(*) AS m FROM input GROUP BY kind",
            &[("kind", "kind I"), ("s", "a A"), ("n", "b A*"), ("m", ""), ("*", "kind group")],
        ),
        (
            "SELECT a % 10 AS decade, max(a + b) + 1 AS m FROM input GROUP BY a % 10 HAVING min(id) > 3",
            &[("decade", "a T"), ("m", "a A, b A"), ("*", "a group, id filter")],
        ),
        (
            "SELECT sum(a) FILTER (WHERE b > 0) AS s, string_agg(kind, ',' ORDER BY id) AS k FROM input",
            &[("s", "a A, b filter"), ("k", "id sort, kind A")],
        ),
        (
            "SELECT a, row_number() OVER (PARTITION BY kind ORDER BY b) AS n FROM input",
            &[("a", "a I"), ("n", "b window, kind window")],
        ),
        (
            "SELECT lag(a) OVER (ORDER BY b) AS l, sum(a) OVER (PARTITION BY kind) AS s FROM input",
            &[("l", "a T, b window"), ("s", "a A, kind window")],
        ),
    ] {
        expect(sql, "", expected).await;
    }
}

#[tokio::test]
async fn other_tables_and_queries_within_queries_are_followed() {
    for (sql, expected) in [
        (
            "SELECT i.a, k.label FROM input i LEFT JOIN kinds k ON i.kind = k.kind",
            &[("a", "a I"), ("label", "kinds.label I"), ("*", "kind join, kinds.kind join")][..],
        ),
        (
            "SELECT a, label FROM input JOIN kinds USING (kind) WHERE w > 0",
            &[("a", "a I"), ("label", "kinds.label I"), ("*", "kind join, kinds.kind join, kinds.w filter")],
        ),
        ("SELECT i.a, k.w FROM input i CROSS JOIN kinds k", &[("a", "a I"), ("w", "kinds.w I")]),
        ("SELECT c + 1 AS d FROM (SELECT a * b AS c FROM input) s", &[("d", "a T, b T")]),
        (
            "WITH big AS (SELECT kind, sum(a) AS s FROM input WHERE b > 0 GROUP BY kind) SELECT s * 2 AS t FROM big",
            &[("t", "a A"), ("*", "b filter, kind group")],
        ),
        (
            "SELECT a AS x, kind AS y FROM input UNION ALL SELECT b + 1, label FROM input CROSS JOIN kinds",
            &[("x", "a I, b T"), ("y", "kind I, kinds.label I")],
        ),
        (
            "SELECT a FROM input WHERE kind IN (SELECT kind FROM kinds WHERE w > 1)",
            &[("a", "a I"), ("*", "kind filter, kinds.kind filter, kinds.w filter")],
        ),
        (
            "SELECT a FROM input i WHERE EXISTS (SELECT 1 FROM kinds k WHERE k.kind = i.kind)",
            &[("a", "a I"), ("*", "kind filter, kinds.kind filter")],
        ),
        (
            "SELECT a, (SELECT max(w) FROM kinds k WHERE k.kind = i.kind) AS m FROM input i",
            &[("a", "a I"), ("m", "kind filter, kinds.kind filter, kinds.w A")],
        ),
        ("SELECT a FROM input ORDER BY a - b", &[("a", "a I"), ("*", "a sort, b sort")]),
    ] {
        expect(sql, "", expected).await;
    }
}

#[tokio::test]
async fn all_columns_are_spelt_out_and_personal_data_is_masked() {
    let all = [("id", "id I"), ("a", "a I"), ("b", "b I"), ("kind", "kind I"), ("tags", "tags I")];
    let masked = [("mail", "mail T*"), ("phone", "phone T*")];
    expect("SELECT * FROM input", "", &[&all[..], &masked].concat()).await;
    expect("SELECT * EXCEPT (a, b, kind, tags, _extra) FROM input", "", &[&all[..1], &masked].concat()).await;
    let replaced = [("id", "id I"), ("a", "a T, b T"), ("b", "b I"), ("kind", "kind I"), ("tags", "tags I")];
    expect("SELECT * REPLACE (a + b AS a) FROM input", "", &[&replaced[..], &masked].concat()).await;
    expect("SELECT lower(mail) AS m FROM input", "", &[("m", "mail T*")]).await;
}

#[tokio::test]
async fn the_load_section_decides_too() {
    let load = ", sort_by: [a], dedupe: { key: [id], keep: max(c) }";
    let expected =
        [("id", "id I"), ("a", "a I"), ("c", "b T, kind if"), ("*", "a sort, b filter, id group, kind filter")];
    let sql = "SELECT id, a, CASE WHEN kind = 'x' THEN b ELSE 0 END AS c FROM input";
    expect(sql, load, &expected).await;
}

#[tokio::test]
async fn what_is_not_understood_is_left_out() {
    // `_extra` holds whatever columns nobody declared.
    expect("SELECT a, _extra, lower(_extra) AS e FROM input", "", &[("a", "a I")]).await;
    // With a condition that is not understood nothing is said of the records.
    expect("SELECT a FROM input WHERE b > 0 AND _extra IS NULL", "", &[("a", "a I")]).await;
    let grouping = "SELECT kind, sum(a) AS s FROM input GROUP BY ROLLUP (kind)";
    expect(grouping, "", &[]).await;
    let recursive = "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 3) \
                     SELECT r.n, i.a FROM r CROSS JOIN input i";
    expect(recursive, "", &[("a", "a I")]).await;
}

#[tokio::test]
async fn the_columns_of_the_table_have_the_types_of_a_spec() {
    let context = context();
    put(&context, "kinds.parquet", vec![("kind", texts(&["k0"]))]).await;
    let sql = "SELECT id, a / 2.0 AS h, kind, tags, kind = 'x' AS is_x, CAST(a AS DECIMAL(12, 2)) AS d, CAST(a AS TIMESTAMP) AS t \
               FROM input";
    let spec = SPEC.replace("SQL", sql).replace("LOAD", "");
    let done = transformed(&context, &spec, &[]).await.expect("transformed");
    let columns = manifest(&context, &done).await.columns;
    let columns: Vec<String> = columns.iter().map(|column| format!("{} {}", column.name, column.data_type)).collect();
    let expected =
        ["id int64", "h float64", "kind string", "tags list<string>", "is_x boolean", "d decimal(12,2)", "t timestamp"];
    assert_eq!(columns, expected);
}
