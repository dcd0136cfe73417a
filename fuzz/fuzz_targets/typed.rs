//! Parquet and Avro, through the whole stage. The input is the object.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stepwell_fuzz::{allow_panics_of_dependencies, check_extract};

const SPEC: &str = r#"
pipeline: fuzz
source: { match: "in/*" }
schema:
  - { name: id, type: int32, required: true, unique: true }
  - { name: name, type: string, pii: redact }
  - { name: price, type: "decimal(12,2)" }
  - { name: day, type: date }
  - { name: at, type: timestamp }
  - { name: sizes, type: "list<int32>" }
  - { name: user, type: "struct<name: string, age: int8>" }
unknown_columns: keep
rejects: { tolerate: "100%" }
load: { target: parquet, path: lake/fuzz/ }
"#;

fuzz_target!(
    init: allow_panics_of_dependencies(),
    |object: &[u8]| {
        let key = if object.starts_with(b"Obj") { "in/a.avro" } else { "in/a.parquet" };
        check_extract(key, SPEC, object);
    }
);
