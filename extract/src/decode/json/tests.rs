#![allow(clippy::expect_used, reason = "tests fail by panicking")]

mod document;
mod lines;
mod mask;
mod properties;
mod suite;

use stepwell_pipeline::{
    ErrorKind,
    reject::RejectCode,
    spec::{Column, ColumnType, UnknownColumns},
};

use super::{JsonBlock, JsonDecoder, JsonFault, Shape};
use crate::column::Fields;

/// One record as decoded.
#[derive(Clone, Debug, PartialEq)]
struct Decoded {
    record: Vec<u8>,
    cells: Vec<Option<String>>,
    extra: Option<String>,
    fault: Option<(RejectCode, String)>,
}

impl Decoded {
    fn code(&self) -> Option<RejectCode> {
        self.fault.as_ref().map(|(code, _)| *code)
    }

    fn cells(&self) -> Vec<Option<&str>> {
        self.cells.iter().map(Option::as_deref).collect()
    }
}

fn columns(paths: &[&str]) -> Vec<Column> {
    paths
        .iter()
        .map(|path| Column {
            path: path.split('.').map(str::to_owned).collect(),
            ..Column::new(path, ColumnType::String)
        })
        .collect()
}

fn document(path: &str) -> Shape {
    Shape::Document { records: path.split('.').filter(|step| !step.is_empty()).map(str::to_owned).collect() }
}

fn text_of(cell: Option<&[u8]>) -> Option<String> {
    cell.map(|cell| std::str::from_utf8(cell).expect("cells are UTF-8").to_owned())
}

fn collect(block: &JsonBlock, text: &[u8], columns: usize, into: &mut Vec<Decoded>) {
    let mut faults = block.faults.iter().peekable();
    for (index, (start, end)) in block.records.iter().enumerate() {
        let fault = faults.next_if(|fault| fault.record as usize == index);
        into.push(Decoded {
            record: text[*start as usize..*end as usize].to_vec(),
            cells: (0..columns).map(|column| text_of(block.column(text, column).get(index))).collect(),
            extra: text_of(block.extra(text).get(index)),
            fault: fault.map(|JsonFault { code, message, .. }| (*code, message.clone())),
        });
    }
    assert_eq!(faults.next(), None, "every fault belongs to a record");
}

/// Decodes a text that comes in pieces, as the stage does. With `restart`, another decoder goes on after every block.
fn decode_pieces(
    shape: Shape,
    paths: &[&str],
    unknown: UnknownColumns,
    pieces: &[&[u8]],
    restart: bool,
) -> Result<Vec<Decoded>, (ErrorKind, String)> {
    let columns = columns(paths);
    let mut decoder = JsonDecoder::new(shape.clone(), &columns, unknown);
    let mut block = JsonBlock::default();
    let mut decoded = Vec::new();
    let mut text = Vec::new();
    for index in 0..=pieces.len() {
        text.extend_from_slice(pieces.get(index).copied().unwrap_or_default());
        let at_end = index == pieces.len();
        loop {
            let consumed =
                decoder.index(&text, at_end, &mut block).map_err(|error| (error.kind(), error.to_string()))?;
            collect(&block, &text, columns.len(), &mut decoded);
            text.drain(..consumed);
            if restart {
                let state = serde_json::to_string(&decoder.state()).expect("a state is JSON");
                decoder = JsonDecoder::new(shape.clone(), &columns, unknown);
                decoder.restore(serde_json::from_str(&state).expect("a state can be read back"));
            }
            if consumed == 0 || text.is_empty() {
                break;
            }
        }
    }
    assert_eq!(text.len(), 0, "all text is consumed at the end");
    Ok(decoded)
}

fn decode(
    shape: Shape,
    paths: &[&str],
    unknown: UnknownColumns,
    text: &[u8],
) -> Result<Vec<Decoded>, (ErrorKind, String)> {
    decode_pieces(shape, paths, unknown, &[text], false)
}

/// The records of NDJSON whose undeclared fields are ignored.
fn lines(paths: &[&str], text: impl AsRef<[u8]>) -> Vec<Decoded> {
    decode(Shape::Lines, paths, UnknownColumns::Ignore, text.as_ref()).expect("NDJSON is never unreadable as a whole")
}

/// The cells of the only record of an NDJSON text.
fn cells(paths: &[&str], text: &str) -> Vec<Option<String>> {
    let records = lines(paths, text);
    assert_eq!(records.len(), 1, "{records:?}");
    assert_eq!(records[0].fault, None, "{text}");
    records[0].cells.clone()
}
