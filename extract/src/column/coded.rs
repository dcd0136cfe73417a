//! Columns of few different texts, as codes.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, DictionaryArray, StringArray, UInt8Array},
    compute::max,
    datatypes::UInt8Type,
};
use serde::{Deserialize, Serialize};

use super::{
    cell::{Cell, Selection},
    fixed::split_front,
    nulls::Nulls,
    texts::ByteStrings,
};

/// The different texts of a column that is coded: what a code of one byte tells apart.
const TEXTS_MAX: usize = 256;
/// Of the first values, so many at most may be different: a column that has more of them soon would have too many.
const FIRST_VALUES: u64 = 4096;
const FIRST_TEXTS_MAX: usize = 64;
/// Longer texts are not looked up.
const TEXT_BYTES_MAX: usize = 32;

const WORDS: usize = TEXT_BYTES_MAX / 8;

/// A text, zeros behind it.
type Words = [u64; WORDS];

/// What of a column's coding another process needs to go on behind the values taken so far.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Coding {
    /// Whether the values to come are coded as long as they can be.
    is_open: bool,
    values: u64,
    texts: Vec<String>,
}

/// Texts that are kept as codes for as long as few of them are different, then as they are. Where that ends depends on
/// the values alone.
#[derive(Debug, Default)]
pub(super) struct CodedTexts {
    vocabulary: Vocabulary,
    /// Those kept first.
    codes: Vec<u8>,
    nulls: Nulls,
    is_closed: bool,
    /// Those kept behind them.
    plain: ByteStrings,
    values_taken: u64,
    /// The texts that the values taken have.
    texts_taken: usize,
    /// The array of the texts taken last.
    texts: Option<Arc<StringArray>>,
}

impl CodedTexts {
    pub(super) fn len(&self) -> usize {
        self.codes.len() + self.plain.len()
    }

    #[inline(always)]
    pub(super) fn push(&mut self, cell: Cell<'_>) {
        if !self.is_closed {
            match self.vocabulary.code(cell) {
                Some(code) => return self.codes.push(code),
                None => return self.push_new(cell),
            }
        }
        self.plain.push(cell);
    }

    #[cold]
    fn push_new(&mut self, cell: Cell<'_>) {
        let values = self.values_taken + self.codes.len() as u64;
        let texts_max = if values < FIRST_VALUES { FIRST_TEXTS_MAX } else { TEXTS_MAX };
        if self.vocabulary.len() < texts_max && cell.len() <= TEXT_BYTES_MAX {
            self.codes.push(self.vocabulary.add(cell));
        } else {
            self.is_closed = true;
            self.plain.push(cell);
        }
    }

    #[inline]
    pub(super) fn push_null(&mut self) {
        if self.is_closed {
            self.plain.push_null();
        } else {
            self.nulls.push(self.codes.len());
            self.codes.push(0);
        }
    }

    /// The first `count` values: as a dictionary where all are coded, else as strings.
    pub(super) fn take(&mut self, count: usize) -> ArrayRef {
        self.values_taken += count as u64;
        if count <= self.codes.len() && !(self.is_closed && self.codes.is_empty()) {
            return self.take_coded(count);
        }
        if self.codes.is_empty() {
            return self.plain.take_strings(count);
        }
        let mut strings = ByteStrings::default();
        for (place, code) in self.codes.iter().enumerate() {
            if self.nulls.contains(place) {
                strings.push_null();
            } else {
                strings.push(Cell::from(self.vocabulary.text(*code)));
            }
        }
        strings.append(&self.plain, &Selection::All(self.plain.len()));
        self.codes.clear();
        self.nulls.clear();
        self.plain = strings;
        self.plain.take_strings(count)
    }

    fn take_coded(&mut self, count: usize) -> ArrayRef {
        let nulls = self.nulls.take(count);
        let codes = UInt8Array::new(split_front(&mut self.codes, count).into(), nulls);
        let greatest = max(&codes).map_or(0, |code| usize::from(code) + 1);
        let texts_taken = self.texts_taken.max(greatest);
        let texts = match &self.texts {
            Some(texts) if texts.len() == texts_taken => texts.clone(),
            _ => Arc::new(self.vocabulary.array(texts_taken)),
        };
        self.texts = Some(texts.clone());
        self.texts_taken = texts_taken;
        Arc::new(DictionaryArray::<UInt8Type>::new(codes, texts))
    }

    /// What is needed to go on behind the values taken, those that are kept being given again.
    pub(super) fn coding(&self) -> Coding {
        Coding {
            is_open: !(self.is_closed && self.codes.is_empty()),
            values: self.values_taken,
            texts: (0..self.texts_taken)
                .map(|code| String::from_utf8_lossy(self.vocabulary.text(code as u8)).into_owned())
                .collect(),
        }
    }

    /// Goes on where [`CodedTexts::coding`] was.
    pub(super) fn resume(&mut self, coding: Coding) {
        *self = Self { is_closed: !coding.is_open, values_taken: coding.values, ..Self::default() };
        for text in &coding.texts {
            self.vocabulary.add(Cell::from(text.as_bytes()));
        }
        self.texts_taken = coding.texts.len();
    }

    pub(super) fn restore(&mut self, strings: &StringArray) {
        for text in strings {
            match text {
                Some(text) => self.push(Cell::from(text.as_bytes())),
                None => self.push_null(),
            }
        }
    }
}

/// Different texts, numbered in the order in which they came.
#[derive(Debug, Default)]
struct Vocabulary {
    texts: Vec<Entry>,
    /// Where a text is in `texts`, counted from 1, at the place that its hash names or in the next free one, which is 0.
    places: Vec<u16>,
}

/// Many more places than texts, so that most are at their own.
const PLACES: usize = 4 * TEXTS_MAX;

#[derive(Clone, Copy, Debug)]
struct Entry {
    words: Words,
    bytes: [u8; TEXT_BYTES_MAX],
    len: u8,
}

impl Vocabulary {
    fn len(&self) -> usize {
        self.texts.len()
    }

    fn text(&self, code: u8) -> &[u8] {
        let Entry { bytes, len, .. } = &self.texts[usize::from(code)];
        &bytes[..usize::from(*len)]
    }

    fn array(&self, texts: usize) -> StringArray {
        let mut strings = ByteStrings::default();
        (0..texts).for_each(|code| strings.push(Cell::from(self.text(code as u8))));
        strings.take_string_array(texts)
    }

    #[inline(always)]
    fn code(&self, cell: Cell<'_>) -> Option<u8> {
        let words = words(cell)?;
        let mut place = place_of(&words);
        loop {
            let number = usize::from(*self.places.get(place)?);
            let entry = self.texts.get(number.wrapping_sub(1))?;
            if is_same(&entry.words, &words) && usize::from(entry.len) == cell.len() {
                return Some((number - 1) as u8);
            }
            place = (place + 1) % PLACES;
        }
    }

    /// Adds a text that is not there and not too long, as there are not too many.
    fn add(&mut self, cell: Cell<'_>) -> u8 {
        let mut bytes = [0; TEXT_BYTES_MAX];
        bytes[..cell.len()].copy_from_slice(cell.text());
        let words = as_words(&bytes);
        self.places.resize(PLACES, 0);
        let mut place = place_of(&words);
        while self.places[place] != 0 {
            place = (place + 1) % PLACES;
        }
        let code = self.texts.len();
        self.places[place] = code as u16 + 1;
        self.texts.push(Entry { words, bytes, len: cell.len() as u8 });
        code as u8
    }
}

/// The text as words; nothing, if it is too long.
#[inline(always)]
fn words(cell: Cell<'_>) -> Option<Words> {
    let kept = MASKS.get(cell.len())?;
    let words = match cell.chunk() {
        Some(window) => as_words(window),
        None => std::array::from_fn(|number| cell.word(8 * number)),
    };
    Some(std::array::from_fn(|number| words[number] & kept[number]))
}

#[inline(always)]
fn as_words(bytes: &[u8; TEXT_BYTES_MAX]) -> Words {
    let (words, _) = bytes.as_chunks();
    std::array::from_fn(|number| u64::from_le_bytes(words[number]))
}

/// Compared word by word in registers: as arrays they would go through memory, in pieces of another size.
#[inline(always)]
fn is_same(left: &Words, right: &Words) -> bool {
    (0..WORDS).fold(0, |differing, number| differing | (left[number] ^ right[number])) == 0
}

/// By length, the bits of the words that are of the text.
static MASKS: [Words; TEXT_BYTES_MAX + 1] = masks();

const fn masks() -> [Words; TEXT_BYTES_MAX + 1] {
    let mut masks = [[0; WORDS]; TEXT_BYTES_MAX + 1];
    let mut len = 1;
    while len <= TEXT_BYTES_MAX {
        masks[len] = masks[len - 1];
        masks[len][(len - 1) / 8] |= 0xFF << ((len - 1) % 8 * 8);
        len += 1;
    }
    masks
}

#[inline(always)]
fn place_of(words: &Words) -> usize {
    let [first, second, third, fourth] = *words;
    let folded = (first ^ third.rotate_left(29)).wrapping_mul(0x9E37_79B9_7F4A_7C15)
        ^ (second ^ fourth.rotate_left(17)).wrapping_mul(0xA076_1D64_78BD_642F);
    (folded >> 40) as usize % PLACES
}
