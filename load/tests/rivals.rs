//! Many runs at once on few keys: no commit is lost, and each follows the one before.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

mod trips;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use rand::{Rng, SeedableRng, rngs::StdRng};
use stepwell_load::load;
use stepwell_pipeline::{
    ErrorKind,
    handoff::{Commit, Loaded, Round},
    manifest::CommitManifest,
    stage::StageContext,
    store::{self, ObjectRef},
};
use tokio::task::JoinSet;
use trips::{SPEC, context, of_key, table};

const RIVALS: u64 = 64;
const RUNS: u64 = 10_000;
const KEYS: usize = 4;

struct Shared {
    context: StageContext,
    /// The newest sequencer of each key.
    sequencers: [AtomicU64; KEYS],
    runs: AtomicU64,
    conflicts: AtomicU64,
}

/// What became of the runs of a key.
#[derive(Default)]
struct Tally {
    committed: u64,
    newest: u64,
    document: String,
}

async fn carry_out(shared: &Shared, key: usize, sequencer: u64) -> Loaded {
    let name = format!("in/{key}.csv");
    loop {
        let asked =
            of_key(&shared.context, &name, &format!("{key}-{sequencer:06}"), &format!("{sequencer:08X}"), SPEC).await;
        match load(&shared.context, asked).await {
            Ok(Round::Done(loaded)) => return loaded,
            Ok(Round::More(_)) => {}
            Err(error) if error.kind() == ErrorKind::Conflict => {
                shared.conflicts.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => panic!("{}", error.report()),
        }
    }
}

async fn rival(shared: Arc<Shared>, number: u64) -> Vec<(usize, u64, Loaded)> {
    let mut random = StdRng::seed_from_u64(number);
    let mut loaded = Vec::new();
    while shared.runs.fetch_add(1, Ordering::Relaxed) < RUNS {
        let key = random.random_range(0..KEYS);
        let newest = shared.sequencers[key].fetch_add(1, Ordering::Relaxed) + 1;
        loaded.push((key, newest, carry_out(&shared, key, newest).await));
        tokio::task::yield_now().await;
    }
    loaded
}

#[tokio::test(flavor = "multi_thread")]
async fn no_commit_is_lost() {
    let shared = Arc::new(Shared {
        context: context(),
        sequencers: Default::default(),
        runs: AtomicU64::new(0),
        conflicts: AtomicU64::new(0),
    });
    let mut rivals = JoinSet::new();
    for number in 0..RIVALS {
        rivals.spawn(rival(shared.clone(), number));
    }
    let mut tallies: BTreeMap<usize, Tally> = BTreeMap::new();
    for (key, sequencer, loaded) in rivals.join_all().await.into_iter().flatten() {
        let tally = tallies.entry(key).or_default();
        tally.committed += u64::from(loaded.commit == Commit::Committed);
        tally.newest = tally.newest.max(sequencer);
        tally.document = loaded.manifest;
    }
    let mut expected = Vec::new();
    for (key, tally) in &tallies {
        let document = ObjectRef::new("lake", &tally.document);
        let current: CommitManifest =
            store::get_json(&*shared.context.stores, &document).await.unwrap().expect("a commit document");
        // Every commit takes the next generation of the one that it saw: as many as there were commits.
        assert_eq!(current.generation + 1, tally.committed, "the history of key {key} is a line");
        assert_eq!(current.run.source.sequencer, Some(format!("{:08X}", tally.newest)));
        expected.extend([format!("{key}-{:06}", tally.newest), format!("{key}-{:06}", tally.newest)]);
    }
    expected.sort();
    assert_eq!(table(&shared.context).await, expected, "the newest version of each key, and nothing else");
    let committed: u64 = tallies.values().map(|tally| tally.committed).sum();
    println!("{RUNS} runs, {committed} commits, {} conflicts", shared.conflicts.load(Ordering::Relaxed));
}
