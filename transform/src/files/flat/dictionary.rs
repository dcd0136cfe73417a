//! Codes for different values, in the order in which they were first met.

use super::numbers::Number;

/// A dictionary begins with room for so many values at half its slots.
const SLOTS_LEAST: usize = 256;
/// Strings up to so many bytes are whole in two overlapping words.
const SHORT_BYTES: usize = 16;
/// The odd part of the golden ratio, which spreads what is multiplied by it over the upper bits.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// Spreads the bits of a word over its upper ones.
pub(super) fn spread(word: u64) -> u64 {
    (word ^ (word >> 32)).wrapping_mul(SPREAD)
}

/// The different numbers of a column chunk.
pub(super) struct NumberDictionary<T> {
    /// Values and their codes above zero; zero for a free slot.
    slots: Vec<(T, u32)>,
    shift: u32,
    values: Vec<T>,
}

impl<T: Number> NumberDictionary<T> {
    pub(super) fn new() -> Self {
        Self { slots: vec![(T::default(), 0); SLOTS_LEAST], shift: shift_of(SLOTS_LEAST), values: Vec::new() }
    }

    pub(super) fn values(&self) -> &[T] {
        &self.values
    }

    /// Forgets all values but the first; no more codes may be asked for.
    pub(super) fn truncate(&mut self, length: usize) {
        self.slots = Vec::new();
        self.values.truncate(length);
    }

    pub(super) fn code(&mut self, value: T) -> u32 {
        let mask = self.slots.len() - 1;
        let mut at = (value.spread() >> self.shift) as usize & mask;
        loop {
            let (known, code) = self.slots[at];
            if code == 0 {
                return self.insert(at, value);
            }
            if known == value {
                return code - 1;
            }
            at = (at + 1) & mask;
        }
    }

    #[cold]
    fn insert(&mut self, at: usize, value: T) -> u32 {
        let code = self.values.len() as u32;
        self.slots[at] = (value, code + 1);
        self.values.push(value);
        if self.values.len() * 2 > self.slots.len() {
            let grown = vec![(T::default(), 0); self.slots.len() * 2];
            self.shift = shift_of(grown.len());
            let mask = grown.len() - 1;
            for (value, code) in std::mem::replace(&mut self.slots, grown).into_iter().filter(|slot| slot.1 != 0) {
                let mut at = (value.spread() >> self.shift) as usize & mask;
                while self.slots[at].1 != 0 {
                    at = (at + 1) & mask;
                }
                self.slots[at] = (value, code);
            }
        }
        code
    }
}

/// The different strings of a column chunk.
pub(super) struct StringDictionary {
    slots: Vec<StringSlot>,
    shift: u32,
    /// The strings as the dictionary's page has them, each after its length.
    page: Vec<u8>,
    /// Where each string begins in the page, after its length.
    starts: Vec<usize>,
}

#[derive(Clone, Copy, Default)]
struct StringSlot {
    key: Key,
    /// The code above zero; zero for a free slot.
    code: u32,
}

/// Two words and the length, which together are the whole of a short string.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Key {
    first: u64,
    last: u64,
    length: u32,
}

impl Key {
    fn of(bytes: &[u8]) -> Self {
        let length = bytes.len() as u32;
        if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
            let (mut first, mut last) = (u64::from_le_bytes(*first), u64::from_le_bytes(*last));
            if bytes.len() > SHORT_BYTES {
                for chunk in bytes.as_chunks().0 {
                    first = spread(first.rotate_left(23) ^ u64::from_le_bytes(*chunk));
                    last = (last ^ first).rotate_left(17);
                }
            }
            return Self { first, last, length };
        }
        if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
            let (first, last) = (u32::from_le_bytes(*first), u32::from_le_bytes(*last));
            return Self { first: first.into(), last: last.into(), length };
        }
        let first = bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
        Self { first, last: 0, length }
    }

    fn spread(self) -> u64 {
        spread(self.first ^ spread(self.last ^ u64::from(self.length)))
    }
}

impl StringDictionary {
    pub(super) fn new() -> Self {
        let slots = vec![StringSlot::default(); SLOTS_LEAST];
        Self { slots, shift: shift_of(SLOTS_LEAST), page: Vec::new(), starts: Vec::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.starts.len()
    }

    /// The body of the dictionary's page.
    pub(super) fn page(&self) -> &[u8] {
        &self.page
    }

    pub(super) fn value(&self, code: u32) -> &[u8] {
        let Some(start) = self.starts.get(code as usize) else { return &[] };
        let end = self.starts.get(code as usize + 1).map_or(self.page.len(), |next| next - size_of::<u32>());
        &self.page[*start..end]
    }

    pub(super) fn code(&mut self, bytes: &[u8]) -> u32 {
        let key = Key::of(bytes);
        let mask = self.slots.len() - 1;
        let mut at = (key.spread() >> self.shift) as usize & mask;
        loop {
            let slot = self.slots[at];
            if slot.code == 0 {
                return self.insert(at, key, bytes);
            }
            if slot.key == key && (bytes.len() <= SHORT_BYTES || self.value(slot.code - 1) == bytes) {
                return slot.code - 1;
            }
            at = (at + 1) & mask;
        }
    }

    #[cold]
    fn insert(&mut self, at: usize, key: Key, bytes: &[u8]) -> u32 {
        let code = self.starts.len() as u32;
        self.slots[at] = StringSlot { key, code: code + 1 };
        self.page.extend_from_slice(&key.length.to_le_bytes());
        self.starts.push(self.page.len());
        self.page.extend_from_slice(bytes);
        if self.starts.len() * 2 > self.slots.len() {
            let grown = vec![StringSlot::default(); self.slots.len() * 2];
            self.shift = shift_of(grown.len());
            let mask = grown.len() - 1;
            for slot in std::mem::replace(&mut self.slots, grown).into_iter().filter(|slot| slot.code != 0) {
                let mut at = (slot.key.spread() >> self.shift) as usize & mask;
                while self.slots[at].code != 0 {
                    at = (at + 1) & mask;
                }
                self.slots[at] = slot;
            }
        }
        code
    }
}

/// The upper bits of a spread word that tell a slot.
fn shift_of(slots: usize) -> u32 {
    u64::BITS - slots.trailing_zeros()
}
