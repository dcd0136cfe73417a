//! Strict scanning of JSON (RFC 8259) without building values.

/// How deeply arrays and objects may be nested.
pub(super) const DEPTH_MAX: usize = 512;

/// Where a text is not JSON, and why. A fault at the end of the text means that the text breaks off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// The offset in the text.
    pub(super) at: usize,
    /// What is wrong, for people.
    pub(super) what: &'static str,
}

impl Fault {
    pub(super) fn new(at: usize, what: &'static str) -> Self {
        Self { at, what }
    }
}

/// The bytes of a text at which a string may end or needs a closer look: `"`, `\` and control characters, one bit each.
#[derive(Debug, Default)]
pub(super) struct Stops {
    words: Vec<u64>,
}

impl Stops {
    /// Marks the stops of `text`; everything behind it counts as one.
    pub(super) fn mark(&mut self, text: &[u8]) {
        self.words.clear();
        let (chunks, rest) = text.as_chunks::<64>();
        self.words.extend(chunks.iter().map(stop_mask));
        let mut last = [0; 64];
        last[..rest.len()].copy_from_slice(rest);
        self.words.push(stop_mask(&last));
    }

    /// The first stop at or behind `at`.
    #[inline(always)]
    fn next(&self, at: usize) -> usize {
        let index = at / 64;
        match self.words.get(index) {
            Some(word) if word >> (at % 64) != 0 => at + (word >> (at % 64)).trailing_zeros() as usize,
            _ => self.next_beyond(index + 1),
        }
    }

    #[inline(never)]
    fn next_beyond(&self, mut index: usize) -> usize {
        while let Some(word) = self.words.get(index) {
            if *word != 0 {
                return index * 64 + word.trailing_zeros() as usize;
            }
            index += 1;
        }
        usize::MAX
    }
}

/// One bit for each byte that is a stop. The first loop is compiled to vector instructions; the multiplication gathers
/// the lowest bits of eight bytes into one.
#[inline(always)]
fn stop_mask(bytes: &[u8; 64]) -> u64 {
    let mut flags = [0_u8; 64];
    for (flag, byte) in flags.iter_mut().zip(bytes) {
        *flag = u8::from(*byte == b'"') | u8::from(*byte == b'\\') | u8::from(*byte < 0x20);
    }
    let mut mask = 0;
    for (index, eight) in flags.as_chunks::<8>().0.iter().enumerate() {
        mask |= (u64::from_le_bytes(*eight).wrapping_mul(0x0102_0408_1020_4080) >> 56) << (8 * index);
    }
    mask
}

/// Scans a text whose stops are marked.
#[derive(Clone, Copy)]
pub(super) struct Scanner<'a> {
    pub(super) text: &'a [u8],
    stops: &'a Stops,
    /// Whether a line feed is white space. In NDJSON it ends the record, wherever it stands.
    multiline: bool,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a [u8], stops: &'a Stops, multiline: bool) -> Self {
        Self { text, stops, multiline }
    }

    /// The byte at an offset; behind the end NUL, which JSON has nowhere.
    #[inline(always)]
    pub(super) fn at(&self, at: usize) -> u8 {
        self.text.get(at).copied().unwrap_or(0)
    }

    /// The offset of the next byte that is not white space.
    #[inline(always)]
    pub(super) fn space(&self, mut at: usize) -> usize {
        while matches!(self.at(at), b' ' | b'\t' | b'\r') || (self.multiline && self.at(at) == b'\n') {
            at += 1;
        }
        at
    }

    /// A string that begins at `start`, behind its quote: the offset of the closing quote, and whether there are escapes.
    #[inline(always)]
    pub(super) fn string(&self, start: usize) -> Result<(usize, bool), Fault> {
        let stop = self.stops.next(start);
        if self.at(stop) == b'"' { Ok((stop, false)) } else { self.escaped_string(stop) }
    }

    #[inline(never)]
    fn escaped_string(&self, mut stop: usize) -> Result<(usize, bool), Fault> {
        loop {
            match self.text.get(stop) {
                Some(b'"') => return Ok((stop, true)),
                Some(b'\\') => stop = self.stops.next(self.escape(stop)?),
                Some(b'\n') if !self.multiline => return Err(Fault::new(stop, "a string is not closed")),
                Some(_) => return Err(Fault::new(stop, "a control character in a string")),
                None => return Err(Fault::new(self.text.len(), "a string is not closed")),
            }
        }
    }

    /// Checks the escape at `at` (a surrogate pair is one): the offset behind it.
    fn escape(&self, at: usize) -> Result<usize, Fault> {
        match self.text.get(at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 2),
            Some(b'u') => match self.hex(at + 2)? {
                0xD800..0xDC00 => {
                    for (offset, byte) in [(6, b'\\'), (7, b'u')] {
                        match self.text.get(at + offset) {
                            Some(found) if *found == byte => {}
                            Some(_) => return Err(Fault::new(at, "half of a surrogate pair")),
                            None => return Err(Fault::new(self.text.len(), "an escape breaks off")),
                        }
                    }
                    match self.hex(at + 8)? {
                        0xDC00..0xE000 => Ok(at + 12),
                        _ => Err(Fault::new(at, "half of a surrogate pair")),
                    }
                }
                0xDC00..0xE000 => Err(Fault::new(at, "half of a surrogate pair")),
                _ => Ok(at + 6),
            },
            Some(_) => Err(Fault::new(at, "an unknown escape")),
            None => Err(Fault::new(self.text.len(), "an escape breaks off")),
        }
    }

    fn hex(&self, at: usize) -> Result<u32, Fault> {
        let mut value = 0;
        for offset in at..at + 4 {
            let byte = self.text.get(offset).ok_or(Fault::new(self.text.len(), "an escape breaks off"))?;
            let digit =
                char::from(*byte).to_digit(16).ok_or(Fault::new(offset, "an escape without four hex digits"))?;
            value = value * 16 + digit;
        }
        Ok(value)
    }

    /// The offset behind the digits that begin at `at`.
    #[inline(always)]
    fn digits(&self, mut at: usize) -> usize {
        while let Some(eight) = self.text.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
            let zeroed = u64::from_le_bytes(*eight) ^ 0x3030_3030_3030_3030;
            // A byte above 9 gets its high bit; carries only reach bytes behind the first such.
            let others = (zeroed.wrapping_add(0x7676_7676_7676_7676) | zeroed) & 0x8080_8080_8080_8080;
            if others != 0 {
                return at + others.trailing_zeros() as usize / 8;
            }
            at += 8;
        }
        while self.at(at).is_ascii_digit() {
            at += 1;
        }
        at
    }

    /// The offset behind the number that begins at `start`.
    #[inline(always)]
    fn number(&self, start: usize) -> Result<usize, Fault> {
        let first = start + usize::from(self.at(start) == b'-');
        let mut end = self.digits(first);
        if end == first {
            return Err(Fault::new(end, "expected a digit"));
        }
        if self.at(first) == b'0' && end > first + 1 {
            return Err(Fault::new(first, "a number with a leading zero"));
        }
        if self.at(end) == b'.' {
            let fraction = end + 1;
            end = self.digits(fraction);
            if end == fraction {
                return Err(Fault::new(end, "expected a digit"));
            }
        }
        if self.at(end) | 0x20 == b'e' { self.exponent(end + 1) } else { Ok(end) }
    }

    fn exponent(&self, at: usize) -> Result<usize, Fault> {
        let first = at + usize::from(matches!(self.at(at), b'+' | b'-'));
        let end = self.digits(first);
        if end == first { Err(Fault::new(end, "expected a digit")) } else { Ok(end) }
    }

    fn literal(&self, at: usize, literal: &[u8]) -> Result<usize, Fault> {
        let rest = &self.text[at..];
        if rest.starts_with(literal) {
            Ok(at + literal.len())
        } else if literal.starts_with(rest) {
            Err(Fault::new(self.text.len(), "a literal breaks off"))
        } else {
            Err(Fault::new(at, "expected a value"))
        }
    }

    /// The offset behind the number, `true`, `false` or `null` at `at`.
    #[inline(always)]
    pub(super) fn plain(&self, at: usize) -> Result<usize, Fault> {
        match self.at(at) {
            b'-' | b'0'..=b'9' => self.number(at),
            b't' => self.literal(at, b"true"),
            b'f' => self.literal(at, b"false"),
            b'n' => self.literal(at, b"null"),
            _ => Err(Fault::new(at, "expected a value")),
        }
    }

    /// The key at `at`: the string's span without quotes, whether it has escapes, and the offset of the value.
    pub(super) fn key(&self, at: usize) -> Result<(usize, usize, bool, usize), Fault> {
        if self.at(at) != b'"' {
            return Err(Fault::new(at, "expected a key"));
        }
        let (close, escaped) = self.string(at + 1)?;
        let colon = self.space(close + 1);
        if self.at(colon) != b':' {
            return Err(Fault::new(colon, "expected a colon"));
        }
        Ok((at + 1, close, escaped, self.space(colon + 1)))
    }

    /// The offset behind the value at `at`, all of it checked. `depth` arrays and objects are open around it.
    pub(super) fn value(&self, at: usize, depth: usize) -> Result<usize, Fault> {
        match self.at(at) {
            b'"' => self.string(at + 1).map(|(close, _)| close + 1),
            b'{' | b'[' => self.nested(at, depth),
            _ => self.plain(at),
        }
    }

    /// The offset behind the array or object at `at`, all of it checked.
    pub(super) fn nested(&self, mut at: usize, depth: usize) -> Result<usize, Fault> {
        let mut open = Nesting::default();
        loop {
            match self.at(at) {
                bracket @ (b'{' | b'[') => {
                    if depth + open.depth >= DEPTH_MAX {
                        return Err(Fault::new(at, "nested more than 512 deep"));
                    }
                    open.push(bracket == b'{');
                    at = self.space(at + 1);
                    // The brackets' closing twins are two further on in ASCII.
                    if self.at(at) != bracket + 2 {
                        if bracket == b'{' {
                            at = self.key(at)?.3;
                        }
                        continue;
                    }
                }
                b'"' => at = self.string(at + 1)?.0 + 1,
                _ => at = self.plain(at)?,
            }
            loop {
                // An empty container is closed here like any other.
                at = self.space(at);
                match (self.at(at), open.in_object()) {
                    (b',', true) => {
                        at = self.key(self.space(at + 1))?.3;
                        break;
                    }
                    (b',', false) => {
                        at = self.space(at + 1);
                        break;
                    }
                    (b'}', true) | (b']', false) => {
                        at += 1;
                        open.pop();
                        if open.depth == 0 {
                            return Ok(at);
                        }
                    }
                    (_, true) => return Err(Fault::new(at, "expected a comma or a closing brace")),
                    (_, false) => return Err(Fault::new(at, "expected a comma or a closing bracket")),
                }
            }
        }
    }
}

/// Which brackets are open: a bit each, set for objects.
#[derive(Default)]
struct Nesting {
    objects: [u64; DEPTH_MAX / 64],
    depth: usize,
}

impl Nesting {
    fn push(&mut self, object: bool) {
        let bit = 1 << (self.depth % 64);
        let word = &mut self.objects[self.depth / 64];
        *word = if object { *word | bit } else { *word & !bit };
        self.depth += 1;
    }

    fn pop(&mut self) {
        self.depth -= 1;
    }

    /// Whether the innermost open bracket is a brace.
    fn in_object(&self) -> bool {
        let last = self.depth - 1;
        self.objects[last / 64] >> (last % 64) & 1 == 1
    }
}
