//! What is kept of personal data in its stead.

use arrow::array::{ArrayRef, NullArray};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::sync::Arc;
use stepwell_pipeline::{
    ErrorKind, StageError,
    spec::{Column, Pii},
    stage::HashKey,
};

use super::{
    cell::{Cell, Fields, Selection},
    nulls::Reader,
    texts::ByteStrings,
};

/// A column of personal data, of which only stand-ins are kept.
pub(super) struct Masked {
    stand_in: StandIn,
    /// What stands for null, in text.
    default: Option<Vec<u8>>,
    kept: ByteStrings,
}

enum StandIn {
    /// Keyed, to be copied for each value.
    Hash(Box<Hmac<Sha256>>),
    Redacted,
    Dropped,
}

impl Masked {
    /// `None`, if the column's values are kept as they are.
    ///
    /// # Errors
    /// `InvalidInput`, if they are to be hashed and there is no key.
    pub(super) fn new(column: &Column, hash_key: Option<&HashKey>) -> Result<Option<Self>, StageError> {
        let stand_in = match (column.pii, hash_key) {
            (None, _) => return Ok(None),
            (Some(Pii::Redact), _) => StandIn::Redacted,
            (Some(Pii::Drop), _) => StandIn::Dropped,
            (Some(Pii::Hash), Some(key)) => StandIn::Hash(Box::new(keyed(key)?)),
            (Some(Pii::Hash), None) => {
                let message = format!("column `{}` is to be hashed and there is no key; set PII_HASH_KEY", column.name);
                return Err(StageError::new(ErrorKind::InvalidInput, message));
            }
        };
        let default = column.default.as_ref().map(|default| default.as_bytes().to_vec());
        Ok(Some(Self { stand_in, default, kept: ByteStrings::default() }))
    }

    pub(super) fn keep<F: Fields>(&mut self, reader: &Reader, fields: &F, selection: &Selection<'_>) {
        if matches!(self.stand_in, StandIn::Dropped) {
            return;
        }
        for place in 0..selection.len() {
            let record = match selection {
                Selection::All(_) => place,
                Selection::Some(records) => records[place] as usize,
            };
            match reader.read(fields, record).map(Cell::text).or(self.default.as_deref()) {
                Some(text) => self.stand_in.push(text, &mut self.kept),
                None => self.kept.push_null(),
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }

    pub(super) fn take(&mut self, records: usize) -> ArrayRef {
        match self.stand_in {
            StandIn::Dropped => Arc::new(NullArray::new(records)),
            _ => self.kept.take_strings(records),
        }
    }

    pub(super) fn restore(&mut self, array: &ArrayRef) -> Option<()> {
        match self.stand_in {
            StandIn::Dropped => Some(()),
            _ => self.kept.restore_strings(array),
        }
    }
}

/// The keyed hash that stands for personal data.
///
/// # Errors
/// `InvalidInput` for a key that is none.
pub(crate) fn keyed(key: &HashKey) -> Result<Hmac<Sha256>, StageError> {
    Hmac::new_from_slice(key.bytes())
        .map_err(|error| StageError::with_source(ErrorKind::InvalidInput, "PII_HASH_KEY is no key", error))
}

impl StandIn {
    fn push(&self, text: &[u8], kept: &mut ByteStrings) {
        match self {
            Self::Hash(keyed) => {
                let mut hash = keyed.as_ref().clone();
                hash.update(text);
                let digest = hash.finalize().into_bytes();
                let mut hexadecimal = [0; 64];
                for (pair, byte) in hexadecimal.as_chunks_mut::<2>().0.iter_mut().zip(digest) {
                    *pair = [byte >> 4, byte & 0xF].map(|digit| b"0123456789abcdef"[usize::from(digit)]);
                }
                kept.push(Cell::from(&hexadecimal[..]));
            }
            Self::Redacted => kept.push(Cell::from(&b"***"[..])),
            Self::Dropped => {}
        }
    }
}
