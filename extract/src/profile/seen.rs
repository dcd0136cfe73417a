//! Which of the values of a narrow range were seen already.

/// Places by value, so that the values of a column of few of them are hashed once each. A mere shortcut: to forget it
/// all changes nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct SeenRange {
    least: i64,
    seen: Vec<bool>,
}

impl SeenRange {
    /// Makes places for the values of a range beside those that are there. Returns false, if that would be more than
    /// `places_max`.
    pub(super) fn cover(&mut self, least: i64, greatest: i64, places_max: usize) -> bool {
        let (first, last) = match self.seen.len() {
            0 => (least, greatest),
            places => (least.min(self.least), greatest.max(self.least + (places as i64 - 1))),
        };
        let distance = last.abs_diff(first);
        if distance >= places_max as u64 {
            return false;
        }
        let places = distance as usize + 1;
        if places > self.seen.len() {
            self.seen = vec![false; places];
            self.least = first;
        }
        true
    }

    /// Notes a value of the covered range. Returns whether it is new.
    #[inline]
    pub(super) fn add(&mut self, value: i64) -> bool {
        let place = value.wrapping_sub(self.least) as usize;
        self.seen.get_mut(place).is_none_or(|seen| !std::mem::replace(seen, true))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn only_what_was_seen_is_not_new(batches in prop::collection::vec(prop::collection::vec(-40_i64..40, 1..9), 1..9)) {
            let mut range = SeenRange::default();
            let mut earlier = Vec::new();
            for batch in batches {
                let (least, greatest) = batch.iter().fold((i64::MAX, i64::MIN), |(low, high), value| {
                    (low.min(*value), high.max(*value))
                });
                if !range.cover(least, greatest, 64) {
                    continue;
                }
                for value in batch {
                    let is_new = range.add(value);
                    prop_assert!(is_new || earlier.contains(&value));
                    earlier.push(value);
                    prop_assert!(!range.add(value));
                }
            }
        }
    }

    #[test]
    fn ranges_at_the_ends_of_the_numbers_are_too_wide_or_right() {
        let mut range = SeenRange::default();
        assert!(!range.cover(i64::MIN, i64::MAX, 64));
        assert!(range.cover(i64::MAX - 1, i64::MAX, 64));
        assert!(range.add(i64::MAX) && !range.add(i64::MAX));
        assert!(!range.cover(i64::MIN, i64::MIN, 64));
    }
}
