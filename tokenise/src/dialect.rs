//! How a file of delimited text is written, and the value of a raw field.

use std::fmt;

use memchr::{memchr, memchr2};

/// The longest delimiter, in bytes.
const MAX_DELIMITER_BYTES: usize = 8;

/// How a file of delimited text is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dialect {
    /// What separates fields: 1 to 8 bytes.
    pub delimiter: Vec<u8>,
    /// The byte around fields that hold delimiters, line ends or quotes. `None`: no field is ever quoted.
    pub quote: Option<u8>,
    /// The byte that makes the next byte literal, within quotes and outside. `None` or the quote itself: a quote within
    /// quotes is doubled. With another byte a doubled quote means nothing.
    pub escape: Option<u8>,
    /// The byte that, first on a line, makes the line a comment.
    pub comment: Option<u8>,
}

impl Default for Dialect {
    /// RFC 4180: commas, double quotes, quotes doubled, no comments.
    fn default() -> Self {
        Self { delimiter: vec![b','], quote: Some(b'"'), escape: None, comment: None }
    }
}

/// Why a dialect cannot be tokenised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidDialect {
    /// The delimiter's length in bytes is not 1 to 8.
    DelimiterLength(usize),
    /// The byte has two roles; LF and CR already have that of line ends.
    TwoRoles(u8),
}

impl fmt::Display for InvalidDialect {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DelimiterLength(bytes) => {
                write!(formatter, "the delimiter has {bytes} bytes; give 1 to {MAX_DELIMITER_BYTES}")
            }
            Self::TwoRoles(byte) => write!(
                formatter,
                "'{}' has two roles; give delimiter, quote, escape and comment different bytes, none of them a line end",
                byte.escape_ascii()
            ),
        }
    }
}

impl std::error::Error for InvalidDialect {}

/// The value of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unquoted<'a> {
    /// The value is a part of the raw field.
    Borrowed(&'a [u8]),
    /// The value is the last so many bytes of the output.
    Appended(usize),
}

impl Dialect {
    /// Checks that the delimiter has 1 to 8 bytes and that no byte has two roles.
    ///
    /// # Errors
    /// The first rule that the dialect breaks.
    pub fn validate(&self) -> Result<(), InvalidDialect> {
        if !(1..=MAX_DELIMITER_BYTES).contains(&self.delimiter.len()) {
            return Err(InvalidDialect::DelimiterLength(self.delimiter.len()));
        }
        let quote_and_escape = [self.quote, self.distinct_escape()].into_iter().flatten();
        let mut taken = vec![b'\n', b'\r'];
        // A comment's byte matters at the start of a line alone, where a delimiter's later bytes cannot be.
        for byte in quote_and_escape.chain(self.comment).chain(self.delimiter.first().copied()) {
            if taken.contains(&byte) {
                return Err(InvalidDialect::TwoRoles(byte));
            }
            taken.push(byte);
        }
        let special = [Some(b'\n'), Some(b'\r'), self.quote, self.distinct_escape()];
        match self.delimiter.iter().find(|byte| special.contains(&Some(**byte))) {
            Some(byte) => Err(InvalidDialect::TwoRoles(*byte)),
            None => Ok(()),
        }
    }

    /// The escape byte, unless quotes are doubled.
    pub(crate) fn distinct_escape(&self) -> Option<u8> {
        self.escape.filter(|escape| Some(*escape) != self.quote)
    }

    /// Gives the value of a raw field: without its quotes, with doubled quotes and escapes undone.
    ///
    /// A value that is no part of the raw field is appended to `out`, which otherwise stays as it is. Of a field with
    /// text after its closing quote that text stays as it is (`"a"b` is `ab`); one whose quote does not close ends
    /// with the raw field.
    pub fn unquote<'a>(&self, raw: &'a [u8], out: &mut Vec<u8>) -> Unquoted<'a> {
        let escape = self.distinct_escape();
        let Some(quote) = self.quote.filter(|quote| raw.first() == Some(quote)) else {
            return unescape(raw, escape, out);
        };
        let quoted = &raw[1..];
        let plain_bytes = match escape {
            Some(escape) => memchr2(quote, escape, quoted),
            None => memchr(quote, quoted),
        };
        match plain_bytes {
            None => Unquoted::Borrowed(quoted),
            Some(bytes) if bytes + 1 == quoted.len() && quoted[bytes] == quote => Unquoted::Borrowed(&quoted[..bytes]),
            Some(_) => copy_quoted(quoted, quote, escape, out),
        }
    }
}

/// Copies the value of a quoted field, of which the opening quote was taken off.
fn copy_quoted<'a>(mut rest: &[u8], quote: u8, escape: Option<u8>, out: &mut Vec<u8>) -> Unquoted<'a> {
    let before = out.len();
    loop {
        let special = match escape {
            Some(escape) => memchr2(quote, escape, rest),
            None => memchr(quote, rest),
        };
        let Some(position) = special else {
            out.extend_from_slice(rest);
            break;
        };
        out.extend_from_slice(&rest[..position]);
        let literal_next =
            Some(rest[position]) == escape || (escape.is_none() && rest.get(position + 1) == Some(&quote));
        let after = &rest[position + 1..];
        if !literal_next {
            if let Unquoted::Borrowed(text) = unescape(after, escape, out) {
                out.extend_from_slice(text);
            }
            break;
        }
        match after.split_first() {
            Some((literal, others)) => {
                out.push(*literal);
                rest = others;
            }
            None => {
                // An escape as the last byte has nothing to escape.
                out.push(rest[position]);
                break;
            }
        }
    }
    Unquoted::Appended(out.len() - before)
}

/// Undoes the escapes of text outside quotes.
fn unescape<'a>(raw: &'a [u8], escape: Option<u8>, out: &mut Vec<u8>) -> Unquoted<'a> {
    let Some(escape) = escape else { return Unquoted::Borrowed(raw) };
    let Some(mut position) = memchr(escape, raw).filter(|position| position + 1 < raw.len()) else {
        return Unquoted::Borrowed(raw);
    };
    let before = out.len();
    let mut rest = raw;
    loop {
        out.extend_from_slice(&rest[..position]);
        match rest.get(position + 1) {
            Some(literal) => out.push(*literal),
            None => out.push(escape),
        }
        rest = rest.get(position + 2..).unwrap_or_default();
        match memchr(escape, rest) {
            Some(next) => position = next,
            None => break,
        }
    }
    out.extend_from_slice(rest);
    Unquoted::Appended(out.len() - before)
}
