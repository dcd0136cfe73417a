//! The least and the greatest of texts.

/// How much of a text is compared at once.
const BEGINNING_BYTES: usize = 8;

/// The least and the greatest text so far. The first eight bytes decide nearly always.
pub(super) struct TextBounds<'a> {
    least: (u64, &'a [u8]),
    greatest: (u64, &'a [u8]),
}

impl<'a> TextBounds<'a> {
    pub(super) fn of(first: &'a [u8]) -> Self {
        let first = (beginning(first), first);
        Self { least: first, greatest: first }
    }

    #[inline]
    pub(super) fn widen(&mut self, text: &'a [u8]) {
        let candidate = (beginning(text), text);
        if candidate.0 <= self.least.0 && is_before(candidate, self.least) {
            self.least = candidate;
        }
        if candidate.0 >= self.greatest.0 && is_before(self.greatest, candidate) {
            self.greatest = candidate;
        }
    }

    pub(super) fn least(&self) -> &'a [u8] {
        self.least.1
    }

    pub(super) fn greatest(&self) -> &'a [u8] {
        self.greatest.1
    }
}

#[inline]
fn is_before(left: (u64, &[u8]), right: (u64, &[u8])) -> bool {
    if left.0 != right.0 {
        return left.0 < right.0;
    }
    // Of texts that are no longer than their beginning, the shorter ends in zeros of its own.
    if left.1.len() <= BEGINNING_BYTES && right.1.len() <= BEGINNING_BYTES {
        return left.1.len() < right.1.len();
    }
    left.1 < right.1
}

/// The first bytes, zeros where there are fewer, as a number that is in the order of the texts.
#[inline]
fn beginning(bytes: &[u8]) -> u64 {
    if let Some(first) = bytes.first_chunk() {
        return u64::from_be_bytes(*first);
    }
    let bits = 8 * bytes.len() as u32;
    if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        let (first, last) = (u64::from(u32::from_be_bytes(*first)), u64::from(u32::from_be_bytes(*last)));
        return first << 32 | last << (64 - bits);
    }
    let place = |at: usize| u64::from(bytes[at]) << (56 - 8 * at);
    match bytes.len() {
        0 => 0,
        len => place(0) | place(len / 2) | place(len - 1),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used, reason = "tests fail by panicking")]

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn bounds_are_those_of_strings(texts in prop::collection::vec("[\0ab\u{e9}]{0,10}", 1..20)) {
            let mut bounds = TextBounds::of(texts[0].as_bytes());
            texts.iter().for_each(|text| bounds.widen(text.as_bytes()));
            prop_assert_eq!(bounds.least(), texts.iter().min().expect("one at least").as_bytes());
            prop_assert_eq!(bounds.greatest(), texts.iter().max().expect("one at least").as_bytes());
        }

        #[test]
        fn beginnings_are_in_the_order_of_texts(left in "[\0-c]{0,10}", right in "[\0-c]{0,10}") {
            let pair = |text: &'static [u8]| (beginning(text), text);
            let (left, right) = (left.into_bytes().leak() as &[u8], right.into_bytes().leak() as &[u8]);
            prop_assert_eq!(is_before(pair(left), pair(right)), left < right);
        }
    }
}
