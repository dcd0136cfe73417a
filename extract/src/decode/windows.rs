use bytes::{Buf, Bytes};
use stepwell_pipeline::{ErrorKind, StageError};

use super::RECORD_BYTES_MAX;
use crate::source::Text;

/// What is decoded at a time: it fits the second-level cache, and the index of its fields with it.
const WINDOW_BYTES: usize = 256 * 1024;
/// What is taken at a time to complete a record that two chunks share.
const COMPLETION_BYTES: usize = 16 * 1024;

/// The text of a file, as windows that a decoder takes whole records from. Text is copied only where a record goes
/// over from one chunk of the source to the next.
pub(crate) struct Windows {
    text: Text,
    chunk: Bytes,
    /// The beginning of a record whose end is in `chunk` or behind it.
    carry: Vec<u8>,
    /// How many bytes at the front of `chunk` are in `carry`, too.
    shared: usize,
    window_bytes: usize,
    ended: bool,
    position: u64,
}

impl Windows {
    /// Windows from a position of the text on.
    pub(crate) fn new(text: Text, position: u64) -> Self {
        Self {
            text,
            chunk: Bytes::new(),
            carry: Vec::new(),
            shared: 0,
            window_bytes: window_bytes(),
            ended: false,
            position,
        }
    }

    /// The bytes to decode next, and whether they are the last.
    pub(crate) fn window(&self) -> (&[u8], bool) {
        if self.carry.is_empty() {
            let bytes = self.window_bytes.min(self.chunk.len());
            (&self.chunk[..bytes], self.ended && bytes == self.chunk.len())
        } else {
            (&self.carry, self.ended && self.shared == self.chunk.len())
        }
    }

    /// The position in the text of the window's first byte.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// The text that the windows show.
    pub(crate) fn text(&self) -> &Text {
        &self.text
    }

    /// Moves on by what was decoded.
    pub(crate) fn consume(&mut self, bytes: usize) {
        self.position += bytes as u64;
        if bytes == 0 {
            return;
        }
        self.window_bytes = window_bytes();
        if self.carry.is_empty() {
            self.chunk.advance(bytes);
            return;
        }
        let before = self.carry.len() - self.shared;
        if bytes >= before {
            self.chunk.advance(bytes - before);
            self.carry.clear();
            self.shared = 0;
        } else {
            self.carry.drain(..bytes);
        }
    }

    /// Widens the window, for a record that is not whole in it and begins on a line.
    ///
    /// # Errors
    /// `UnreadableSource` for a record beyond [`RECORD_BYTES_MAX`], and what reading the source says.
    pub(crate) async fn widen(&mut self, line: u64) -> Result<(), StageError> {
        if self.window().0.len() > RECORD_BYTES_MAX {
            return Err(StageError::new(
                ErrorKind::UnreadableSource,
                format!(
                    "the record on line {line} (byte {} of the text) has more than {} MiB; an unclosed quote or bracket, or a \
                     file without line ends, is the usual cause",
                    self.position,
                    RECORD_BYTES_MAX >> 20,
                ),
            ));
        }
        if self.carry.is_empty() {
            if self.window_bytes < self.chunk.len() {
                self.window_bytes *= 2;
                return Ok(());
            }
            self.carry.extend_from_slice(&self.chunk);
        } else if self.shared < self.chunk.len() {
            let more = COMPLETION_BYTES.max(self.carry.len()).min(self.chunk.len() - self.shared);
            self.carry.extend_from_slice(&self.chunk[self.shared..self.shared + more]);
            self.shared += more;
            return Ok(());
        }
        // All of the chunk is in `carry` by now.
        (self.shared, self.chunk) = (0, Bytes::new());
        match self.text.next().await? {
            Some(chunk) => {
                self.chunk = chunk;
                if !self.carry.is_empty() {
                    let more = COMPLETION_BYTES.min(self.chunk.len());
                    self.carry.extend_from_slice(&self.chunk[..more]);
                    self.shared = more;
                }
            }
            None => self.ended = true,
        }
        Ok(())
    }
}

fn window_bytes() -> usize {
    #[cfg(fuzzing)]
    return crate::fuzzing::at_most(WINDOW_BYTES);
    #[cfg(not(fuzzing))]
    WINDOW_BYTES
}
