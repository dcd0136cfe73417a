//! What becomes of accepted records: SQL, references, and the files of the table.

use std::fs::{self, File};

use parquet::file::reader::{FileReader, SerializedFileReader};

use crate::folder::Folder;

const COLUMNS: &str = "schema:\n  - { name: id, type: int32 }\n  - { name: kind, type: string }\n  \
                       - { name: at, type: date }\n";
const DATA: &str = "id,kind,at\n3,b,2020-01-01\n1,a,2020-01-02\n2,a,2020-01-03\n1,a,2020-01-04\n3,b,2019-12-31\n";

fn spec(rest: &str) -> String {
    format!("pipeline: t\nsource: {{ match: \"in/*.csv\" }}\n{COLUMNS}{rest}")
}

#[test]
fn a_table_of_another_pipeline_can_be_joined() {
    let folder = Folder::new("join");
    folder.file("kinds.csv", "code,title\na,Apple\nb,Berry\n");
    let kinds = "pipeline: kinds\nsource: { match: \"kinds/*.csv\" }\nschema:\n  - { name: code, type: string }\n  \
                 - { name: title, type: string }\nload: { target: parquet, path: lake/kinds/ }\n";
    folder.load(kinds, "kinds.csv", [2, 0]);
    folder.file("a.csv", DATA);
    let join = "transform:\n  sql: SELECT title, count(*) AS records, max(at) AS latest FROM input JOIN kinds ON code = kind \
                GROUP BY title ORDER BY title\n  references: [{ name: kinds, path: lake/kinds/ }]\n\
                load: { target: parquet, path: lake/t/ }\n";
    folder.load(&spec(join), "a.csv", [2, 0]);
    let table = folder.table("t");
    assert_eq!(table.columns, ["title: Utf8", "records: Int64", "latest: Date32"]);
    assert_eq!(table.rows, ["Apple|3|2020-01-04", "Berry|2|2020-01-01"]);

    let missing = folder.run(&spec(&join.replace("lake/kinds/", "lake/kind/")), "a.csv");
    assert_eq!(missing["error"], "InvalidInput", "{missing:#}");
    assert!(missing["message"].as_str().expect("a message").contains("lake/kind/"), "{missing:#}");
}

#[test]
fn one_record_of_each_key_is_kept() {
    let folder = Folder::new("dedupe");
    folder.file("a.csv", DATA);
    let cases = [
        ("first", ["1|a|2020-01-02", "2|a|2020-01-03", "3|b|2020-01-01"]),
        ("last", ["1|a|2020-01-04", "2|a|2020-01-03", "3|b|2019-12-31"]),
        ("max(at)", ["1|a|2020-01-04", "2|a|2020-01-03", "3|b|2020-01-01"]),
    ];
    for (keep, expected) in cases {
        let load = format!("load: {{ target: parquet, path: lake/t/, dedupe: {{ key: [id], keep: {keep} }} }}\n");
        folder.load(&spec(&load), "a.csv", [3, 0]);
        assert_eq!(folder.table("t").sorted(), expected, "{keep}");
    }
}

#[test]
fn files_are_sorted_within_partitions_and_have_bloom_filters() {
    let folder = Folder::new("sorted");
    folder.file("a.csv", DATA);
    let load =
        "load: { target: parquet, path: lake/t/, partition_by: [kind], sort_by: [id, at], bloom_filters: [id] }\n";
    folder.load(&spec(load), "a.csv", [5, 0]);
    let table = folder.table("t");
    assert_eq!(table.rows, ["1|2020-01-02", "1|2020-01-04", "2|2020-01-03", "3|2019-12-31", "3|2020-01-01"]);
    let folders: Vec<_> =
        table.files.iter().map(|file| file.parent().and_then(|path| path.file_name()).expect("a partition")).collect();
    assert_eq!(folders, ["kind=a", "kind=b"]);
    for file in &table.files {
        let reader = SerializedFileReader::new(File::open(file).expect("a file")).expect("Parquet");
        let columns = reader.metadata().row_group(0).columns().to_vec();
        let filtered: Vec<bool> = columns.iter().map(|column| column.bloom_filter_offset().is_some()).collect();
        assert_eq!(filtered, [true, false]);
        assert!(columns.iter().all(|column| column.statistics().is_some()));
    }
}

#[test]
fn the_report_is_one_page_that_fetches_nothing_and_counts_everything() {
    let folder = Folder::new("report");
    let rows: String =
        (0..2000).map(|id| format!("{id},{},2020-01-01\n", if id % 10 == 0 { "<b>" } else { "a" })).collect();
    folder.file("a.csv", format!("id,kind,at\n{rows}x<script>,a,2020-01-01\n"));
    let rest =
        "transform: { sql: \"SELECT * FROM input WHERE kind = 'a'\" }\nload: { target: parquet, path: lake/t/ }\n";
    let run = folder.load(&spec(rest), "a.csv", [1800, 1]);
    let json = run["report"].as_str().expect("a path");
    let page = fs::read_to_string(json.replace("report.json", "report.html")).expect("the page");
    for text in
        ["2,001", "2,000", "1,800", ">200 filtered", "1 rejected", "x&lt;script&gt;", "&lt;b&gt;", "invalid_value"]
    {
        assert!(page.contains(text), "the page lacks {text}:\n{page}");
    }
    for fetched in ["http://", "https://", "src=", "href=", "url(", "@import", "<script", "<b>&lt;"] {
        assert!(!page.contains(fetched), "the page holds {fetched}");
    }
}
