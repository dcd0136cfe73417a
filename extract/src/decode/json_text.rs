//! NDJSON and JSON documents: text to blocks of records.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use stepwell_pipeline::{
    StageError,
    spec::{CheckedSpec, Format},
};
use stepwell_tokenise::line_ends;

use super::{
    Block, Place, TextDecoder,
    json::{JsonBlock, JsonDecoder, JsonFields, JsonState, Shape, mask},
};
use crate::{
    checkpoint::{Position, decoder_state},
    column::Faults,
};

/// Decodes one file.
pub(crate) struct JsonText<'s> {
    spec: &'s CheckedSpec,
    decoder: JsonDecoder,
    block: JsonBlock,
    /// The line on which the block begins, from 1.
    block_line: u64,
    line: u64,
}

#[derive(Serialize, Deserialize)]
struct State {
    decoder: JsonState,
    line: u64,
}

impl<'s> JsonText<'s> {
    pub(crate) fn new(spec: &'s CheckedSpec, format: Format) -> Self {
        let records = || {
            let path = spec.spec.source.json.records.as_ref();
            path.map(|path| path.value.split('.').map(str::to_owned).collect()).unwrap_or_default()
        };
        let shape = if format == Format::Json { Shape::Document { records: records() } } else { Shape::Lines };
        let decoder = JsonDecoder::new(shape, &spec.columns, spec.spec.unknown_columns);
        Self { spec, decoder, block: JsonBlock::default(), block_line: 1, line: 1 }
    }
}

impl TextDecoder for JsonText<'_> {
    type Block<'a>
        = JsonTextBlock<'a>
    where
        Self: 'a;

    fn index(&mut self, text: &[u8], at_end: bool) -> Result<usize, StageError> {
        self.block_line = self.line;
        let consumed = self.decoder.index(text, at_end, &mut self.block)?;
        self.line += line_ends(&text[..consumed]);
        Ok(consumed)
    }

    fn block<'a>(&'a self, text: &'a [u8]) -> JsonTextBlock<'a> {
        JsonTextBlock { source: self, text }
    }

    fn line(&self) -> u64 {
        self.line
    }

    fn header(&self) -> Option<&[u8]> {
        None
    }

    fn save(&self) -> serde_json::Value {
        serde_json::json!(State { decoder: self.decoder.state(), line: self.line })
    }

    fn restore(&mut self, position: &Position) -> Result<(), StageError> {
        let State { decoder, line } = decoder_state(position)?;
        self.decoder.restore(decoder);
        self.line = line;
        Ok(())
    }

    fn finish(&self) -> Result<(), StageError> {
        Ok(())
    }
}

/// The records that were found in one window.
pub(crate) struct JsonTextBlock<'a> {
    source: &'a JsonText<'a>,
    text: &'a [u8],
}

impl JsonTextBlock<'_> {
    fn range(&self, record: usize) -> std::ops::Range<usize> {
        let (start, end) = self.source.block.records[record];
        start as usize..end as usize
    }
}

impl Block for JsonTextBlock<'_> {
    type Cells<'b>
        = JsonFields<'b>
    where
        Self: 'b;

    fn records(&self) -> usize {
        self.source.block.records.len()
    }

    fn record_bytes(&self, record: usize) -> usize {
        self.range(record).len()
    }

    fn mark(&self, faults: &mut Faults) {
        for fault in &self.source.block.faults {
            faults.add(fault.record as usize, None, fault.code, fault.message.clone());
        }
    }

    fn cells(&self, column: usize) -> JsonFields<'_> {
        self.source.block.column(self.text, column)
    }

    fn extra(&self) -> JsonFields<'_> {
        self.source.block.extra(self.text)
    }

    fn place(&self, record: usize, before: Option<Place>) -> Place {
        let position = self.range(record).start;
        let before = before.unwrap_or(Place { line: self.source.block_line, position: 0 });
        Place { line: before.line + line_ends(&self.text[before.position..position]), position }
    }

    fn original(&self, record: usize, masked: &[usize]) -> Cow<'_, [u8]> {
        let whole = &self.text[self.range(record)];
        if masked.is_empty() {
            return Cow::Borrowed(whole);
        }
        let paths: Vec<&[String]> = masked.iter().map(|column| &*self.source.spec.columns[*column].path).collect();
        Cow::Owned(mask(whole, &paths))
    }
}
