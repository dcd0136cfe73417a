//! CSV and TSV in several dialects, through the whole stage.
//!
//! The first byte of the input chooses the spec, the rest is the object.
#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};
use stepwell_fuzz::check_extract;

const SPECS: [&str; 5] = [
    r##"
pipeline: fuzz
source: { match: "in/*", csv: { comment: "#", nulls: ["", "NA"], trim: true } }
schema:
  - { name: id, type: int16, required: true, unique: true }
  - { name: name, type: string, pii: redact, max_length: 8 }
  - { name: price, type: "decimal(8,2)", check: "price < 900 OR name IS NULL" }
unknown_columns: keep
rejects: { tolerate: "100%" }
load: { target: parquet, path: lake/fuzz/ }
"##,
    r##"
pipeline: fuzz
source: { match: "in/*", encoding: windows-1252, csv: { header: false, delimiter: ";", quote: "'", escape: "\\" } }
schema:
  - { name: id, type: uint8, default: 7 }
  - { name: name, type: string, pii: hash }
  - { name: day, type: date, min: "2000-01-01" }
rejects: { tolerate: "100%" }
load: { target: parquet, path: lake/fuzz/ }
"##,
    r##"
pipeline: fuzz
source: { match: "in/*", format: tsv, csv: { quote: "", skip_lines: 1 } }
schema:
  - { name: id, type: int64, unique: true }
  - { name: name, type: string, required: true, pattern: "[a-f]+", pii: drop }
  - { name: on, type: boolean }
unknown_columns: ignore
rejects: { tolerate: "100%" }
load: { target: parquet, path: lake/fuzz/ }
"##,
    r##"
pipeline: fuzz
source: { match: "in/*", csv: { delimiter: "||", escape: "\\", comment: "-" } }
schema:
  - { name: id, type: float64 }
  - { name: name, type: string, enum: [a, b, cd] }
  - { name: note, type: string, min_length: 1 }
rejects: { tolerate: "100%" }
load: { target: parquet, path: lake/fuzz/ }
"##,
    r##"
pipeline: fuzz
source: { match: "in/*", encoding: utf-16le, csv: { header: false } }
schema:
  - { name: id, type: int32 }
  - { name: name, type: string }
rejects: { tolerate: "20%" }
load: { target: parquet, path: lake/fuzz/ }
"##,
];

fuzz_target!(|input: &[u8]| -> Corpus {
    let [choice, object @ ..] = input else { return Corpus::Reject };
    let Some(spec) = SPECS.get(usize::from(choice & 7)) else { return Corpus::Reject };
    // Without an ending, what the object is must be found out.
    check_extract(if choice & 8 == 0 { "in/a.csv" } else { "in/a" }, spec, object);
    Corpus::Keep
});
