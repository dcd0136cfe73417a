//! Finds the cells of one record.

use stepwell_pipeline::{reject::RejectCode, spec::UnknownColumns};

use super::{
    block::{JsonBlock, Span},
    plan::{NONE, Plan},
    scan::{DEPTH_MAX, Fault, Scanner},
    string::unescape,
};

/// The most bytes of a name that a message repeats.
const NAME_BYTES_MAX: usize = 100;

/// Reads records of a text into a block.
pub(super) struct RecordReader<'a> {
    pub(super) scan: Scanner<'a>,
    pub(super) plan: &'a mut Plan,
    pub(super) block: &'a mut JsonBlock,
    pub(super) unknown: UnknownColumns,
    pub(super) undeclared: &'a mut Undeclared,
}

/// The members of the record at hand that no column declares.
#[derive(Debug, Default)]
pub(super) struct Undeclared {
    /// Spans of the text, from the key to the end of the value; neighbours together.
    spans: Vec<(u32, u32)>,
    members: usize,
}

impl RecordReader<'_> {
    /// Reads the object at `start` into the block's next record: the offset behind it. The record is not yet ended.
    #[inline(always)]
    pub(super) fn read(&mut self, start: usize) -> Result<usize, Fault> {
        self.block.begin();
        self.undeclared.members = 0;
        if self.scan.at(start) != b'{' {
            self.scan.value(start, 0)?;
            let what = match self.scan.at(start) {
                b'[' => "the record is an array, not an object",
                b'"' => "the record is a string, not an object",
                _ => "the record is a bare value, not an object",
            };
            return Err(Fault::new(start, what));
        }
        self.object(0, start, 1)
    }

    /// The end of the line whose record ends at `at`.
    #[inline(always)]
    pub(super) fn line_end(&self, at: usize) -> Result<usize, Fault> {
        let end = self.scan.space(at);
        if self.scan.at(end) == b'\n' || end == self.scan.text.len() {
            Ok(end)
        } else {
            Err(Fault::new(end, "more text after the record"))
        }
    }

    /// Ends the record that was read without fault.
    #[inline(always)]
    pub(super) fn accept(&mut self, start: usize, end: usize) {
        if self.undeclared.members > 0 {
            self.end_undeclared(start, end);
        } else {
            self.block.accept(start, end);
        }
    }

    /// Ends the record as one that is not well-formed.
    pub(super) fn reject(&mut self, start: usize, end: usize, fault: Fault) {
        let place = fault.at.min(end) - start + 1;
        self.block.reject(start, end, RejectCode::Malformed, format!("{} at byte {place} of the record", fault.what));
    }

    fn end_undeclared(&mut self, start: usize, end: usize) {
        let text = self.scan.text;
        if self.unknown == UnknownColumns::Reject {
            let message = match (self.undeclared.spans.first(), self.undeclared.members) {
                (Some(span), 1) => format!("the field `{}` is not declared", self.name(span.0)),
                (Some(span), members) => {
                    format!("the field `{}` and {} more are not declared", self.name(span.0), members - 1)
                }
                (None, _) => "a field is not declared".to_owned(),
            };
            return self.block.reject(start, end, RejectCode::UnknownColumn, message);
        }
        let scratch = &mut self.block.scratch;
        let before = scratch.len();
        for (index, (from, to)) in self.undeclared.spans.iter().enumerate() {
            scratch.push(if index == 0 { b'{' } else { b',' });
            scratch.extend_from_slice(&text[*from as usize..*to as usize]);
        }
        scratch.push(b'}');
        let span = Span::scratch(before, scratch.len());
        self.block.set_extra(span);
        self.block.accept(start, end);
    }

    /// The name of the member at `at`, for a message.
    fn name(&self, at: u32) -> String {
        let start = at as usize + 1;
        let Ok((close, _)) = self.scan.string(start) else { return String::new() };
        let mut name = Vec::new();
        unescape(&mut name, &self.scan.text[start..close]);
        let name = String::from_utf8_lossy(&name);
        match name.char_indices().nth(NAME_BYTES_MAX) {
            Some((cut, _)) => format!("{}…", &name[..cut]),
            None => name.into_owned(),
        }
    }

    #[inline(never)]
    fn note_undeclared(&mut self, previous_end: usize, key_at: usize, end: usize) {
        let start = self.scan.space(key_at);
        if self.undeclared.members == 0 {
            self.undeclared.spans.clear();
        }
        self.undeclared.members += 1;
        match self.undeclared.spans.last_mut() {
            Some(last) if last.1 as usize == previous_end => last.1 = end as u32,
            _ => self.undeclared.spans.push((start as u32, end as u32)),
        }
    }

    /// Reads the object at `open`, whose place in the plan is `node`: the offset behind it.
    fn object(&mut self, node: u32, open: usize, depth: usize) -> Result<usize, Fault> {
        let node_index = node as usize;
        let is_record = depth == 1 && self.unknown != UnknownColumns::Ignore;
        let text = self.scan.text;
        let mut before = NONE;
        let mut guess = self.plan.nodes[node_index].first;
        let mut previous_end = usize::MAX;
        let mut at = open + 1;
        loop {
            let (key, value) = match self.plan.nodes[node_index].guess(guess, text, at) {
                Some(value) => (guess, value),
                None => {
                    let key_at = self.scan.space(at);
                    if before == NONE && previous_end == usize::MAX && self.scan.at(key_at) == b'}' {
                        return Ok(key_at + 1);
                    }
                    self.find_key(node_index, at, key_at, before)?
                }
            };
            let end = self.member(node_index, key, value, depth)?;
            if is_record && !self.plan.nodes[node_index].is_declared(key) {
                self.note_undeclared(previous_end, at, end);
            }
            previous_end = end;
            before = key;
            guess = self.plan.nodes[node_index].keys.get(key as usize).map_or(NONE, |key| key.next);
            let mut next = end;
            if !matches!(self.scan.at(next), b',' | b'}') {
                next = self.scan.space(next);
            }
            match self.scan.at(next) {
                b',' => at = next + 1,
                b'}' => return Ok(next + 1),
                _ => return Err(Fault::new(next, "expected a comma or a closing brace")),
            }
        }
    }

    /// The key that is not the expected one, and the offset of its value.
    #[inline(never)]
    fn find_key(&mut self, node: usize, at: usize, key_at: usize, before: u32) -> Result<(u32, usize), Fault> {
        let text = self.scan.text;
        let (start, close, escaped, value) = self.scan.key(key_at)?;
        let token = &text[at..value];
        let node = &mut self.plan.nodes[node];
        if !escaped {
            return Ok((node.find(&text[start..close], token, before), value));
        }
        let mut name = Vec::new();
        unescape(&mut name, &text[start..close]);
        Ok((node.find(&name, token, before), value))
    }

    /// Reads the value at `at` of a key: the offset behind it.
    #[inline(always)]
    fn member(&mut self, node: usize, key: u32, at: usize, depth: usize) -> Result<usize, Fault> {
        let (column, child, more) = match self.plan.nodes[node].keys.get(key as usize) {
            Some(key) => (key.column, key.child, !key.more_columns.is_empty()),
            None => (NONE, NONE, false),
        };
        let first = self.scan.at(at);
        let (end, span) = if first == b'"' {
            let (close, escaped) = self.scan.string(at + 1)?;
            let span =
                if escaped && column != NONE { self.unescaped(at + 1, close) } else { Span::text(at + 1, close) };
            (close + 1, span)
        } else if first == b'{' || first == b'[' {
            let end = if child == NONE { self.scan.nested(at, depth)? } else { self.descend(child, at, depth)? };
            (end, Span::text(at, end))
        } else {
            // More white space than the key had the last time.
            let start = self.scan.space(at);
            if start > at {
                return self.spaced_member(node, key, start, depth);
            }
            let end = self.scan.plain(at)?;
            (end, if first == b'n' { Span::NULL } else { Span::text(at, end) })
        };
        if child != NONE && first != b'{' && first != b'[' {
            self.forget(child);
        }
        if column != NONE {
            self.block.set(column as usize, span);
            if more {
                for column in &self.plan.nodes[node].keys[key as usize].more_columns {
                    self.block.set(*column as usize, span);
                }
            }
        }
        Ok(end)
    }

    #[inline(never)]
    fn spaced_member(&mut self, node: usize, key: u32, at: usize, depth: usize) -> Result<usize, Fault> {
        self.member(node, key, at, depth)
    }

    #[inline(never)]
    fn unescaped(&mut self, start: usize, end: usize) -> Span {
        let before = self.block.scratch.len();
        unescape(&mut self.block.scratch, &self.scan.text[start..end]);
        Span::scratch(before, self.block.scratch.len())
    }

    /// Reads the object or array at `at` that columns are inside of.
    #[inline(never)]
    fn descend(&mut self, child: u32, at: usize, depth: usize) -> Result<usize, Fault> {
        if depth >= DEPTH_MAX {
            return Err(Fault::new(at, "nested more than 512 deep"));
        }
        self.forget(child);
        if self.scan.at(at) == b'{' {
            self.object(child, at, depth + 1)
        } else if self.plan.nodes[child as usize].indices.is_empty() {
            self.scan.nested(at, depth)
        } else {
            self.array(child, at, depth + 1)
        }
    }

    /// Of a key that occurs twice the last value counts, so that nothing may remain of what was inside the first.
    fn forget(&mut self, child: u32) {
        for column in &self.plan.nodes[child as usize].columns {
            self.block.set(*column as usize, Span::NULL);
        }
    }

    fn array(&mut self, node: u32, open: usize, depth: usize) -> Result<usize, Fault> {
        let mut at = self.scan.space(open + 1);
        if self.scan.at(at) == b']' {
            return Ok(at + 1);
        }
        for index in 0_usize.. {
            let indices = &self.plan.nodes[node as usize].indices;
            let key = indices.iter().find(|(wanted, _)| *wanted == index).map_or(NONE, |(_, key)| *key);
            let end = self.member(node as usize, key, at, depth)?;
            let end = self.scan.space(end);
            match self.scan.at(end) {
                b',' => at = self.scan.space(end + 1),
                b']' => return Ok(end + 1),
                _ => return Err(Fault::new(end, "expected a comma or a closing bracket")),
            }
        }
        Err(Fault::new(at, "an array without end"))
    }
}
