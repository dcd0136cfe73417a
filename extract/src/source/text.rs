use std::sync::Arc;

use bytes::Bytes;
use stepwell_pipeline::StageError;

use super::{
    body::Body,
    charset::{Charset, Transcoder},
    compression::Meter,
};

/// The most that is handed on at once.
const PIECE_BYTES: usize = 1024 * 1024;

/// A file's text in UTF-8, without byte order mark.
pub(crate) struct Text {
    body: Body,
    charset: Charset,
    /// None for UTF-8, which is handed on as it is.
    transcoder: Option<Transcoder>,
    /// Bytes of the file that are not yet handed on.
    rest: Bytes,
    /// Text that was decoded before its time.
    ready: Bytes,
    byte_order_mark_bytes: u64,
    begun: bool,
    ended: bool,
    meter: Arc<Meter>,
}

impl Text {
    pub(super) fn new(body: Body, charset: Charset, byte_order_mark_bytes: u64, meter: Arc<Meter>) -> Self {
        let transcoder = (!charset.is_utf8()).then(|| Transcoder::new(charset));
        let (rest, ready) = (Bytes::new(), Bytes::new());
        Self { body, charset, transcoder, rest, ready, byte_order_mark_bytes, begun: false, ended: false, meter }
    }

    /// The next piece, of 1 MiB at most and never empty, or nothing at the end. Pieces end anywhere, even within a
    /// character.
    ///
    /// # Errors
    /// `UnreadableSource` for a damaged file, `SourceChanged`, and what the store says.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, StageError> {
        self.begin(0).await?;
        if !self.ready.is_empty() {
            return Ok(Some(std::mem::take(&mut self.ready)));
        }
        loop {
            if self.rest.is_empty() && !self.ended {
                match self.body.next().await? {
                    Some(bytes) => self.rest = bytes,
                    None => self.ended = true,
                }
            }
            let piece = match &mut self.transcoder {
                None => self.rest.split_to(self.rest.len().min(PIECE_BYTES)),
                Some(transcoder) => transcoder.decode(&mut self.rest, self.ended),
            };
            if !piece.is_empty() {
                return Ok(Some(piece));
            }
            if self.ended {
                return Ok(None);
            }
        }
    }

    /// Goes `text_bytes` on from the text's start, of which nothing may have been read. Seeks where the file is plain
    /// UTF-8; reads and discards elsewhere.
    ///
    /// # Errors
    /// As [`Text::next`].
    pub(crate) async fn skip(&mut self, mut text_bytes: u64) -> Result<(), StageError> {
        if self.transcoder.is_none() {
            return self.begin(text_bytes).await;
        }
        while text_bytes > 0 {
            let Some(mut piece) = self.next().await? else { break };
            let skipped = usize::try_from(text_bytes).map_or(piece.len(), |bytes| bytes.min(piece.len()));
            text_bytes -= skipped as u64;
            self.ready = piece.split_off(skipped);
        }
        Ok(())
    }

    /// Leaves out the byte order mark and what else is not wanted of the file's start.
    async fn begin(&mut self, skipped_bytes: u64) -> Result<(), StageError> {
        if self.begun {
            return Ok(());
        }
        self.begun = true;
        self.body.skip(self.byte_order_mark_bytes + skipped_bytes).await
    }

    /// How the text's characters stand in the file.
    #[cfg(test)]
    pub(crate) fn charset(&self) -> Charset {
        self.charset
    }

    /// The original bytes of a piece of text that was cut between characters.
    pub(crate) fn encode(&self, text: &[u8]) -> Vec<u8> {
        self.charset.encode(text)
    }

    /// The WHATWG name of its encoding.
    pub(crate) fn encoding(&self) -> &'static str {
        self.charset.name()
    }

    /// How many bytes of the decompressed file a piece of text is.
    pub(crate) fn original_len(&self, text: &[u8]) -> u64 {
        self.charset.original_len(text)
    }

    /// Where in the decompressed file the text begins.
    pub(crate) fn byte_order_mark_bytes(&self) -> u64 {
        self.byte_order_mark_bytes
    }

    /// Bytes of the object that were read so far.
    pub(crate) fn bytes_read(&self) -> u64 {
        self.meter.bytes_read()
    }
}
