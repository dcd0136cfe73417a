//! Columns of text and bytes.

use std::cell::RefCell;

use arrow::{
    array::{Array, AsArray, GenericByteArray, GenericByteViewArray},
    datatypes::{ByteArrayType, ByteViewType, DataType},
};
use parquet::basic::Encoding;

use super::{
    DICTIONARY_BYTES_MAX, PAGE_BYTES_MAX, PageValues,
    bits::{bit_width, put_codes},
    bounds::{Bound, Bounds},
    delta::put_deltas,
    dictionary::StringDictionary,
};

/// The dictionary's size is looked at after so many strings.
const CHECKED: usize = 1024;

/// The strings of a page that is being filled, and the chunk's dictionary.
pub(super) struct Strings {
    is_text: bool,
    encoding: Encoding,
    dictionary: Option<StringDictionary>,
    dictionary_is_full: bool,
    /// The page's codes, if it goes by the dictionary.
    codes: Vec<u32>,
    /// The page's strings one after the other, and their lengths, if it does not.
    bytes: Vec<u8>,
    lengths: Vec<i32>,
    string_bytes: usize,
    /// The last page that each code was met in.
    pages_of_codes: Vec<u32>,
    pages: u32,
}

/// An array of strings.
pub(super) trait Source {
    fn string(&self, at: usize) -> &[u8];
    /// How many bytes the strings have together.
    fn bytes_of(&self, from: usize, to: usize) -> usize;
    /// Puts strings one after the other.
    fn append(&self, from: usize, to: usize, bytes: &mut Vec<u8>, lengths: &mut Vec<i32>);
    /// Codes strings, and returns how many bytes they have together.
    fn code(&self, from: usize, to: usize, dictionary: &mut StringDictionary, codes: &mut Vec<u32>) -> usize {
        let mut bytes = 0;
        codes.extend((from..to).map(|at| {
            let string = self.string(at);
            bytes += string.len();
            dictionary.code(string)
        }));
        bytes
    }
}

impl<T: ByteArrayType> Source for &GenericByteArray<T> {
    fn string(&self, at: usize) -> &[u8] {
        self.value(at).as_ref()
    }

    fn bytes_of(&self, from: usize, to: usize) -> usize {
        let offsets = self.value_offsets();
        index_of(offsets[to]) - index_of(offsets[from])
    }

    fn append(&self, from: usize, to: usize, bytes: &mut Vec<u8>, lengths: &mut Vec<i32>) {
        let offsets = &self.value_offsets()[from..=to];
        let (Some(start), Some(end)) = (offsets.first(), offsets.last()) else { return };
        bytes.extend_from_slice(&self.value_data()[index_of(*start)..index_of(*end)]);
        lengths.extend(offsets.windows(2).map(|ends| index_of(ends[1] - ends[0]) as i32));
    }
}

fn index_of(offset: impl arrow::datatypes::ArrowNativeType) -> usize {
    offset.as_usize()
}

impl<T: ByteViewType> Source for &GenericByteViewArray<T> {
    fn string(&self, at: usize) -> &[u8] {
        self.value(at).as_ref()
    }

    fn bytes_of(&self, from: usize, to: usize) -> usize {
        // A view's lowest bits are its string's length.
        self.views()[from..to].iter().map(|view| *view as u32 as usize).sum()
    }

    fn append(&self, from: usize, to: usize, bytes: &mut Vec<u8>, lengths: &mut Vec<i32>) {
        for at in from..to {
            let string = self.string(at);
            bytes.extend_from_slice(string);
            lengths.push(string.len() as i32);
        }
    }
}

/// A dictionary array's keys, and the array that they stand for.
struct Keyed<'a> {
    keys: Vec<usize>,
    values: Box<dyn Source + 'a>,
    /// The code and length of each string that was looked up.
    codes: RefCell<Vec<Option<(u32, usize)>>>,
}

impl Source for Keyed<'_> {
    fn string(&self, at: usize) -> &[u8] {
        self.values.string(self.keys[at])
    }

    fn bytes_of(&self, from: usize, to: usize) -> usize {
        self.keys[from..to].iter().map(|key| self.values.bytes_of(*key, key + 1)).sum()
    }

    fn append(&self, from: usize, to: usize, bytes: &mut Vec<u8>, lengths: &mut Vec<i32>) {
        for key in &self.keys[from..to] {
            self.values.append(*key, key + 1, bytes, lengths);
        }
    }

    fn code(&self, from: usize, to: usize, dictionary: &mut StringDictionary, codes: &mut Vec<u32>) -> usize {
        let mut bytes = 0;
        let mut known = self.codes.borrow_mut();
        codes.extend(self.keys[from..to].iter().map(|key| {
            let (code, length) = *known[*key].get_or_insert_with(|| {
                let string = self.values.string(*key);
                (dictionary.code(string), string.len())
            });
            bytes += length;
            code
        }));
        bytes
    }
}

/// An array of nothing but nulls, whose dictionary is empty.
struct Nulls;

impl Source for Nulls {
    fn string(&self, _: usize) -> &[u8] {
        &[]
    }

    fn bytes_of(&self, _: usize, _: usize) -> usize {
        0
    }

    fn append(&self, _: usize, _: usize, _: &mut Vec<u8>, _: &mut Vec<i32>) {}
}

fn is_plain(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Utf8
            | DataType::LargeUtf8
            | DataType::Utf8View
            | DataType::Binary
            | DataType::LargeBinary
            | DataType::BinaryView
    )
}

/// Whether columns of this type can be written as strings.
pub(super) fn is_strings(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, values) => is_plain(values),
        other => is_plain(other),
    }
}

/// Whether strings of this type are text.
pub(super) fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, values) => is_text(values),
        other => other.is_string(),
    }
}

/// The strings of an array, if it is one of strings.
pub(super) fn source(array: &dyn Array) -> Option<Box<dyn Source + '_>> {
    Some(match array.data_type() {
        DataType::Utf8 => Box::new(array.as_string::<i32>()),
        DataType::LargeUtf8 => Box::new(array.as_string::<i64>()),
        DataType::Utf8View => Box::new(array.as_string_view()),
        DataType::Binary => Box::new(array.as_binary::<i32>()),
        DataType::LargeBinary => Box::new(array.as_binary::<i64>()),
        DataType::BinaryView => Box::new(array.as_binary_view()),
        DataType::Dictionary(..) => {
            let array = array.as_any_dictionary();
            if array.values().is_empty() {
                return Some(Box::new(Nulls));
            }
            let codes = RefCell::new(vec![None; array.values().len()]);
            Box::new(Keyed { keys: array.normalized_keys(), values: source(array.values())?, codes })
        }
        _ => return None,
    })
}

impl Strings {
    pub(super) fn new(is_text: bool, has_dictionary: bool, encoding: Encoding) -> Self {
        Self {
            is_text,
            encoding,
            dictionary: has_dictionary.then(StringDictionary::new),
            dictionary_is_full: !has_dictionary,
            codes: Vec::new(),
            bytes: Vec::new(),
            lengths: Vec::new(),
            string_bytes: 0,
            pages_of_codes: Vec::new(),
            pages: 0,
        }
    }

    /// At most about how many bytes the page will have.
    pub(super) fn page_bytes(&self) -> usize {
        let width = self.dictionary.as_ref().map_or(0, code_width);
        self.codes.len() * width as usize / 8 + self.bytes.len() + self.lengths.len()
    }

    pub(super) fn dictionary_bytes(&self) -> usize {
        self.dictionary.as_ref().map_or(0, |dictionary| dictionary.page().len())
    }

    /// How many of the next `rows` strings the page has room for. An empty page has room for one, however long.
    pub(super) fn room(&self, source: &dyn Source, start: usize, rows: usize) -> usize {
        if !self.dictionary_is_full {
            return rows.min(CHECKED);
        }
        let bytes_left = PAGE_BYTES_MAX.saturating_sub(self.bytes.len());
        let mut fitting = rows;
        while fitting > 0 && source.bytes_of(start, start + fitting) > bytes_left {
            fitting /= 2;
        }
        if fitting == 0 && self.lengths.is_empty() { rows.min(1) } else { fitting }
    }

    /// Whether the page must end here, since the dictionary may not grow further.
    pub(super) fn is_full(&self) -> bool {
        let too_large = |dictionary: &StringDictionary| dictionary.page().len() > DICTIONARY_BYTES_MAX;
        !self.dictionary_is_full && self.dictionary.as_ref().is_some_and(too_large)
    }

    pub(super) fn push(&mut self, source: &dyn Source, from: usize, to: usize) {
        match &mut self.dictionary {
            Some(dictionary) if !self.dictionary_is_full => {
                self.string_bytes += source.code(from, to, dictionary, &mut self.codes);
            }
            _ => source.append(from, to, &mut self.bytes, &mut self.lengths),
        }
    }

    /// Writes the page's strings, and begins the next page.
    pub(super) fn put_page(&mut self, body: &mut Vec<u8>) -> PageValues {
        if let Some(dictionary) = self.dictionary.as_ref().filter(|_| !self.dictionary_is_full) {
            let width = code_width(dictionary);
            body.push(width as u8);
            put_codes(&self.codes, width, body);
            let bounds = self.bounds_of_codes();
            self.dictionary_is_full = self.is_full();
            self.codes.clear();
            let string_bytes = Some(std::mem::take(&mut self.string_bytes) as i64);
            return PageValues { encoding: Encoding::RLE_DICTIONARY, bounds, string_bytes };
        }
        let bounds = self.bounds_of_strings();
        if self.encoding == Encoding::DELTA_LENGTH_BYTE_ARRAY {
            put_deltas(&self.lengths, body);
            body.extend_from_slice(&self.bytes);
        } else {
            let mut rest = self.bytes.as_slice();
            for length in &self.lengths {
                let (string, after) = rest.split_at(*length as usize);
                body.extend_from_slice(&length.to_le_bytes());
                body.extend_from_slice(string);
                rest = after;
            }
        }
        let string_bytes = Some(self.bytes.len() as i64);
        self.bytes.clear();
        self.lengths.clear();
        PageValues { encoding: self.encoding, bounds, string_bytes }
    }

    /// Writes the dictionary and returns how many strings it has, if there is one.
    pub(super) fn put_dictionary(&self, body: &mut Vec<u8>) -> Option<usize> {
        let dictionary = self.dictionary.as_ref()?;
        body.extend_from_slice(dictionary.page());
        Some(dictionary.len())
    }

    fn bounds_of_codes(&mut self) -> Option<Bounds> {
        let dictionary = self.dictionary.as_ref()?;
        self.pages += 1;
        self.pages_of_codes.resize(dictionary.len(), 0);
        let mut bounds: Option<(&[u8], &[u8])> = None;
        for code in &self.codes {
            let page = &mut self.pages_of_codes[*code as usize];
            if *page != self.pages {
                *page = self.pages;
                let string = dictionary.value(*code);
                bounds = bounds.map_or(Some((string, string)), |(min, max)| Some((min.min(string), max.max(string))));
            }
        }
        bounds.map(|(min, max)| self.bounds(min, max))
    }

    fn bounds_of_strings(&self) -> Option<Bounds> {
        let mut rest = self.bytes.as_slice();
        let mut strings = self.lengths.iter().map(|length| {
            let (string, after) = rest.split_at(*length as usize);
            rest = after;
            (beginning(string), string)
        });
        let first = strings.next()?;
        // Strings that begin differently, as most do, are told apart by one word.
        let (min, max) = strings.fold((first, first), |(min, max), next| {
            (if next < min { next } else { min }, if next > max { next } else { max })
        });
        Some(self.bounds(min.1, max.1))
    }

    fn bounds(&self, min: &[u8], max: &[u8]) -> Bounds {
        let bound = if self.is_text { Bound::Text } else { Bound::Bytes };
        Bounds { min: bound(min.to_vec()), max: bound(max.to_vec()) }
    }
}

fn code_width(dictionary: &StringDictionary) -> u32 {
    bit_width(dictionary.len().saturating_sub(1) as u64).max(1)
}

/// A string's first bytes as a word that orders like them.
fn beginning(string: &[u8]) -> u64 {
    if let Some(word) = string.first_chunk() {
        return u64::from_be_bytes(*word);
    }
    let mut word = [0; size_of::<u64>()];
    word[..string.len()].copy_from_slice(string);
    u64::from_be_bytes(word)
}
