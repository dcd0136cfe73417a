//! What is inferred from a sample is a spec that is valid.
//!
//! The first byte of the input chooses the name and how much of the object is seen, the rest is the object.
#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};
use stepwell_extract::infer::{Sample, infer};
use stepwell_pipeline::spec::CheckedSpec;

const NAMES: [&str; 8] = ["a", "a.csv", "a.tsv", "a.ndjson", "a.json", "a.csv.gz", "\"", "2024-01-02 é.x"];

fuzz_target!(|input: &[u8]| -> Corpus {
    let [choice, object @ ..] = input else { return Corpus::Reject };
    let (head, rest) = object.split_at(if choice & 8 == 0 { object.len() } else { object.len() / 2 });
    let later = [rest];
    let sample = Sample {
        name: NAMES[usize::from(choice & 7)],
        entry: None,
        head,
        is_whole: rest.is_empty(),
        later: if rest.is_empty() { &[] } else { &later },
    };
    if let Ok(yaml) = infer(&sample) {
        if let Err(error) = CheckedSpec::parse("inferred.yaml", &yaml) {
            panic!("{error:?}\n{yaml}");
        }
    }
    Corpus::Keep
});
