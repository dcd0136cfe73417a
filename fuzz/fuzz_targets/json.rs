//! NDJSON and JSON documents, through the whole stage.
//!
//! The first byte of the input chooses the spec, the rest is the object.
#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};
use stepwell_fuzz::check_extract;

const SCHEMA: &str = r#"
schema:
  - { name: id, type: int32, required: true, unique: true }
  - { name: city, type: string, path: user.address.city, pii: redact }
  - { name: price, type: "decimal(8,2)", check: "price > 0" }
  - { name: sizes, type: "list<int8>" }
  - { name: user, type: "struct<name: string, tags: list<string>>" }
  - { name: raw, type: string, path: user }
rejects: { tolerate: "100%" }
load: { target: parquet, path: lake/fuzz/ }
"#;

const SOURCES: [&str; 4] = [
    "source: { match: \"in/*\", format: ndjson }\nunknown_columns: keep",
    "source: { match: \"in/*\", format: json }\nunknown_columns: ignore",
    "source: { match: \"in/*\", format: json, json: { records: data.items } }\nunknown_columns: keep",
    "source: { match: \"in/*\", format: ndjson, json: { nulls: [\"NA\"] } }\nunknown_columns: reject",
];

fuzz_target!(|input: &[u8]| -> Corpus {
    let [choice, object @ ..] = input else { return Corpus::Reject };
    let Some(source) = SOURCES.get(usize::from(choice & 7)) else { return Corpus::Reject };
    let spec = format!("pipeline: fuzz\n{source}{SCHEMA}");
    check_extract(if choice & 8 == 0 { "in/a.json" } else { "in/a.ndjson" }, &spec, object);
    Corpus::Keep
});
