//! Columns of integers, decimals and floating-point numbers.

use parquet::basic::Encoding;

use super::{
    DICTIONARY_BYTES_MAX, PageValues,
    bits::{bit_width, put_codes},
    bounds::{Bound, Bounds},
    delta::put_deltas,
    dictionary::{NumberDictionary, spread},
};

/// How numbers are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Signed,
    Unsigned,
    Float,
}

/// The bits of a number as Parquet stores them.
pub(super) trait Number: Copy + Default + PartialEq {
    /// The bits, spread over the upper ones.
    fn spread(self) -> u64;
    /// The least and greatest values, NaN aside.
    fn bounds(values: &[Self], order: Order, width: usize) -> Option<Bounds>;
    /// Writes values of so many bytes each.
    fn put_plain(values: &[Self], width: usize, out: &mut Vec<u8>);
    /// Writes values as DELTA_BINARY_PACKED.
    fn put_deltas(values: &[Self], out: &mut Vec<u8>);
}

/// The values of a page that is being filled, and the chunk's dictionary.
pub(super) struct Numbers<T> {
    order: Order,
    width: usize,
    encoding: Encoding,
    dictionary: Option<NumberDictionary<T>>,
    dictionary_is_full: bool,
    pub(super) values: Vec<T>,
    codes: Vec<u32>,
}

impl<T: Number> Numbers<T> {
    /// Values of `width` bytes; without a dictionary, or once it is full, in the given encoding.
    pub(super) fn new(order: Order, width: usize, has_dictionary: bool, encoding: Encoding) -> Self {
        Self {
            order,
            width,
            encoding,
            dictionary: has_dictionary.then(NumberDictionary::new),
            dictionary_is_full: !has_dictionary,
            values: Vec::new(),
            codes: Vec::new(),
        }
    }

    /// At most about how many bytes the page will have.
    pub(super) fn page_bytes(&self) -> usize {
        match self.dictionary.as_ref().filter(|_| !self.dictionary_is_full) {
            Some(dictionary) => self.values.len() * dictionary_width(dictionary) as usize / 8,
            None => self.values.len() * self.width,
        }
    }

    pub(super) fn dictionary_bytes(&self) -> usize {
        self.dictionary.as_ref().map_or(0, |dictionary| dictionary.values().len() * self.width)
    }

    /// Writes the page's values, and begins the next page.
    pub(super) fn put_page(&mut self, body: &mut Vec<u8>) -> PageValues {
        let bounds = T::bounds(&self.values, self.order, self.width);
        let encoding = self.put_values(body);
        self.values.clear();
        PageValues { encoding, bounds, string_bytes: None }
    }

    fn put_values(&mut self, body: &mut Vec<u8>) -> Encoding {
        if let Some(dictionary) = self.dictionary.as_mut().filter(|_| !self.dictionary_is_full) {
            let known = dictionary.values().len();
            self.codes.clear();
            self.codes.extend(self.values.iter().map(|value| dictionary.code(*value)));
            if dictionary.values().len() * self.width <= DICTIONARY_BYTES_MAX {
                let width = dictionary_width(dictionary);
                body.push(width as u8);
                put_codes(&self.codes, width, body);
                return Encoding::RLE_DICTIONARY;
            }
            self.dictionary_is_full = true;
            dictionary.truncate(known);
            if known == 0 {
                self.dictionary = None;
            }
        }
        match self.encoding {
            Encoding::DELTA_BINARY_PACKED => T::put_deltas(&self.values, body),
            _ => T::put_plain(&self.values, self.width, body),
        }
        self.encoding
    }

    /// Writes the dictionary and returns how many values it has, if there is one.
    pub(super) fn put_dictionary(&self, body: &mut Vec<u8>) -> Option<usize> {
        let values = self.dictionary.as_ref()?.values();
        T::put_plain(values, self.width, body);
        Some(values.len())
    }
}

fn dictionary_width<T: Number>(dictionary: &NumberDictionary<T>) -> u32 {
    bit_width(dictionary.values().len().saturating_sub(1) as u64).max(1)
}

fn least_and_greatest<T: Copy + PartialOrd>(values: impl Iterator<Item = T>) -> Option<(T, T)> {
    values.fold(None, |bounds, value| match bounds {
        None => Some((value, value)),
        Some((min, max)) => Some((if value < min { value } else { min }, if value > max { value } else { max })),
    })
}

macro_rules! of_words {
    ($bits:ty, $float:ty, $signed_bound:ident, $unsigned_bound:ident, $float_bound:ident) => {
        impl Number for $bits {
            fn spread(self) -> u64 {
                spread(self.cast_unsigned().into())
            }

            fn bounds(values: &[Self], order: Order, _: usize) -> Option<Bounds> {
                let values = values.iter().copied();
                Some(match order {
                    Order::Signed => {
                        let (min, max) = least_and_greatest(values)?;
                        Bounds { min: Bound::$signed_bound(min), max: Bound::$signed_bound(max) }
                    }
                    Order::Unsigned => {
                        let (min, max) = least_and_greatest(values.map(<$bits>::cast_unsigned))?;
                        Bounds { min: Bound::$unsigned_bound(min), max: Bound::$unsigned_bound(max) }
                    }
                    Order::Float => {
                        let numbers = values.map(|bits| <$float>::from_bits(bits.cast_unsigned()));
                        let (min, max) = least_and_greatest(numbers.filter(|number| !number.is_nan()))?;
                        // Readers may take -0 for less than 0, or not: the bounds hold both.
                        let (min, max) = (if min == 0.0 { -0.0 } else { min }, if max == 0.0 { 0.0 } else { max });
                        Bounds { min: Bound::$float_bound(min), max: Bound::$float_bound(max) }
                    }
                })
            }

            fn put_plain(values: &[Self], _: usize, out: &mut Vec<u8>) {
                let start = out.len();
                out.resize(start + size_of_val(values), 0);
                let (words, _) = out[start..].as_chunks_mut();
                for (word, value) in words.iter_mut().zip(values) {
                    *word = value.to_le_bytes();
                }
            }

            fn put_deltas(values: &[Self], out: &mut Vec<u8>) {
                put_deltas(values, out);
            }
        }
    };
}

of_words!(i32, f32, Int32, UInt32, Float);
of_words!(i64, f64, Int64, UInt64, Double);

/// Decimals of more than 18 digits.
impl Number for i128 {
    fn spread(self) -> u64 {
        let bits = self.cast_unsigned();
        spread(bits as u64 ^ spread((bits >> 64) as u64))
    }

    fn bounds(values: &[Self], _: Order, width: usize) -> Option<Bounds> {
        let (min, max) = least_and_greatest(values.iter().copied())?;
        Some(Bounds { min: Bound::Decimal(min, width), max: Bound::Decimal(max, width) })
    }

    fn put_plain(values: &[Self], width: usize, out: &mut Vec<u8>) {
        let start = out.len();
        out.resize(start + values.len() * width, 0);
        if width == size_of::<i128>() {
            let (words, _) = out[start..].as_chunks_mut();
            for (word, value) in words.iter_mut().zip(values) {
                *word = value.to_be_bytes();
            }
            return;
        }
        for (word, value) in out[start..].chunks_exact_mut(width).zip(values) {
            word.copy_from_slice(&value.to_be_bytes()[size_of::<i128>() - width..]);
        }
    }

    fn put_deltas(values: &[Self], out: &mut Vec<u8>) {
        // Parquet has no differences of such numbers.
        Self::put_plain(values, size_of::<Self>(), out);
    }
}
