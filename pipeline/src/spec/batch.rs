use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};
use serde_saphyr::Spanned;

use super::{Scalar, unlocated};

/// How uploads are gathered, so that many small objects become one run. A batch is cut as soon as one of the three bounds
/// is reached; it is looked every minute.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BatchSpec {
    /// The most objects of a batch; by default 1000.
    #[schemars(with = "u64", range(min = 1, max = 10000))]
    pub max_files: Spanned<u64>,
    /// The most bytes of a batch, as they are stored; by default `256 MiB`. A larger object is a batch of its own.
    #[schemars(with = "Scalar")]
    pub max_bytes: Spanned<String>,
    /// How long an object waits for others, from one minute to seven days; by default `5m`.
    #[schemars(with = "String")]
    pub max_wait: Spanned<String>,
}

impl Default for BatchSpec {
    fn default() -> Self {
        Self { max_files: unlocated(1000), max_bytes: unlocated("256 MiB".into()), max_wait: unlocated("5m".into()) }
    }
}

/// Takes `batch:` without anything under it for all defaults, not for no batches.
pub(super) fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<BatchSpec>, D::Error> {
    Ok(Some(Option::deserialize(deserializer)?.unwrap_or_default()))
}

/// How uploads are gathered, understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchLimits {
    /// The most objects of a batch.
    pub files_max: usize,
    /// The most bytes of a batch that has more than one object.
    pub bytes_max: u64,
    /// How long an object waits for others.
    pub wait_max: Duration,
}

/// The units of a number of bytes.
const BYTE_UNITS: [(&str, u64); 7] = [
    ("B", 1),
    ("KB", 1000),
    ("KiB", 1 << 10),
    ("MB", 1_000_000),
    ("MiB", 1 << 20),
    ("GB", 1_000_000_000),
    ("GiB", 1 << 30),
];

/// The number of bytes that a text such as `256 MiB` or `1000000` says; nothing for another text.
pub(super) fn parse_bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = match unit.trim() {
        "" => 1,
        unit => BYTE_UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?.1,
    };
    number.parse::<u64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_units_of_a_thousand_and_of_1024() {
        for (text, bytes) in [
            ("7", 7),
            ("0 b", 0),
            ("10KB", 10_000),
            ("10 kib", 10_240),
            ("256 MiB", 268_435_456),
            ("1 GB", 1_000_000_000),
        ] {
            assert_eq!(parse_bytes(text), Some(bytes), "{text}");
        }
        for text in ["", "MiB", "1.5 MiB", "-1", "1 XB", "99999999999 GiB"] {
            assert_eq!(parse_bytes(text), None, "{text}");
        }
    }
}
