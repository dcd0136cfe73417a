//! Prints how fast a file is tokenised, in GB/s of one core, chunk by chunk as the median of 9 passes:
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
    let mut found = (0, 0, 0);
    let mut passes = Vec::new();
    for _ in 0..PASSES {
        let mut nanoseconds = Vec::new();
        found = pass(tokeniser, text, &mut index, &mut nanoseconds);
        passes.push(nanoseconds);
    }
    // The median of each chunk, so that whatever else the machine does in between does not count.
    let total: u128 = (0..passes[0].len()).map(|chunk| median(passes.iter().map(|pass| pass[chunk]))).sum();
    let (records, fields, faults) = found;
    let gigabytes_per_second = text.len() as f64 / total as f64;
    println!("{name} {gigabytes_per_second:6.2} GB/s   {records} records, {fields} fields, {faults} faults");
}

fn median(values: impl Iterator<Item = u128>) -> u128 {
    let mut values: Vec<_> = values.collect();
    values.sort_unstable();
    values[values.len() / 2]
}

/// Gives how many records, fields and faults there are; appends the time of each chunk to `nanoseconds`.
fn pass(tokeniser: &Tokeniser, text: &[u8], index: &mut Index, nanoseconds: &mut Vec<u128>) -> (usize, usize, usize) {
    let (mut position, mut chunk_bytes) = (0, CHUNK_BYTES);
    let (mut records, mut fields, mut faults) = (0, 0, 0);
    while position < text.len() {
        let end = text.len().min(position + chunk_bytes);
        let started = Instant::now();
        let consumed = tokeniser.index(black_box(&text[position..end]), end == text.len(), index);
        black_box(&mut *index);
        nanoseconds.push(started.elapsed().as_nanos());
        position += consumed;
        chunk_bytes = if consumed == 0 { chunk_bytes * 2 } else { CHUNK_BYTES };
        records += index.records();
        fields += index.field_ends().len();
        faults += index.faults().len();
    }
    (records, fields, faults)
}
