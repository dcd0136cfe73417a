use memchr::{memchr, memchr2};

#[cfg(target_arch = "x86_64")]
use crate::avx2::Avx2;
use crate::blocks::{self, Job};
use crate::dialect::{Dialect, InvalidDialect};
use crate::index::Index;
use crate::lanes::{Needles, Words};
#[cfg(target_arch = "aarch64")]
use crate::neon::Neon;
use crate::scalar::{QuotesClose, Scalar};

/// The longest text of which positions and counts of fields fit 32 bits with room for a block.
const MAX_TEXT_BYTES: usize = u32::MAX as usize - 64;

/// What is indexed of a longer text.
const PART_OF_LONGER_TEXT_BYTES: usize = 1 << 30;

/// By what means text is looked at.
#[derive(Debug, Clone, Copy)]
enum Path {
    Scalar,
    Words,
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    #[cfg(target_arch = "aarch64")]
    Neon(Neon),
}

impl Path {
    fn fastest() -> Self {
        #[cfg(target_arch = "x86_64")]
        return Avx2::detect().map_or(Self::Words, Self::Avx2);
        #[cfg(target_arch = "aarch64")]
        return Self::Neon(Neon);
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        Self::Words
    }
}

/// How much of a text is indexed, and whether that is its end.
fn addressable(text_bytes: usize, at_end: bool) -> (usize, bool) {
    if text_bytes > MAX_TEXT_BYTES { (PART_OF_LONGER_TEXT_BYTES, false) } else { (text_bytes, at_end) }
}

/// Finds the records and fields of delimited text in one dialect.
#[derive(Debug, Clone)]
pub struct Tokeniser {
    dialect: Dialect,
    scalar: Scalar,
    path: Path,
}

impl Tokeniser {
    /// A tokeniser that uses the fastest instructions that the processor has.
    ///
    /// # Errors
    /// If the dialect is not valid.
    pub fn new(dialect: &Dialect) -> Result<Self, InvalidDialect> {
        Self::with_path(dialect, Path::fastest())
    }

    /// A tokeniser that looks at one byte after the other. It finds exactly the same as the others, with another
    /// method, which makes it their measure in tests.
    ///
    /// # Errors
    /// If the dialect is not valid.
    pub fn new_scalar(dialect: &Dialect) -> Result<Self, InvalidDialect> {
        Self::with_path(dialect, Path::Scalar)
    }

    /// A tokeniser that looks at eight bytes to a machine word: what [`Tokeniser::new`] gives on processors for which
    /// nothing faster was written.
    ///
    /// # Errors
    /// If the dialect is not valid.
    pub fn new_portable(dialect: &Dialect) -> Result<Self, InvalidDialect> {
        Self::with_path(dialect, Path::Words)
    }

    fn with_path(dialect: &Dialect, path: Path) -> Result<Self, InvalidDialect> {
        dialect.validate()?;
        // A delimiter of several bytes is no byte to compare with.
        let path = if dialect.delimiter.len() > 1 { Path::Scalar } else { path };
        Ok(Self { dialect: dialect.clone(), scalar: Scalar::new(dialect), path })
    }

    /// The dialect.
    #[must_use]
    pub fn dialect(&self) -> &Dialect {
        &self.dialect
    }

    /// Indexes every whole record of `text`, and gives how many bytes they take with the blank lines and comments
    /// around them.
    ///
    /// `index` is overwritten. The bytes behind those taken are to be given again with more bytes behind them; 0 means
    /// that the first record is not whole yet. With `at_end`, when the text ends for good, a last record without a line
    /// end is whole, and all bytes are taken. Then a quote that never closes is a [`Fault::UnclosedQuote`]: its record
    /// ends with its first line, and in all that follows quotes must close on their own line.
    ///
    /// Positions have 32 bits. Of a text longer than about 4 GiB (2³² − 65 bytes) only the first GiB is indexed, as if
    /// `at_end` were false.
    ///
    /// [`Fault::UnclosedQuote`]: crate::Fault::UnclosedQuote
    pub fn index(&self, text: &[u8], at_end: bool, index: &mut Index) -> usize {
        let (bytes, at_end) = addressable(text.len(), at_end);
        let text = &text[..bytes];
        index.clear(self.dialect.delimiter.len());
        // A CR as the last byte may be half of a CRLF. Without it the record before it is not whole yet.
        let text = match text {
            [before @ .., b'\r'] if !at_end => before,
            _ => text,
        };
        let consumed = match self.path {
            Path::Scalar => {
                index.is_ascii = false;
                index.has_quotes = true;
                self.scalar.lines(text, 0, at_end, QuotesClose::Anywhere, index)
            }
            Path::Words => blocks::index(Words, &self.job(text, at_end), index),
            #[cfg(target_arch = "x86_64")]
            Path::Avx2(avx2) => avx2.index(&self.job(text, at_end), index),
            #[cfg(target_arch = "aarch64")]
            Path::Neon(neon) => neon.index(&self.job(text, at_end), index),
        };
        index.find_regularity();
        // So far these say what may be, for the whole text.
        let consumed_text = &text[..consumed];
        index.is_ascii = index.is_ascii || consumed_text.is_ascii();
        index.has_quotes = index.has_quotes && self.has_quotes(consumed_text);
        consumed
    }

    fn has_quotes(&self, text: &[u8]) -> bool {
        match (self.dialect.quote, self.dialect.distinct_escape()) {
            (Some(quote), Some(escape)) => memchr2(quote, escape, text).is_some(),
            (Some(byte), None) | (None, Some(byte)) => memchr(byte, text).is_some(),
            (None, None) => false,
        }
    }

    fn job<'a>(&'a self, text: &'a [u8], at_end: bool) -> Job<'a> {
        let Dialect { delimiter, quote, comment, .. } = &self.dialect;
        let escape = self.dialect.distinct_escape();
        let needles = Needles {
            delimiter: delimiter[0],
            quote: quote.unwrap_or_default(),
            escape: escape.unwrap_or_default(),
            comment: comment.unwrap_or_default(),
        };
        Job {
            text,
            at_end,
            needles,
            has_quote: quote.is_some(),
            has_escape: escape.is_some(),
            has_comment: comment.is_some(),
            scalar: &self.scalar,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::addressable;

    #[test]
    fn of_a_text_beyond_32_bits_the_first_gibibyte_is_indexed() {
        let most = (1 << 32) - 65;
        assert_eq!(addressable(most, true), (most, true));
        assert_eq!(addressable(most, false), (most, false));
        assert_eq!(addressable(most + 1, true), (1 << 30, false));
    }
}
