//! How many different values there are, about.

use serde::{Deserialize, Serialize};

/// The least hashes that are kept: about 1/√k ≈ 2.2 % standard error.
const KEPT: usize = 2048;
/// The columns that share the memory of all sketches, some 12 MiB. Where there are more, each keeps fewer hashes.
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
    gathered: Vec<u64>,
    /// Hashes from here on are left out.
    bound: u64,
    /// Hashes lately seen, so that columns of few values do not fill the sketch with repetitions.
    recent: Box<[u64]>,
}

impl From<(usize, Vec<u64>)> for DistinctSketch {
    fn from((kept, gathered): (usize, Vec<u64>)) -> Self {
        let kept = kept.clamp(KEPT_MIN, KEPT);
        let bound = gathered.get(kept - 1).copied().unwrap_or(u64::MAX);
        Self { kept, gathered, bound, recent: vec![0; (kept + 1).next_power_of_two()].into() }
    }
}

impl From<DistinctSketch> for (usize, Vec<u64>) {
    fn from(mut sketch: DistinctSketch) -> Self {
        sketch.settle();
        (sketch.kept, sketch.gathered)
    }
}

impl DistinctSketch {
    /// The sketch of one column among so many.
    pub(crate) fn new(columns: usize) -> Self {
        (KEPT * COLUMNS / columns.max(COLUMNS), Vec::new()).into()
    }

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
        if settled.gathered.len() < settled.kept {
            return settled.gathered.len() as u64;
        }
        let share = settled.gathered[settled.kept - 1] as f64 / u64::MAX as f64;
        ((settled.kept - 1) as f64 / share) as u64
    }

    fn insert(&mut self, hash: u64) {
        if hash >= self.bound {
            return;
        }
        let place = hash as usize & (self.recent.len() - 1);
        let recent = &mut self.recent[place];
        if *recent == hash {
            return;
        }
        *recent = hash;
        self.gathered.push(hash);
        if self.gathered.len() >= 4 * self.kept {
            self.settle();
        }
    }

    fn settle(&mut self) {
        self.gathered.sort_unstable();
        self.gathered.dedup();
        if self.gathered.len() >= self.kept {
            self.gathered.truncate(self.kept);
            self.bound = self.gathered[self.kept - 1];
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
