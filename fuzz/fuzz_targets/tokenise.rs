//! Every tokeniser finds the same in any text, in one chunk or in many.
//!
//! The first bytes of the input choose the dialect and the chunks, the rest is the text.
#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};
use stepwell_tokenise::{Dialect, Fault, Index, InvalidDialect, Tokeniser, Unquoted};

/// Fields with their place in the text, by record.
type Records = Vec<(Vec<(usize, usize)>, Option<Fault>)>;

fuzz_target!(|input: &[u8]| -> Corpus {
    let [choice, first_piece, second_piece, text @ ..] = input else { return Corpus::Reject };
    let dialect = dialect(*choice);
    let pieces = [usize::from(*first_piece) + 1, usize::from(*second_piece) + 1];
    let build: [fn(&Dialect) -> Result<Tokeniser, InvalidDialect>; 3] =
        [Tokeniser::new_scalar, Tokeniser::new, Tokeniser::new_portable];
    let [scalar, others @ ..] = build.map(|build| build(&dialect).expect("the dialect is valid"));
    // One index for all, so that nothing may be left of an earlier chunk.
    let mut index = Index::new();
    let expected = found(&scalar, text, &[text.len()], &mut index);
    for tokeniser in &others {
        assert_eq!(found(tokeniser, text, &[text.len()], &mut index), expected, "another tokeniser");
        assert_eq!(found(tokeniser, text, &pieces, &mut index), expected, "another tokeniser, in pieces");
    }
    assert_eq!(found(&scalar, text, &pieces, &mut index), expected, "in pieces");
    let mut out = Vec::new();
    for (start, end) in expected.iter().flat_map(|(fields, _)| fields) {
        check_value(&dialect, &text[*start..*end], &mut out);
    }
    Corpus::Keep
});

fn dialect(choice: u8) -> Dialect {
    let delimiters: [&[u8]; 4] = [b",", b"||", b"\0", b",;,"];
    Dialect {
        delimiter: delimiters[usize::from(choice & 3)].to_vec(),
        quote: [Some(b'"'), Some(b'"'), Some(b'\''), None][usize::from(choice >> 2 & 3)],
        escape: [None, None, Some(b'\\'), Some(b'"')][usize::from(choice >> 4 & 3)],
        comment: [None, Some(b'#')][usize::from(choice >> 6 & 1)],
    }
}

fn found(tokeniser: &Tokeniser, text: &[u8], pieces: &[usize], index: &mut Index) -> Records {
    let mut pieces = pieces.iter().cycle();
    let (mut records, mut position, mut end) = (Records::new(), 0, 0);
    loop {
        end = text.len().min(end + pieces.next().copied().unwrap_or_default().max(1));
        let chunk = &text[position..end];
        let consumed = tokeniser.index(chunk, end == text.len(), index);
        check_hints(tokeniser.dialect(), &chunk[..consumed], index);
        append(index, chunk, position, &mut records);
        position += consumed;
        if end == text.len() {
            assert_eq!(position, text.len(), "bytes are left");
            return records;
        }
    }
}

fn append(index: &Index, chunk: &[u8], offset: usize, records: &mut Records) {
    let mut faults = index.faults().iter().copied().peekable();
    for (record, bounds) in index.first_fields().windows(2).enumerate() {
        let fields = (0..(bounds[1] - bounds[0]) as usize).map(|field| {
            let raw = index.field(chunk, record, field);
            let start = raw.as_ptr() as usize - chunk.as_ptr() as usize + offset;
            (start, start + raw.len())
        });
        let fault = faults.next_if(|(faulty, _)| *faulty as usize == record).map(|(_, fault)| fault);
        records.push((fields.collect(), fault));
    }
    assert_eq!(faults.next(), None, "a fault without a record");
    assert_eq!(index.record_starts().len(), index.records());
    assert_eq!(index.record_ends().len(), index.records());
    assert_eq!(index.first_fields().len(), index.records() + 1);
}

fn check_hints(dialect: &Dialect, consumed: &[u8], index: &Index) {
    assert_eq!(index.is_ascii(), consumed.is_ascii());
    let quotes = consumed.iter().any(|byte| Some(*byte) == dialect.quote || Some(*byte) == dialect.escape);
    assert_eq!(index.has_quotes(), quotes);
    let mut counts: Vec<_> = index.first_fields().windows(2).map(|pair| (pair[1] - pair[0]) as usize).collect();
    counts.dedup();
    assert_eq!(index.regular_fields(), if let [count] = counts[..] { Some(count) } else { None });
}

fn check_value(dialect: &Dialect, raw: &[u8], out: &mut Vec<u8>) {
    out.clear();
    match dialect.unquote(raw, out) {
        Unquoted::Borrowed(value) => assert!(out.is_empty() && value.len() <= raw.len()),
        Unquoted::Appended(bytes) => assert!(out.len() == bytes && bytes < raw.len()),
    }
}
