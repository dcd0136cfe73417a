//! Every format and compression, read whole.

use std::{fs::File, io::Write, sync::Arc};

use arrow::{
    array::{
        ArrayRef, Date32Array, Decimal128Array, Int32Array, Int64Array, ListArray, RecordBatch, StringArray,
        TimestampMicrosecondArray,
    },
    datatypes::Int32Type,
};
use arrow_avro::writer::AvroWriter;
use parquet::arrow::ArrowWriter;

use crate::folder::Folder;

fn spec(source: &str, columns: &str) -> String {
    format!(
        "pipeline: t\nsource: {{ match: \"in/*\", {source} }}\nschema:\n{columns}rejects: {{ tolerate: \"50%\" }}\n\
         load: {{ target: parquet, path: lake/t/ }}\n"
    )
}

const COLUMNS: &str = "  - { name: id, type: int32, required: true }\n  - { name: name, type: string }\n  \
                       - { name: price, type: \"decimal(6,2)\" }\n";
const CSV: &str = "id,name,price\n1,Ann,1.50\n2,,20\n3,\"B, \"\"C\"\"\nD\",\n";
const ROWS: [&str; 3] = ["1|Ann|1.50", "2|∅|20.00", "3|B, \"C\"\nD|∅"];

#[test]
fn delimited_text_in_many_dialects_is_the_same_table() {
    let folder = Folder::new("dialects");
    let latin = |text: &str| text.chars().map(|letter| letter as u8).collect::<Vec<u8>>();
    let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let cases: [(&str, &str, Vec<u8>); 6] = [
        ("a.tsv", "", "price\tid\tname\n1.50\t1\tZoë\n\t2\tx;y\n".into()),
        (
            "a.csv",
            "encoding: iso-8859-1, csv: { delimiter: \";\" }",
            latin("id;name;price\r\n1;Zoë;1.50\r\n2;\"x;y\";\r\n"),
        ),
        ("b.csv", "csv: { delimiter: \"||\" }", "id||name||price\n1||Zoë||1.50\n2||x;y||\n".into()),
        (
            "c.csv",
            "csv: { quote: \"'\", escape: \"\\\\\", comment: \"#\", skip_lines: 2, nulls: [\"\", \"NULL\"], trim: true }",
            "made by hand\non a day\n# a remark\nid,name,price\n1 , Zoë,1.50\n# again\n2,'x;y',NULL\n".into(),
        ),
        ("d.csv", "csv: { header: false }", "1,Zoë,1.50\r2,x;y,\r".into()),
        ("e.csv", "format: csv", utf16("\u{feff}id,name,price\n1,Zoë,1.50\n2,x;y,\n")),
    ];
    for (file, source, content) in cases {
        folder.file(file, content);
        folder.load(&spec(source, COLUMNS), file, [2, 0]);
        let table = folder.table("t");
        assert_eq!(table.columns, ["id: Int32", "name: Utf8", "price: Decimal128(6, 2)"], "{file}");
        assert_eq!(table.files.len(), 1, "{file}");
        assert_eq!(table.rows, ["1|Zoë|1.50", "2|x;y|∅"], "{file}");
        std::fs::remove_dir_all(folder.path.join(".stepwell")).expect("the deployment is removed");
    }
}

#[test]
fn compression_is_told_from_the_content() {
    let folder = Folder::new("compression");
    let gzip = |text: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(text).expect("written");
        encoder.finish().expect("finished")
    };
    let (first, second) = CSV.as_bytes().split_at(30);
    let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    bzip2.write_all(CSV.as_bytes()).expect("written");
    let cases = [
        ("a.csv.gz", gzip(CSV.as_bytes())),
        ("members.csv.gz", [gzip(first), gzip(second)].concat()),
        ("a.csv.zst", zstd::encode_all(CSV.as_bytes(), 3).expect("compressed")),
        ("a.csv.bz2", bzip2.finish().expect("finished")),
        ("misnamed.csv", gzip(CSV.as_bytes())),
    ];
    for (file, content) in cases {
        folder.file(file, content);
        folder.load(&spec("format: csv", COLUMNS), file, [3, 0]);
        assert_eq!(folder.table("t").rows, ROWS, "{file}");
        std::fs::remove_dir_all(folder.path.join(".stepwell")).expect("the deployment is removed");
    }
}

#[test]
fn the_files_of_a_zip_are_one_source() {
    let folder = Folder::new("zip");
    let mut archive = rawzip::ZipArchiveWriter::new(File::create(folder.path.join("a.zip")).expect("a file"));
    for (name, text) in [("one.csv", "id,name,price\n1,a,1\nx,b,2\n"), ("two/two.csv", "price,id,name\n3,2,c\n")] {
        let (mut entry, config) =
            archive.new_file(name).compression_method(rawzip::CompressionMethod::DEFLATE).start().expect("an entry");
        let encoder = flate2::write::DeflateEncoder::new(&mut entry, flate2::Compression::default());
        let mut writer = config.wrap(encoder);
        writer.write_all(text.as_bytes()).expect("written");
        let (encoder, descriptor) = writer.finish().expect("finished");
        encoder.finish().expect("finished");
        entry.finish(descriptor).expect("finished");
    }
    archive.finish().expect("finished");
    let run = folder.load(&spec("format: csv", COLUMNS), "a.zip", [2, 1]);
    assert_eq!(folder.table("t").rows, ["1|a|1.00", "2|c|3.00"]);
    let reasons = std::fs::read_to_string(run["rejects"]["reasons"].as_str().expect("a path")).expect("reasons");
    assert!(reasons.contains("in/a.zip#one.csv\",\"line\":3,"), "{reasons}");
}

const NESTED: &str = "  - { name: id, type: int64, required: true }\n  \
                      - { name: city, type: string, path: user.address.city }\n  \
                      - { name: address, type: string, path: user.address }\n  \
                      - { name: tags, type: \"list<string>\" }\n  \
                      - { name: place, type: \"struct<lat: float64, lon: float64>\" }\n";
const RECORD: &str = r#"{"id": 1, "user": {"address": {"city": "Łódź", "zip": 7}}, "tags": ["a", null], "place": {"lon": 2.5, "lat": 1}}"#;
const NESTED_ROW: &str = r#"1|Łódź|{"city": "Łódź", "zip": 7}|[a, ∅]|{lat: 1.0, lon: 2.5}"#;

#[test]
fn json_is_read_by_path_with_subtrees_lists_and_structs() {
    let folder = Folder::new("json");
    let lines = format!("{RECORD}\n\n{{\"id\": 2, \"tags\": [], \"user\": null}}\n{{\"id\": \"x\"}}\n");
    folder.file("a.ndjson", &lines);
    let source = "format: ndjson";
    let run = folder.load(&spec(source, NESTED), "a.ndjson", [2, 1]);
    let table = folder.table("t");
    assert_eq!(table.rows, [NESTED_ROW, "2|∅|∅|[]|∅"]);
    let kept = std::fs::read_to_string(run["rejects"]["records"].as_str().expect("a path")).expect("the rejects");
    assert_eq!(kept, "{\"id\": \"x\"}\n");

    let folder = Folder::new("json-document");
    folder
        .file("a.json", format!("{{\"data\": {{\"pages\": 1, \"items\": [{RECORD}, {{\"id\": 1.5}}]}}, \"end\": []}}"));
    let run = folder.load(&spec("format: json, json: { records: data.items }", NESTED), "a.json", [1, 1]);
    assert_eq!(folder.table("t").rows, [NESTED_ROW]);
    let kept = std::fs::read_to_string(run["rejects"]["records"].as_str().expect("a path")).expect("the rejects");
    assert_eq!(kept, "[\n{\"id\": 1.5}\n]\n");
}

/// Typed records: an id, a text, a decimal, a day, a moment, a list.
fn typed_batch() -> RecordBatch {
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(Int64Array::from(vec![1, 2, 3_000_000_000]))),
        ("name", Arc::new(StringArray::from(vec![Some("Zoë"), None, Some("late")]))),
        (
            "price",
            Arc::new(
                Decimal128Array::from(vec![Some(150), None, Some(7)])
                    .with_precision_and_scale(6, 2)
                    .expect("a decimal"),
            ),
        ),
        ("day", Arc::new(Date32Array::from(vec![15_706, 0, 1]))),
        ("at", Arc::new(TimestampMicrosecondArray::from(vec![1_357_016_400_000_001, 0, 1]).with_timezone("+00:00"))),
        (
            "tags",
            Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), Some(2)]), None, None])),
        ),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, name != "id")))
        .expect("a batch")
}

#[test]
fn typed_sources_keep_their_values() {
    let folder = Folder::new("typed");
    let batch = typed_batch();
    let mut writer =
        ArrowWriter::try_new(File::create(folder.path.join("a.parquet")).expect("a file"), batch.schema(), None)
            .expect("a writer");
    writer.write(&batch).expect("written");
    writer.close().expect("closed");
    let avro = File::create(folder.path.join("a.avro")).expect("a file");
    let mut writer = AvroWriter::new(avro, batch.schema().as_ref().clone()).expect("a writer");
    writer.write(&batch).expect("written");
    writer.finish().expect("finished");

    let columns = format!(
        "{COLUMNS}  - {{ name: day, type: date }}\n  - {{ name: at, type: timestamp, zone: UTC }}\n  \
         - {{ name: tags, type: \"list<int32>\" }}\n"
    );
    for (file, format) in [("a.parquet", "parquet"), ("a.avro", "avro")] {
        let run = folder.load(&spec(&format!("format: {format}"), &columns), file, [2, 1]);
        assert_eq!(
            folder.table("t").rows,
            ["1|Zoë|1.50|2013-01-01|2013-01-01T05:00:00.000001Z|[1, 2]", "2|∅|∅|1970-01-01|1970-01-01T00:00:00Z|∅"],
            "{file}"
        );
        let records = run["rejects"]["records"].as_str().expect("a path");
        assert!(records.ends_with("rejects.ndjson"), "{records}");
        let kept = std::fs::read_to_string(records).expect("the rejects");
        assert!(kept.contains("3000000000") && kept.contains("\"late\""), "{kept}");
        let reasons = std::fs::read_to_string(run["rejects"]["reasons"].as_str().expect("a path")).expect("reasons");
        assert!(reasons.contains("\"out_of_range\""), "{reasons}");
        std::fs::remove_dir_all(folder.path.join(".stepwell")).expect("the deployment is removed");
    }
}

#[test]
fn unknown_columns_are_kept_ignored_or_refused() {
    let folder = Folder::new("unknown");
    folder.file("a.csv", "id,more,name,price,note\n1,x,Ann,1,\"a \"\"b\"\"\"\n2,,Bob,2,\n");
    folder.file("a.ndjson", "{\"id\": 1, \"more\": {\"a\": [1.50]}}\n{\"id\": 2}\n");
    let with = |what: &str, format: &str| {
        spec(&format!("format: {format}"), COLUMNS).replace("rejects:", &format!("unknown_columns: {what}\nrejects:"))
    };
    folder.load(&with("keep", "csv"), "a.csv", [2, 0]);
    let table = folder.table("t");
    assert_eq!(table.columns.last().map(String::as_str), Some("_extra: Utf8"));
    assert_eq!(table.rows[0], r#"1|Ann|1.00|{"more":"x","note":"a \"b\""}"#);

    let refused = folder.run(&with("reject", "csv"), "a.csv");
    assert_eq!(refused["error"], "SchemaMismatch");
    let message = refused["message"].as_str().expect("a message");
    assert!(message.contains("extra `more`, `note`"), "{message}");
    folder.load(&with("ignore", "csv"), "a.csv", [2, 0]);
    assert_eq!(folder.table("t").columns.len(), 3);
    std::fs::remove_dir_all(folder.path.join(".stepwell")).expect("the deployment is removed");

    folder.load(&with("keep", "ndjson"), "a.ndjson", [2, 0]);
    assert_eq!(folder.table("t").rows, [r#"1|∅|∅|{"more": {"a": [1.50]}}"#, "2|∅|∅|∅"]);
    let run = folder.load(&with("reject", "ndjson"), "a.ndjson", [1, 1]);
    let reasons = std::fs::read_to_string(run["rejects"]["reasons"].as_str().expect("a path")).expect("reasons");
    assert!(reasons.contains("\"unknown_column\""), "{reasons}");
}

#[test]
fn an_optional_column_that_the_source_lacks_is_null() {
    let folder = Folder::new("absent");
    folder.file("a.csv", "id\n1\n");
    folder.load(&spec("format: csv", COLUMNS), "a.csv", [1, 0]);
    assert_eq!(folder.table("t").rows, ["1|∅|∅"]);
    let ids: ArrayRef = Arc::new(Int32Array::from(vec![7]));
    let batch = RecordBatch::try_from_iter([("id", ids)]).expect("a batch");
    let file = File::create(folder.path.join("b.parquet")).expect("a file");
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).expect("a writer");
    writer.write(&batch).expect("written");
    writer.close().expect("closed");
    folder.load(&spec("format: parquet", COLUMNS), "b.parquet", [1, 0]);
    assert_eq!(folder.table("t").sorted(), ["1|∅|∅", "7|∅|∅"]);
}
