//! Cells for every type of column, through the whole stage.
//!
//! The first byte of the input chooses the type, the rest are the cells, one a line.
#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};
use stepwell_fuzz::check_extract;

const COLUMNS: [&str; 32] = [
    "type: int8",
    "type: int16, min: -7, max: 300",
    "type: int32, enum: [1, 20, -5]",
    "type: int64, default: 3",
    "type: uint8",
    "type: uint16",
    "type: uint32, trim: true",
    "type: uint64, unique: true",
    "type: float32",
    "type: float64, min: -1.5",
    "type: \"decimal(5,0)\"",
    "type: \"decimal(9,4)\", max: 12.5",
    "type: \"decimal(18,18)\"",
    "type: \"decimal(38,10)\", unique: true",
    "type: boolean",
    "type: boolean, true: [ja, j], false: [nein]",
    "type: string, pattern: \"a+(b|c)*\"",
    "type: string, min_length: 2, max_length: 4, trim: true",
    "type: string, enum: [a, bc, def], pii: hash",
    "type: binary, format: hex",
    "type: binary, format: base64",
    "type: date, min: \"2000-02-29\"",
    "type: date, format: \"%d.%m.%y\"",
    "type: date, format: \"%b %e, %Y\"",
    "type: time",
    "type: time, format: \"%I:%M %p\"",
    "type: timestamp",
    "type: timestamp, format: \"%Y-%m-%d %H:%M:%S\", zone: Europe/Berlin",
    "type: timestamp, format: \"%d/%b/%Y:%H:%M:%S %z\"",
    "type: timestamp, format: epoch_ms",
    "type: \"list<decimal(9,2)>\"",
    "type: \"struct<a: int8, b: list<date>, c: struct<d: boolean>>\"",
];

fuzz_target!(|input: &[u8]| -> Corpus {
    let [choice, cells @ ..] = input else { return Corpus::Reject };
    let Some(column) = COLUMNS.get(usize::from(*choice)) else { return Corpus::Reject };
    let spec = format!(
        r#"
pipeline: fuzz
source: {{ match: "in/*", csv: {{ header: false, quote: "", delimiter: "\u0001" }} }}
schema:
  - {{ name: cell, {column} }}
rejects: {{ tolerate: "100%" }}
load: {{ target: parquet, path: lake/fuzz/ }}
"#
    );
    check_extract("in/a.csv", &spec, cells);
    Corpus::Keep
});
