//! Which calls go wrong, and how.

use std::collections::BTreeMap;

use rand::{Rng, SeedableRng, rngs::SmallRng};
use stepwell_pipeline::{ErrorKind, StageError};

/// How a call goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Nothing is done.
    FailsBefore,
    /// Nothing is done, since there were too many calls.
    Throttled,
    /// It is done, and nobody hears of it.
    ReplyLost,
    /// The process dies before it.
    KilledBefore,
    /// The process dies after it.
    KilledAfter,
    /// The process dies, and a write that is on its way comes to pass when the test lets it. Of other calls: as before.
    KilledAndLate,
}

/// The ways after which no write is on its way.
pub(crate) const WAYS_AT_ONCE: [Way; 5] =
    [Way::FailsBefore, Way::Throttled, Way::ReplyLost, Way::KilledBefore, Way::KilledAfter];

pub(crate) const WAYS: [Way; 6] =
    [Way::FailsBefore, Way::Throttled, Way::ReplyLost, Way::KilledBefore, Way::KilledAfter, Way::KilledAndLate];

impl Way {
    fn error(self, kind: ErrorKind) -> StageError {
        let kind = if self == Self::Throttled { ErrorKind::Throttled } else { kind };
        StageError::new(kind, format!("{self:?}"))
    }
}

/// As the adapters to the state machine, the queues and the links say it.
impl From<Way> for StageError {
    fn from(way: Way) -> Self {
        way.error(ErrorKind::TargetUnavailable)
    }
}

/// As the adapter to S3 says it.
impl From<Way> for object_store::Error {
    fn from(way: Way) -> Self {
        Self::Generic { store: "S3", source: way.error(ErrorKind::StoreUnavailable).into() }
    }
}

/// The calls that go wrong.
#[derive(Debug)]
pub(crate) enum Faults {
    /// Those of these numbers.
    At(BTreeMap<usize, Way>),
    /// One in so many, as a generator says.
    OneIn(u32, SmallRng),
}

impl Default for Faults {
    fn default() -> Self {
        Self::At(BTreeMap::new())
    }
}

impl From<&BTreeMap<usize, Way>> for Faults {
    fn from(faults: &BTreeMap<usize, Way>) -> Self {
        Self::At(faults.clone())
    }
}

impl Faults {
    /// One call in so many, if any; which and how hangs on the seed.
    pub(crate) fn one_in(many: impl Into<Option<u32>>, seed: u64) -> Self {
        many.into().map_or_else(Self::default, |many| Self::OneIn(many, SmallRng::seed_from_u64(seed)))
    }

    /// How the call of a number goes wrong, if it does.
    pub(super) fn of(&mut self, number: usize) -> Option<Way> {
        match self {
            Self::At(faults) => faults.get(&number).copied(),
            Self::OneIn(many, random) => {
                random.random_ratio(1, *many).then(|| WAYS[random.random_range(0..WAYS.len())])
            }
        }
    }
}

/// How much was tried.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cases {
    /// The calls that are made where nothing goes wrong.
    pub(crate) calls: usize,
    pub(crate) cases: usize,
}

impl Cases {
    /// Runs a case, which gives the calls that it made, without faults, with each single one, and with one in so many of
    /// the pairs.
    pub(crate) async fn run(
        ways: &[Way],
        pairs_one_in: usize,
        case: impl AsyncFn(&BTreeMap<usize, Way>) -> usize,
    ) -> Self {
        let calls = case(&BTreeMap::new()).await;
        let (mut cases, mut pairs) = (1, 0);
        for first in 0..calls {
            for way in ways {
                let more = case(&BTreeMap::from([(first, *way)])).await;
                cases += 1;
                for second in first + 1..more {
                    for other in ways {
                        if pairs % pairs_one_in == 0 {
                            case(&BTreeMap::from([(first, *way), (second, *other)])).await;
                            cases += 1;
                        }
                        pairs += 1;
                    }
                }
            }
        }
        println!("{calls} calls, {cases} cases");
        Self { calls, cases }
    }
}
