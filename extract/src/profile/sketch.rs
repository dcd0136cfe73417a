//! How many different values there are, about.

use serde::{Deserialize, Serialize};

/// The least hashes that are kept: about 1/√k ≈ 2.2 % standard error.
const KEPT: usize = 2048;
/// The columns that share the memory of all sketches, some 4 MiB. Where there are more, each keeps fewer hashes.
const COLUMNS: usize = 128;
const KEPT_MIN: usize = 64;

/// A bottom-k sketch: of all hashes seen it keeps the least, whose spread tells how many there were.
///
/// Chosen over HyperLogLog because a value beyond the greatest kept hash, which is nearly every value of a long column,
/// costs one multiplication and one comparison (Bar-Yossef et al., "Counting distinct elements in a data stream", 2002).
/// What it holds depends only on the set of values seen, not on their order.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(from = "(usize, Vec<u64>)", into = "(usize, Vec<u64>)")]
pub(crate) struct DistinctSketch {
    kept: usize,
    /// The hashes held, each at the place that its lowest bits name or at the next free one; [`FREE`] elsewhere. A power
    /// of two of places.
    table: Vec<u64>,
    held: usize,
    /// Hashes from here on are left out.
    bound: u64,
}

/// What a free place of the table holds. No hash is.
const FREE: u64 = 0;
const PLACES_MIN: usize = 64;

impl From<(usize, Vec<u64>)> for DistinctSketch {
    fn from((kept, hashes): (usize, Vec<u64>)) -> Self {
        let kept = kept.clamp(KEPT_MIN, KEPT);
        let mut sketch = Self { kept, table: vec![FREE; PLACES_MIN], held: 0, bound: u64::MAX };
        hashes.iter().for_each(|hash| sketch.insert(*hash));
        sketch.bound = hashes.get(kept - 1).copied().unwrap_or(u64::MAX);
        sketch
    }
}

impl From<DistinctSketch> for (usize, Vec<u64>) {
    fn from(sketch: DistinctSketch) -> Self {
        let mut least = sketch.least();
        least.sort_unstable();
        (sketch.kept, least)
    }
}

impl DistinctSketch {
    /// The sketch of one column among so many.
    pub(crate) fn new(columns: usize) -> Self {
        (KEPT * COLUMNS / columns.max(COLUMNS), Vec::new()).into()
    }

    /// The most hashes that it keeps.
    pub(crate) fn kept_max(&self) -> usize {
        self.kept
    }

    #[inline]
    pub(crate) fn insert_word(&mut self, word: u64) {
        self.insert(mix(word ^ SEED, MULTIPLIER));
    }

    #[inline]
    pub(crate) fn insert_bytes(&mut self, bytes: &[u8]) {
        self.insert(hash_of(bytes));
    }

    pub(crate) fn estimate(&self) -> u64 {
        let least = self.least();
        match least.iter().max() {
            Some(greatest) if least.len() == self.kept => {
                let share = *greatest as f64 / u64::MAX as f64;
                ((self.kept - 1) as f64 / share) as u64
            }
            _ => least.len() as u64,
        }
    }

    #[inline]
    fn insert(&mut self, hash: u64) {
        if hash < self.bound {
            self.hold(hash.max(FREE + 1));
        }
    }

    fn hold(&mut self, hash: u64) {
        let last = self.table.len() - 1;
        let mut place = hash as usize & last;
        while self.table[place] != hash {
            if self.table[place] == FREE {
                self.table[place] = hash;
                self.held += 1;
                if 4 * self.held > 3 * self.table.len() {
                    self.make_room();
                }
                return;
            }
            place = (place + 1) & last;
        }
    }

    /// Doubles the table or, where it is large enough, forgets all but the least hashes.
    fn make_room(&mut self) {
        let places = if self.table.len() >= 2 * self.kept { self.table.len() } else { 2 * self.table.len() };
        let least = self.least();
        if least.len() == self.kept {
            self.bound = least.iter().max().copied().unwrap_or(u64::MAX);
        }
        self.table = vec![FREE; places];
        self.held = 0;
        least.iter().for_each(|hash| self.hold(*hash));
    }

    /// The least hashes seen, in no order.
    fn least(&self) -> Vec<u64> {
        let mut hashes: Vec<u64> = self.table.iter().copied().filter(|hash| *hash != FREE).collect();
        if hashes.len() > self.kept {
            hashes.select_nth_unstable(self.kept - 1);
            hashes.truncate(self.kept);
        }
        hashes
    }
}

const SEED: u64 = 0x9E37_79B9_7F4A_7C15;
const MULTIPLIER: u64 = 0xA076_1D64_78BD_642F;
const FINISHER: u64 = 0xE703_7ED1_A0B4_28DB;

/// Sixteen bytes at a time; the last sixteen, some of them once more, where there are as many.
#[inline]
fn hash_of(bytes: &[u8]) -> u64 {
    let mut hash = SEED;
    let (front, back) = match bytes.last_chunk::<16>() {
        None => ends_of(bytes),
        Some(last) => {
            let (pairs, _) = bytes.as_chunks::<16>();
            for pair in &pairs[..(bytes.len() - 1) / 16] {
                let (front, back) = halves(pair);
                hash = mix(hash ^ front, MULTIPLIER ^ back);
            }
            halves(last)
        }
    };
    mix(mix(hash ^ front, MULTIPLIER ^ back) ^ bytes.len() as u64, FINISHER)
}

#[inline]
fn halves(pair: &[u8; 16]) -> (u64, u64) {
    let pair = u128::from_le_bytes(*pair);
    (pair as u64, (pair >> 64) as u64)
}

/// Two words that, with the length, tell fewer than sixteen bytes apart from all others.
#[inline]
fn ends_of(bytes: &[u8]) -> (u64, u64) {
    if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        return (u64::from_le_bytes(*first), u64::from_le_bytes(*last));
    }
    if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        return (u32::from_le_bytes(*first).into(), u32::from_le_bytes(*last).into());
    }
    match *bytes {
        [] => (0, 0),
        [first, .., last] => (first.into(), u64::from(bytes[bytes.len() / 2]) << 8 | u64::from(last)),
        [only] => (only.into(), 0),
    }
}

/// The two halves of the product, folded (as in wyhash).
#[inline]
fn mix(left: u64, right: u64) -> u64 {
    let product = u128::from(left) * u128::from(right);
    (product as u64) ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_values_are_counted_exactly() {
        let mut sketch = DistinctSketch::new(1);
        (0..1_000_000_u64).for_each(|value| sketch.insert_word(value % 2000));
        assert_eq!(sketch.estimate(), 2000);
        let mut words = DistinctSketch::new(1);
        for _ in 0..3 {
            ["", "a", "aaaaaaaa", "aaaaaaaaa", "aaaaaaaa\0"]
                .iter()
                .for_each(|text| words.insert_bytes(text.as_bytes()));
        }
        assert_eq!(words.estimate(), 5);
    }

    #[test]
    fn many_values_are_estimated_within_a_few_percent_whatever_they_are() {
        let estimates = [
            (0..300_000_u64).fold(DistinctSketch::new(1), |mut sketch, value| {
                sketch.insert_word(value % 100_000);
                sketch
            }),
            (0..100_000_u64).fold(DistinctSketch::new(1), |mut sketch, value| {
                sketch.insert_word(value << 40);
                sketch
            }),
            (0..100_000_u64).fold(DistinctSketch::new(1), |mut sketch, value| {
                sketch.insert_word((value as f64 / 8.0).to_bits());
                sketch
            }),
            (0..100_000_u64).fold(DistinctSketch::new(1), |mut sketch, value| {
                sketch.insert_bytes(format!("order-{value:08}-x").as_bytes());
                sketch
            }),
        ];
        for estimate in estimates.map(|sketch| sketch.estimate()) {
            assert!((92_000..108_000).contains(&estimate), "{estimate}");
        }
    }
}
