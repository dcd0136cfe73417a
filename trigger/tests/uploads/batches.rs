//! Generated batches: any order, duplicates, wrappings, and poison at any place.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::{Value, json};
use stepwell_pipeline::ErrorKind;

use super::world::{Place, RECEIVES_MAX, World, bridge, by_sns, by_sns_directly, fixture, notification, spec};

/// What becomes of one object, or of what should be one.
#[derive(Clone, Debug)]
enum Part {
    /// `all` wants it, and `csv` too where it is one.
    Wanted(u8, bool),
    /// `all` wants it, and a pipeline whose spec is wrong might.
    Suspected(u8),
    Nobodys,
    NoUtf8,
    Deleted(u8),
    Folder,
}

impl Part {
    fn key(&self) -> String {
        match self {
            Self::Wanted(number, true) => format!("in/{number}.csv"),
            Self::Wanted(number, false) | Self::Deleted(number) => format!("in/{number}.txt"),
            Self::Suspected(number) => format!("in/{number}.json"),
            Self::Nobodys => "out/a.csv".to_owned(),
            Self::NoUtf8 => "in/%FF".to_owned(),
            Self::Folder => "in/".to_owned(),
        }
    }

    fn pipelines(&self) -> &[&str] {
        match self {
            Self::Wanted(_, true) => &["all", "csv"],
            Self::Wanted(_, false) | Self::Suspected(_) => &["all"],
            _ => &[],
        }
    }

    /// The error and the pipeline of what can never be handled.
    fn poison(&self) -> Option<(&str, Option<&str>)> {
        match self {
            Self::Suspected(_) => Some(("InvalidSpec", Some("wrong"))),
            Self::Nobodys => Some(("NoPipeline", None)),
            Self::NoUtf8 => Some(("InvalidInput", None)),
            _ => None,
        }
    }
}

#[derive(Clone, Debug)]
enum Message {
    /// A notification of several objects.
    Classic(Vec<Part>),
    /// Several events of one object each, which SNS sent to a function.
    Bridges(Vec<Part>),
    Test,
    NoJson(String),
    Unknown,
}

/// A message and how often SNS wrapped it.
type Wrapped = (Message, usize);

impl Message {
    fn parts(&self) -> &[Part] {
        match self {
            Self::Classic(parts) | Self::Bridges(parts) => parts,
            _ => &[],
        }
    }

    /// What its dead letter may name as the error, and the pipeline; nothing where it is to leave none.
    fn letter(&self) -> Option<(BTreeSet<String>, Option<String>)> {
        if matches!(self, Self::NoJson(_) | Self::Unknown) {
            return Some((["InvalidInput".to_owned()].into(), None));
        }
        let poison: Vec<_> = self.parts().iter().filter_map(Part::poison).collect();
        let errors: BTreeSet<String> = poison.iter().map(|(error, _)| (*error).to_owned()).collect();
        let pipeline = poison.iter().find_map(|(_, pipeline)| pipeline.map(str::to_owned));
        (!errors.is_empty()).then_some((errors, pipeline))
    }

    fn event(&self) -> Value {
        match self {
            Self::Classic(parts) => {
                let keys: Vec<String> = parts.iter().map(Part::key).collect();
                let mut event = notification(&keys.iter().map(String::as_str).collect::<Vec<_>>());
                for (record, part) in event["Records"].as_array_mut().unwrap().iter_mut().zip(parts) {
                    if matches!(part, Part::Deleted(_)) {
                        record["eventName"] = json!("ObjectRemoved:Delete");
                    }
                }
                event
            }
            Self::Bridges(parts) => {
                let event = |part: &Part| match part {
                    // Such a key comes encoded only.
                    Part::NoUtf8 => notification(&[&part.key()]),
                    Part::Deleted(_) => fixture(include_str!("../fixtures/object-deleted.json")),
                    _ => bridge(&part.key()),
                };
                by_sns_directly(&parts.iter().map(event).collect::<Vec<_>>())
            }
            Self::Test => fixture(include_str!("../fixtures/test-event.json")),
            Self::Unknown => json!({"detail-type": "Object", "hello": 1}),
            Self::NoJson(text) => json!(text),
        }
    }

    fn body(&self, wrappings: usize) -> String {
        let mut body = match self {
            Self::NoJson(text) => text.clone(),
            message => message.event().to_string(),
        };
        for _ in 0..wrappings {
            let mut notification = by_sns(&json!(null));
            notification["Message"] = json!(body);
            body = notification.to_string();
        }
        body
    }
}

fn part() -> impl Strategy<Value = Part> {
    prop_oneof![
        6 => (0..6_u8, any::<bool>()).prop_map(|(number, is_csv)| Part::Wanted(number, is_csv)),
        1 => (0..3_u8).prop_map(Part::Suspected),
        1 => Just(Part::Nobodys),
        1 => Just(Part::NoUtf8),
        1 => (0..6_u8).prop_map(Part::Deleted),
        1 => Just(Part::Folder),
    ]
}

fn messages() -> impl Strategy<Value = Vec<Wrapped>> {
    let message = prop_oneof![
        4 => prop::collection::vec(part(), 1..4).prop_map(Message::Classic),
        4 => prop::collection::vec(part(), 1..4).prop_map(Message::Bridges),
        1 => Just(Message::Test),
        1 => "[a-z{]{0,5}".prop_filter("no JSON", |text| serde_json::from_str::<Value>(text).is_err())
            .prop_map(Message::NoJson),
        1 => Just(Message::Unknown),
    ];
    let wrapped = (message, 0..3_usize);
    // Some of them twice, anywhere.
    let doubled = (prop::collection::vec(wrapped, 1..12), prop::collection::vec(any::<prop::sample::Index>(), 0..4));
    doubled
        .prop_map(|(mut messages, doubles)| {
            let doubles: Vec<_> = doubles.iter().map(|index| index.get(&messages).clone()).collect();
            messages.extend(doubles);
            messages
        })
        .prop_shuffle()
}

/// How often starting fails before it succeeds, by pipeline and key.
fn moods(times: std::ops::Range<u32>) -> impl Strategy<Value = BTreeMap<Place, u32>> {
    let place = (prop::sample::select(vec!["all", "csv"]), (0..6_u8, any::<bool>())).prop_map(|(pipeline, object)| {
        let (number, is_csv) = object;
        (pipeline.to_owned(), Part::Wanted(number, is_csv).key())
    });
    prop::collection::btree_map(place, times, 0..4)
}

async fn world() -> World {
    let wrong = spec("wrong", "match: 'in/*.json'").replace("string", "sting");
    let all = spec("all", "match: 'in/*'");
    World::of(&[("all", all), ("csv", spec("csv", "match: 'in/*.csv'")), ("wrong", wrong)]).await
}

/// Lets the queue deliver in batches until nothing is left.
async fn drain(world: &World, bodies: &[String], batch: usize) {
    let mut queue: Vec<(String, u32)> = bodies.iter().map(|body| (body.clone(), 1)).collect();
    while !queue.is_empty() {
        let mut next = Vec::new();
        for delivered in queue.chunks(batch) {
            let again = world.deliver(delivered).await;
            for number in again {
                let (body, receives) = &delivered[number];
                assert!(*receives < RECEIVES_MAX, "the queue would move it without a reason: {body}");
                next.push((body.clone(), receives + 1));
            }
        }
        queue = next;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn good_objects_start_what_wants_them_and_each_poison_leaves_one_letter(
        messages in messages(),
        // Less often than the queue delivers.
        moods in moods(1..RECEIVES_MAX),
        batch in 1..11_usize,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let world = world().await;
            let failures = moods.into_iter().map(|(place, times)| (place, (times, ErrorKind::Throttled)));
            world.machine.failures.lock().unwrap().extend(failures);
            let bodies: Vec<String> = messages.iter().map(|(message, wrappings)| message.body(*wrappings)).collect();
            drain(&world, &bodies, batch).await;

            let wanted: BTreeSet<Place> = messages
                .iter()
                .flat_map(|(message, _)| message.parts())
                .flat_map(|part| part.pipelines().iter().map(|pipeline| ((*pipeline).to_owned(), part.key())))
                .collect();
            prop_assert_eq!(world.started(), wanted);

            let mut letters = world.take_buried();
            for ((message, _), body) in messages.iter().zip(&bodies) {
                let Some((errors, pipeline)) = message.letter() else { continue };
                let place = letters.iter().position(|(buried, _)| buried == body);
                let Some(place) = place else { panic!("no letter for {message:?}") };
                let (_, cause) = letters.remove(place);
                prop_assert!(errors.contains(&cause.error), "{:?} {:?}", errors, cause);
                prop_assert_eq!(&cause.pipeline, &pipeline);
                prop_assert!(!cause.message.is_empty());
            }
            prop_assert_eq!(letters, []);
            Ok(())
        })?;
    }

    #[test]
    fn what_fails_to_the_last_leaves_a_letter_and_nothing_is_lost(
        messages in messages(),
        moods in moods(1..3 * RECEIVES_MAX),
        batch in 1..11_usize,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let world = world().await;
            let failures = moods.into_iter().map(|(place, times)| (place, (times, ErrorKind::Throttled)));
            world.machine.failures.lock().unwrap().extend(failures);
            let bodies: Vec<String> = messages.iter().map(|(message, wrappings)| message.body(*wrappings)).collect();
            drain(&world, &bodies, batch).await;

            let (started, mut letters) = (world.started(), world.take_buried());
            for ((message, _), body) in messages.iter().zip(&bodies) {
                let wanted = message.parts().iter().flat_map(|part| {
                    part.pipelines().iter().map(|pipeline| ((*pipeline).to_owned(), part.key()))
                });
                let missing = wanted.filter(|place| !started.contains(place)).count();
                let Some(place) = letters.iter().position(|(buried, _)| buried == body) else {
                    prop_assert!(missing == 0 && message.letter().is_none(), "{:?} is lost", message);
                    continue;
                };
                let (_, cause) = letters.remove(place);
                let poison = message.letter().map(|(errors, _)| errors);
                let expected = poison.unwrap_or_else(|| ["Throttled".to_owned()].into());
                prop_assert!(expected.contains(&cause.error), "{:?} {:?}", expected, cause);
            }
            prop_assert_eq!(letters, []);
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn a_batch_without_trouble_returns_nothing_and_is_done_at_once() {
    let world = world().await;
    let good = |number: u8| Message::Classic(vec![Part::Wanted(number, true)]).body(0);
    let poison = Message::Unknown.body(1);
    let bodies = [good(1), poison.clone(), good(2), good(1), Message::NoJson("{".into()).body(0), good(3)];
    let delivered: Vec<(String, u32)> = bodies.iter().map(|body| (body.clone(), 1)).collect();
    assert_eq!(world.deliver(&delivered).await, [].into());
    assert_eq!(world.started().len(), 6);
    let buried: Vec<String> = world.take_buried().into_iter().map(|(body, _)| body).collect();
    assert_eq!(buried, [poison, "{".to_owned()]);
}
