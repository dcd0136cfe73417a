//! Who goes on where several invocations are under way.

use std::task::Poll;

use rand::{Rng, SeedableRng, rngs::SmallRng};

/// When others go on around a call.
#[derive(Debug, Default)]
pub(crate) enum Turns {
    /// Never: one call follows the other.
    #[default]
    Never,
    /// Before each call and after it, as the test polls them.
    EachCall,
    /// Before a call, as often as chance has it.
    ByChance(SmallRng),
    /// Before a call; earlier calls take longer than later ones.
    Uneven,
}

/// How often others go on before a call, and after it.
pub(super) struct Around {
    pub(super) before: usize,
    pub(super) after: usize,
}

impl Turns {
    pub(crate) fn by_chance(seed: u64) -> Self {
        Self::ByChance(SmallRng::seed_from_u64(seed))
    }

    /// What the call of a number waits for.
    pub(super) fn around(&mut self, number: usize) -> Around {
        let (before, after) = match self {
            Self::Never => (0, 0),
            Self::EachCall => (1, 1),
            // Now and then for so long that another does its whole work meanwhile.
            Self::ByChance(random) => (if random.random_ratio(1, 16) { 100 } else { random.random_range(0..4) }, 0),
            Self::Uneven => (60_usize.saturating_sub(number), 0),
        };
        Around { before, after }
    }
}

/// Lets others go on so many times.
pub(super) async fn wait(turns: usize) {
    let mut left = turns;
    std::future::poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(());
        }
        left -= 1;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
