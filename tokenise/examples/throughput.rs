//! Prints how fast a file is tokenised, in GB/s of one core, as the median of 9 passes:
//! `cargo run --release -p stepwell-tokenise --example throughput -- FILE [DELIMITER]`.

use std::hint::black_box;
use std::time::Instant;

use stepwell_tokenise::{Dialect, Index, InvalidDialect, Tokeniser};

const CHUNK_BYTES: usize = 256 << 10;
const PASSES: usize = 9;

type Build = fn(&Dialect) -> Result<Tokeniser, InvalidDialect>;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let path = arguments.next().ok_or("give the path of a file")?;
    let delimiter = arguments.next().map_or_else(|| vec![b','], std::ffi::OsString::into_encoded_bytes);
    let text = std::fs::read(path)?;
    let with_quotes = Dialect { delimiter, ..Dialect::default() };
    let without_quotes = Dialect { quote: None, ..with_quotes.clone() };
    for (dialect, name) in [(with_quotes, "with quotes"), (without_quotes, "no quotes")] {
        let paths: [(Build, &str); 3] =
            [(Tokeniser::new, "fastest"), (Tokeniser::new_portable, "portable"), (Tokeniser::new_scalar, "scalar")];
        for (build, path) in paths {
            report(&format!("{name:12} {path:9}"), &build(&dialect)?, &text);
        }
    }
    Ok(())
}

fn report(name: &str, tokeniser: &Tokeniser, text: &[u8]) {
    let mut index = Index::new();
    let mut nanoseconds = Vec::new();
    let mut found = (0, 0, 0);
    for _ in 0..PASSES {
        let started = Instant::now();
        found = pass(tokeniser, text, &mut index);
        nanoseconds.push(started.elapsed().as_nanos());
    }
    nanoseconds.sort_unstable();
    let gigabytes_per_second = text.len() as f64 / nanoseconds[PASSES / 2] as f64;
    let (records, fields, faults) = found;
    println!("{name} {gigabytes_per_second:6.2} GB/s   {records} records, {fields} fields, {faults} faults");
}

fn pass(tokeniser: &Tokeniser, text: &[u8], index: &mut Index) -> (usize, usize, usize) {
    let (mut position, mut chunk_bytes) = (0, CHUNK_BYTES);
    let (mut records, mut fields, mut faults) = (0, 0, 0);
    while position < text.len() {
        let end = text.len().min(position + chunk_bytes);
        let consumed = tokeniser.index(black_box(&text[position..end]), end == text.len(), index);
        position += consumed;
        chunk_bytes = if consumed == 0 { chunk_bytes * 2 } else { CHUNK_BYTES };
        records += index.records();
        fields += index.field_ends().len();
        faults += index.faults().len();
        black_box(&mut *index);
    }
    (records, fields, faults)
}
