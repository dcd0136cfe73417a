//! What is said of specs whose SQL or load section is wrong.

use stepwell_pipeline::spec::CheckedSpec;
use stepwell_transform::{Checked, check};

use crate::{spec, support::context};

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
        let errors = check(&spec, None).await.expect_err(sql).to_string();
        assert!(errors.starts_with(expected), "{sql}\n  expected {expected}\n  got      {errors}");
    }
    let good = CheckedSpec::parse("t.yaml", &spec("SELECT Sum(year) AS total, City FROM input GROUP BY City", "City"));
    assert!(check(&good.expect("well formed"), None).await.is_ok());
}

#[tokio::test]
async fn what_the_load_section_names_must_be_there() {
    let with = |load: &str| spec("SELECT * FROM input", "").replace(", partition_by: []", &format!(", {load}"));
    let cases = [
        ("sort_by: [yeer]", "t.yaml:8: the SQL gives no column `yeer` to sort by; did you mean `year`?"),
        (
            "bloom_filters: [Citi]",
            "t.yaml:8: the SQL gives no column `Citi` to give a bloom filter; did you mean `City`?",
        ),
        (
            "partition_by: [year], bloom_filters: [year]",
            "t.yaml:8: `year` is a partition column and needs no bloom filter",
        ),
        ("dedupe: { key: [Cit], keep: last }", "t.yaml:8: the SQL gives no column `Cit` to tell duplicates by"),
        (
            "dedupe: { key: [City], keep: max(yer) }",
            "t.yaml:8: the SQL gives no column `yer` to choose among duplicates by",
        ),
    ];
    for (load, expected) in cases {
        let spec = CheckedSpec::parse("t.yaml", &with(load)).expect("well formed");
        let errors = check(&spec, None).await.expect_err(load).to_string();
        assert!(errors.starts_with(expected), "{load}\n  expected {expected}\n  got      {errors}");
    }
    let good = with("sort_by: [year, City], bloom_filters: [City], dedupe: { key: [City], keep: max(year) }");
    assert!(check(&CheckedSpec::parse("t.yaml", &good).expect("well formed"), None).await.is_ok());
}

#[tokio::test]
async fn without_its_references_sql_is_parsed_only() {
    let text = |sql: &str, name: &str, path: &str| {
        let sql = format!("  sql: {sql}\n  references: [{{ name: {name}, path: {path} }}]\n");
        spec("S", "").replace("  sql: S\n", &sql)
    };
    let parsed = |text: &str| CheckedSpec::parse("t.yaml", text).expect("well formed");
    let good = parsed(&text("SELECT * FROM input JOIN cities USING (City)", "cities", "lake/cities/"));
    assert_eq!(check(&good, None).await, Ok(Checked::Parsed));
    let errors = check(&good, Some(&context())).await.expect_err("there is no such table").to_string();
    let expected = "t.yaml:8: the reference `cities` cannot be read: lake/cities/ is no Parquet file and no folder";
    assert!(errors.starts_with(expected), "{errors}");
    let errors = check(&parsed(&text("SELEC", "cities", "lake/cities/")), None).await.expect_err("no SQL").to_string();
    assert!(errors.starts_with("t.yaml:7: the SQL is wrong: "), "{errors}");
}
