//! A first spec from a sample: a run with it loads every record.

use std::fs;

use crate::folder::Folder;

/// Infers a spec, gives it to a run, and returns how many records were loaded.
fn infer_and_load(folder: &Folder, file: &str, records: u64) -> String {
    let inferred = folder.stepwell(&["infer", file]);
    assert_eq!(inferred.code, 0, "{inferred:?}");
    folder.load(&inferred.out, file, [records, 0]);
    inferred.out
}

#[test]
fn a_spec_from_the_flights_loads_them_all() {
    let folder = Folder::new("infer-flights");
    let flights =
        fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/flights/flights.csv")).expect("the example");
    folder.file("flights.csv", &flights);
    let records = flights.iter().filter(|byte| **byte == b'\n').count() as u64 - 1;
    let spec = infer_and_load(&folder, "flights.csv", records);
    assert!(spec.contains("type: timestamp") && spec.contains("NA"), "{spec}");
    assert_eq!(folder.table("flights").rows.len() as u64, records);
}

#[test]
fn a_spec_from_ndjson_loads_them_all() {
    let folder = Folder::new("infer-json");
    let lines: String = (0..150)
        .map(|id| {
            let score = if id % 7 == 0 { "null".to_owned() } else { format!("{id}.25") };
            format!(
                "{{\"id\":{id},\"user\":{{\"name\":\"n{id}\",\"since\":\"2020-01-{:02}\"}},\"score\":{score},\
                 \"tags\":[\"a\",\"b\"],\"ok\":{},\"at\":\"2024-05-0{}T10:00:00Z\"}}\n",
                id % 28 + 1,
                id % 2 == 0,
                id % 9 + 1
            )
        })
        .collect();
    folder.file("events.ndjson", lines);
    let spec = infer_and_load(&folder, "events.ndjson", 150);
    for part in ["path: user.name", "type: date", "type: timestamp", "type: boolean"] {
        assert!(spec.contains(part), "the spec lacks {part}:\n{spec}");
    }
}

#[test]
fn a_spec_from_german_csv_loads_it() {
    let folder = Folder::new("infer-german");
    let text = "Datum;Größe;Ort\n31.12.2020;1,5;Köln\n01.02.2021;2,25;Mölln\n";
    folder.file("orte.csv", text.chars().map(|letter| letter as u8).collect::<Vec<u8>>());
    let spec = infer_and_load(&folder, "orte.csv", 2);
    assert!(spec.contains("encoding: windows-1252") && spec.contains("delimiter: \";\""), "{spec}");
}

#[test]
fn a_spec_from_parquet_loads_it() {
    let folder = Folder::new("infer-parquet");
    folder.load(
        "pipeline: first\nsource: { match: \"first/*\" }\nschema: [{ name: id, type: int16 }, { name: day, type: date }]\n\
         load: { target: parquet, path: lake/first/ }\n",
        {
            folder.file("a.csv", "id,day\n1,2020-01-01\n2,2020-01-02\n");
            "a.csv"
        },
        [2, 0],
    );
    let written = folder.files().into_iter().find(|file| {
        file.extension().is_some_and(|extension| extension == "parquet")
            && file.components().any(|part| part.as_os_str() == "lake")
    });
    std::fs::copy(written.expect("a Parquet file"), folder.path.join("sales.parquet")).expect("is copied");
    let spec = infer_and_load(&folder, "sales.parquet", 2);
    assert!(spec.contains("{ name: id, type: int16 }") && spec.contains("{ name: day, type: date }"), "{spec}");
}
