//! What is around the text: gzip, zstd, bzip2, zip archives and encodings, found out from the bytes.
//!
//! The first byte of the input chooses the encoding, the rest is the object.
#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};
use stepwell_fuzz::check_extract;

const ENCODINGS: [&str; 8] =
    ["utf-8", "windows-1252", "utf-16le", "utf-16be", "shift_jis", "gb18030", "iso-2022-jp", "euc-kr"];

/// It may expand two hundred times.
const OBJECT_BYTES_MAX: usize = 8192;

fuzz_target!(|input: &[u8]| -> Corpus {
    let [choice, object @ ..] = input else { return Corpus::Reject };
    if object.len() > OBJECT_BYTES_MAX {
        return Corpus::Reject;
    }
    let encoding = match ENCODINGS.get(usize::from(choice & 15)) {
        Some(encoding) => format!(", encoding: {encoding}"),
        None => String::new(),
    };
    let spec = format!(
        r#"
pipeline: fuzz
source: {{ match: "in/*", format: csv, csv: {{ header: false }}{encoding} }}
schema:
  - {{ name: id, type: int32 }}
  - {{ name: name, type: string }}
rejects: {{ tolerate: "100%" }}
load: {{ target: parquet, path: lake/fuzz/ }}
"#
    );
    check_extract("in/a", &spec, object);
    Corpus::Keep
});
