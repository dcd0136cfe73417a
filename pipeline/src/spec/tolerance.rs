use std::fmt;

/// How many rejects a run may have.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Tolerance {
    /// A share of the records read, in percent.
    Percent(f64),
    /// A number of records.
    Records(u64),
}

impl Default for Tolerance {
    fn default() -> Self {
        Self::Percent(5.0)
    }
}

impl Tolerance {
    pub(super) fn parse(text: &str) -> Option<Self> {
        match text.trim().strip_suffix('%') {
            Some(percent) => {
                let percent = percent.trim().parse().ok().filter(|percent| (0.0..=100.0).contains(percent))?;
                Some(Self::Percent(percent))
            }
            None => text.trim().parse().ok().map(Self::Records),
        }
    }

    /// Whether so many rejects among so many records are too many.
    pub fn is_exceeded(self, rejected: u64, read: u64) -> bool {
        match self {
            Self::Percent(percent) => rejected as f64 * 100.0 > percent * read as f64,
            Self::Records(records) => rejected > records,
        }
    }
}

impl fmt::Display for Tolerance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Percent(percent) => write!(f, "{percent}%"),
            Self::Records(records) => write!(f, "{records} records"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_itself_is_tolerated() {
        assert!(!Tolerance::Percent(1.0).is_exceeded(1, 100));
        assert!(Tolerance::Percent(1.0).is_exceeded(2, 100));
        assert!(!Tolerance::Records(2).is_exceeded(2, 2));
        assert!(Tolerance::Records(0).is_exceeded(1, 1_000_000));
        assert!(!Tolerance::Percent(0.0).is_exceeded(0, 0));
    }

    #[test]
    fn what_is_no_bound_is_refused() {
        for text in ["", "%", "-1", "101%", "NaN%", "1.5", "one"] {
            assert_eq!(Tolerance::parse(text), None, "{text}");
        }
    }
}
