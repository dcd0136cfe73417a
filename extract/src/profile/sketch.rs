//! How many different values there are, about.

use serde::{Deserialize, Serialize};

/// The least hashes that are kept: about 1/√k ≈ 2.2 % standard error.
const KEPT: usize = 2048;
const GATHERED_MAX: usize = 4 * KEPT;
/// Remembers hashes lately seen, so that columns of few values do not fill the sketch with repetitions.
const RECENT: usize = 4096;

/// A bottom-k sketch: of all hashes seen it keeps the least, whose spread tells how many there were.
///
/// Chosen over HyperLogLog because a value beyond the greatest kept hash, which is nearly every value of a long column,
/// costs one multiplication and one comparison (Bar-Yossef et al., "Counting distinct elements in a data stream", 2002).
/// What it holds depends only on the set of values seen, not on their order.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(from = "Vec<u64>", into = "Vec<u64>")]
pub(crate) struct DistinctSketch {
    gathered: Vec<u64>,
    /// Hashes from here on are left out.
    bound: u64,
    recent: Box<[u64]>,
}

impl Default for DistinctSketch {
    fn default() -> Self {
        Self { gathered: Vec::new(), bound: u64::MAX, recent: vec![0; RECENT].into() }
    }
}

impl From<Vec<u64>> for DistinctSketch {
    fn from(gathered: Vec<u64>) -> Self {
        let bound = if gathered.len() < KEPT { u64::MAX } else { gathered[KEPT - 1] };
        Self { gathered, bound, ..Self::default() }
    }
}

impl From<DistinctSketch> for Vec<u64> {
    fn from(mut sketch: DistinctSketch) -> Self {
        sketch.settle();
        sketch.gathered
    }
}

impl DistinctSketch {
    pub(crate) fn insert_word(&mut self, word: u64) {
        self.insert(mix(word ^ SEED, MULTIPLIER));
    }

    pub(crate) fn insert_bytes(&mut self, bytes: &[u8]) {
        let mut hash = SEED ^ bytes.len() as u64;
        let mut rest = bytes;
        while let Some((word, behind)) = rest.split_first_chunk() {
            hash = mix(hash ^ u64::from_le_bytes(*word), MULTIPLIER);
            rest = behind;
        }
        // The last eight bytes, some of them once more, where there are as many.
        let last = match bytes.last_chunk() {
            Some(last) => u64::from_le_bytes(*last),
            None => bytes.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)),
        };
        self.insert(mix(hash ^ last, FINISHER));
    }

    pub(crate) fn estimate(&self) -> u64 {
        let mut settled = self.clone();
        settled.settle();
        if settled.gathered.len() < KEPT {
            return settled.gathered.len() as u64;
        }
        let share = settled.gathered[KEPT - 1] as f64 / u64::MAX as f64;
        ((KEPT - 1) as f64 / share) as u64
    }

    fn insert(&mut self, hash: u64) {
        if hash >= self.bound {
            return;
        }
        let recent = &mut self.recent[hash as usize % RECENT];
        if *recent == hash {
            return;
        }
        *recent = hash;
        self.gathered.push(hash);
        if self.gathered.len() >= GATHERED_MAX {
            self.settle();
        }
    }

    fn settle(&mut self) {
        self.gathered.sort_unstable();
        self.gathered.dedup();
        if self.gathered.len() >= KEPT {
            self.gathered.truncate(KEPT);
            self.bound = self.gathered[KEPT - 1];
        }
    }
}

const SEED: u64 = 0x9E37_79B9_7F4A_7C15;
const MULTIPLIER: u64 = 0xA076_1D64_78BD_642F;
const FINISHER: u64 = 0xE703_7ED1_A0B4_28DB;

/// The two halves of the product, folded (as in wyhash).
fn mix(left: u64, right: u64) -> u64 {
    let product = u128::from(left) * u128::from(right);
    (product as u64) ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_values_are_counted_exactly() {
        let mut sketch = DistinctSketch::default();
        (0..1_000_000_u64).for_each(|value| sketch.insert_word(value % 2000));
        assert_eq!(sketch.estimate(), 2000);
        let mut words = DistinctSketch::default();
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
            (0..300_000_u64).fold(DistinctSketch::default(), |mut sketch, value| {
                sketch.insert_word(value % 100_000);
                sketch
            }),
            (0..100_000_u64).fold(DistinctSketch::default(), |mut sketch, value| {
                sketch.insert_word(value << 40);
                sketch
            }),
            (0..100_000_u64).fold(DistinctSketch::default(), |mut sketch, value| {
                sketch.insert_word((value as f64 / 8.0).to_bits());
                sketch
            }),
            (0..100_000_u64).fold(DistinctSketch::default(), |mut sketch, value| {
                sketch.insert_bytes(format!("order-{value:08}-x").as_bytes());
                sketch
            }),
        ];
        for estimate in estimates.map(|sketch| sketch.estimate()) {
            assert!((92_000..108_000).contains(&estimate), "{estimate}");
        }
    }
}
