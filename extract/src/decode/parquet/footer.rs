//! A look at a footer before it is decoded.
//!
//! The decoder reserves memory for as many row groups and children as the footer says, and follows the schema's nesting on the
//! stack; a hostile footer of some bytes would abort the process. Format: `FileMetaData` of parquet-format's
//! `parquet.thrift` in Thrift's compact protocol.

/// How deep structures and a schema may nest.
const DEPTH_MAX: usize = 64;

/// What may be wrong with a footer.
type Message = &'static str;

const CUT_OFF: Message = "a structure goes beyond its end";
const TOO_DEEP: Message = "structures nest too deeply";

/// Checks that every list can be as long as it says and that nothing nests too deeply.
pub(super) fn check(footer: &[u8]) -> Result<(), Message> {
    let mut input = Input { rest: footer };
    input.structure(0, &mut |input, id, kind| match (id, kind) {
        (2, LIST) => schema(input).map(|()| true),
        _ => Ok(false),
    })
}

/// The schema is a list of elements, each followed by as many children as it says.
fn schema(input: &mut Input<'_>) -> Result<(), Message> {
    let (count, kind) = input.list_header()?;
    if kind != STRUCT {
        return Err("the schema is no list of elements");
    }
    let mut open: Vec<u64> = Vec::new();
    for _ in 0..count {
        let mut children = 0;
        input.structure(1, &mut |input, id, kind| match (id, kind) {
            (5, I32) => {
                let number = input.zigzag()?;
                children = u64::try_from(number).map_err(|_| "an element has a negative number of children")?;
                Ok(true)
            }
            _ => Ok(false),
        })?;
        if children > count {
            return Err("an element has more children than there are elements");
        }
        while open.last() == Some(&0) {
            open.pop();
        }
        if let Some(siblings) = open.last_mut() {
            *siblings -= 1;
        }
        open.push(children);
        if open.len() > DEPTH_MAX {
            return Err(TOO_DEEP);
        }
    }
    Ok(())
}

// Types of the compact protocol.
const TRUE: u8 = 1;
const FALSE: u8 = 2;
const BYTE: u8 = 3;
const I16: u8 = 4;
const I32: u8 = 5;
const I64: u8 = 6;
const DOUBLE: u8 = 7;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const SET: u8 = 10;
const MAP: u8 = 11;
const STRUCT: u8 = 12;

struct Input<'a> {
    rest: &'a [u8],
}

impl Input<'_> {
    fn byte(&mut self) -> Result<u8, Message> {
        let (first, rest) = self.rest.split_first().ok_or(CUT_OFF)?;
        self.rest = rest;
        Ok(*first)
    }

    fn skip(&mut self, bytes: u64) -> Result<(), Message> {
        let bytes = usize::try_from(bytes).map_err(|_| CUT_OFF)?;
        self.rest = self.rest.get(bytes..).ok_or(CUT_OFF)?;
        Ok(())
    }

    fn varint(&mut self) -> Result<u64, Message> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err("a number is too long")
    }

    fn zigzag(&mut self) -> Result<i64, Message> {
        let value = self.varint()?;
        Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    /// How many items, and of what type. Every item has a byte at least.
    fn list_header(&mut self) -> Result<(u64, u8), Message> {
        let header = self.byte()?;
        let count = match header >> 4 {
            15 => self.varint()?,
            count => u64::from(count),
        };
        if count > self.rest.len() as u64 {
            return Err("a list is longer than the footer");
        }
        Ok((count, header & 15))
    }

    /// Skips a struct; `field` may read a field itself, and then says true.
    fn structure(
        &mut self,
        depth: usize,
        field: &mut dyn FnMut(&mut Self, i64, u8) -> Result<bool, Message>,
    ) -> Result<(), Message> {
        let mut id = 0_i64;
        loop {
            let header = self.byte()?;
            if header == 0 {
                return Ok(());
            }
            id = match header >> 4 {
                0 => self.zigzag()?,
                delta => id.saturating_add(i64::from(delta)),
            };
            let kind = header & 15;
            if !field(self, id, kind)? && !matches!(kind, TRUE | FALSE) {
                self.value(kind, depth + 1)?;
            }
        }
    }

    fn value(&mut self, kind: u8, depth: usize) -> Result<(), Message> {
        if depth > DEPTH_MAX {
            return Err(TOO_DEEP);
        }
        match kind {
            TRUE | FALSE | BYTE => self.skip(1),
            I16 | I32 | I64 => self.varint().map(|_| ()),
            DOUBLE => self.skip(8),
            BINARY => {
                let bytes = self.varint()?;
                self.skip(bytes)
            }
            LIST | SET => {
                let (count, kind) = self.list_header()?;
                (0..count).try_for_each(|_| self.value(kind, depth + 1))
            }
            MAP => {
                let count = self.varint()?;
                let kinds = if count == 0 { 0 } else { self.byte()? };
                (0..count).try_for_each(|_| {
                    self.value(kinds >> 4, depth + 1)?;
                    self.value(kinds & 15, depth + 1)
                })
            }
            STRUCT => self.structure(depth + 1, &mut |_, _, _| Ok(false)),
            _ => Err("a field has a type that does not exist"),
        }
    }
}
