//! The order of versions of one key.

use std::cmp::Ordering;

use crate::run::Source;

/// Which of two versions of one key is the newer; equal where they do not say.
///
/// S3 promises no order of events. Sequencers of one key compare as hexadecimal strings, the shorter right-padded with
/// zeros (S3 user guide, "Event message structure"). Runs that no event started have none: then the time of the
/// version counts, which S3 gives in whole seconds.
pub fn compare(one: &Source, other: &Source) -> Ordering {
    match (&one.sequencer, &other.sequencer) {
        (Some(one), Some(other)) => compare_sequencers(one, other),
        _ => one.modified_ms.cmp(&other.modified_ms),
    }
}

fn compare_sequencers(one: &str, other: &str) -> Ordering {
    let padded = |sequencer: &str, length: usize| {
        sequencer
            .bytes()
            .map(|byte| byte.to_ascii_uppercase())
            .chain(std::iter::repeat(b'0'))
            .take(length)
            .collect::<Vec<_>>()
    };
    let length = one.len().max(other.len());
    padded(one, length).cmp(&padded(other, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(sequencer: Option<&str>, modified_ms: i64) -> Source {
        Source {
            bucket: "b".into(),
            key: "k".into(),
            version: None,
            etag: "e".into(),
            size: 1,
            modified_ms,
            sequencer: sequencer.map(Into::into),
        }
    }

    #[test]
    fn sequencers_are_right_padded_with_zeros() {
        for (one, other, expected) in [
            ("0055AED6DCD90281E5", "0055AED6DCD90281E6", Ordering::Less),
            ("0055AED6DCD90281E5", "0055AED6DCD90281E500", Ordering::Equal),
            ("0055AED6DCD90281E5", "0055AED6DCD90281E501", Ordering::Less),
            ("00A", "009FFF", Ordering::Greater),
            ("00a", "00A0", Ordering::Equal),
        ] {
            assert_eq!(compare(&source(Some(one), 9), &source(Some(other), 1)), expected, "{one} {other}");
            assert_eq!(compare(&source(Some(other), 1), &source(Some(one), 9)), expected.reverse(), "{other} {one}");
        }
    }

    #[test]
    fn without_both_sequencers_the_time_counts() {
        assert_eq!(compare(&source(Some("00FF"), 1), &source(None, 2)), Ordering::Less);
        assert_eq!(compare(&source(None, 3), &source(None, 2)), Ordering::Greater);
    }
}
