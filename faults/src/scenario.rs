//! Scenarios: what happens outside, and a model of what the destination must hold afterwards. The model knows nothing
//! of Stepwell but its promise.

use std::{collections::BTreeMap, io::Write as _, sync::LazyLock};

use bytes::Bytes;
use stepwell_pipeline::store::ObjectRef;

use crate::{state, world::LANDING};

/// A record of a table, as a reader sees it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    /// The column `id`.
    pub id: i64,
    /// The column `day`.
    pub day: String,
    /// The column `amount`.
    pub amount: i64,
    /// The derived column `twice`.
    pub twice: i64,
}

/// The header of every source.
pub const HEADER: &str = "id,day,amount";

/// A pipeline's spec, as far as scenarios vary it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Spec {
    /// The pipeline's name, and its folder in the landing bucket and in the lake.
    pub pipeline: &'static str,
    /// The SQL leaves out records with a smaller amount.
    pub least_amount: i64,
    /// How many rejects a run may have.
    pub tolerate: usize,
    /// Whether the table is partitioned by day.
    pub partitioned: bool,
}

impl Spec {
    /// The spec as a person writes it.
    pub fn text(&self) -> String {
        let Self { pipeline, least_amount, tolerate, partitioned } = self;
        let partition_by = if *partitioned { ", partition_by: [day]" } else { "" };
        format!(
            "pipeline: {pipeline}\nsource: {{ match: \"{pipeline}/*.csv*\" }}\nschema:\n  \
             - {{ name: id, type: int32, required: true }}\n  - {{ name: day, type: string }}\n  \
             - {{ name: amount, type: int32 }}\nrejects: {{ tolerate: \"{tolerate}\" }}\ntransform:\n  \
             sql: SELECT id, day, amount, amount + amount AS twice FROM input WHERE amount >= {least_amount}\n\
             load: {{ target: parquet, path: lake/{pipeline}/{partition_by} }}\n"
        )
    }
}

/// A version of an object.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Version {
    /// The key.
    pub key: String,
    /// The lines after the header.
    pub lines: Vec<String>,
    /// Its place in the order of uploads of the key.
    pub number: u32,
    /// Whether it is compressed.
    pub gzip: bool,
    /// Whether an event tells of its upload; else somebody starts its run by hand.
    pub is_told: bool,
}

/// What a line is.
enum Line {
    Accepted(Row),
    Rejected,
}

fn read(line: &str) -> Line {
    let [id, day, amount] = line.split(',').collect::<Vec<_>>()[..] else { return Line::Rejected };
    match (id.parse::<i32>(), amount.parse::<i32>()) {
        (Ok(id), Ok(amount)) => {
            let amount = i64::from(amount);
            Line::Accepted(Row { id: id.into(), day: day.to_owned(), amount, twice: 2 * amount })
        }
        _ => Line::Rejected,
    }
}

impl Version {
    /// The object's place.
    pub fn place(&self) -> ObjectRef {
        ObjectRef::new(LANDING, &self.key)
    }

    /// The text of the object.
    pub fn text(&self) -> String {
        std::iter::once(HEADER).chain(self.lines.iter().map(String::as_str)).map(|line| format!("{line}\n")).collect()
    }

    /// The object's bytes.
    pub fn bytes(&self) -> Bytes {
        let text = self.text();
        if !self.gzip {
            return text.into();
        }
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        // Writing to memory does not fail.
        let _ = encoder.write_all(text.as_bytes());
        encoder.finish().unwrap_or_default().into()
    }

    /// The object's entity tag.
    pub fn etag(&self) -> String {
        state::etag(&self.bytes())
    }

    /// S3's sequencer of the upload's event, if there is one. They are of unequal length, as S3's may be.
    pub fn sequencer(&self) -> Option<String> {
        let number = self.number;
        let tail = if (number / 10).is_multiple_of(2) { "" } else { "00C1" };
        self.is_told.then(|| format!("0055AED6DCD9{number:02X}{tail}"))
    }

    /// The records that fit the schema.
    pub fn accepted(&self) -> Vec<Row> {
        let row = |line: &String| match read(line) {
            Line::Accepted(row) => Some(row),
            Line::Rejected => None,
        };
        self.lines.iter().filter_map(row).collect()
    }

    /// The lines that do not, with their numbers in the object, from 1.
    pub fn rejected(&self) -> Vec<(u64, &str)> {
        let numbered = self.lines.iter().zip(2..);
        numbered
            .filter(|(line, _)| matches!(read(line), Line::Rejected))
            .map(|(line, number)| (number, line.as_str()))
            .collect()
    }

    /// The records that the destination holds of it under a spec.
    pub fn loaded(&self, spec: &Spec) -> Vec<Row> {
        self.accepted().into_iter().filter(|row| row.amount >= spec.least_amount).collect()
    }
}

/// Something that happens outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Somebody publishes a spec.
    Publish(Spec),
    /// Somebody uploads an object.
    Upload(Version),
    /// The execution for a version runs.
    Run {
        /// The pipeline.
        pipeline: &'static str,
        /// The version.
        version: Version,
    },
}

/// A course of things, in which every call of every stage may fail.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Its name in a case.
    pub name: &'static str,
    /// What it is about.
    pub about: &'static str,
    /// What happens.
    pub steps: Vec<Step>,
    /// Whether the landing bucket keeps versions, as the shipped template's does.
    pub versioned: bool,
    /// Whether functions have so little time that each round ends as soon as it can.
    pub hurried: bool,
    /// Whether everything is read and written in pieces of a few bytes.
    pub in_pieces: bool,
}

/// How a run must end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Expected {
    /// Its records are the table's.
    Current,
    /// A newer version's are.
    Superseded,
    /// It has more rejects than are tolerated.
    TooManyRejects,
}

/// What the destination must hold, by pipeline and key, and what was run.
#[derive(Clone, Debug, Default, Hash)]
pub struct Model {
    specs: BTreeMap<&'static str, Spec>,
    current: BTreeMap<(&'static str, String), (Spec, Version)>,
    /// What the last run replaced.
    before: Option<(Spec, Version)>,
    /// The versions whose last execution failed, since they were replaced meanwhile.
    pub failed: Vec<Version>,
    /// The versions that were run under a spec, and how that ended.
    pub runs: Vec<(Spec, Version, Expected)>,
}

impl Model {
    /// A spec was published.
    pub fn publish(&mut self, spec: Spec) {
        self.specs.insert(spec.pipeline, spec);
    }

    /// A version is run; says how it must end.
    pub fn run(&mut self, pipeline: &'static str, version: &Version) -> Option<Expected> {
        let spec = self.specs.get(pipeline)?.clone();
        let key = (pipeline, version.key.clone());
        self.before = self.current.get(&key).cloned();
        let expected = if version.rejected().len() > spec.tolerate {
            Expected::TooManyRejects
        } else if self.current.get(&key).is_some_and(|(_, current)| current.number > version.number) {
            Expected::Superseded
        } else {
            self.current.insert(key, (spec.clone(), version.clone()));
            Expected::Current
        };
        self.runs.push((spec, version.clone(), expected));
        Some(expected)
    }

    /// The last run ended in failure, since its object was replaced meanwhile.
    pub fn forget_last_run(&mut self) {
        if let Some((spec, version, _)) = self.runs.pop() {
            self.failed.push(version.clone());
            let key = (spec.pipeline, version.key);
            match self.before.take() {
                Some(before) => self.current.insert(key, before),
                None => self.current.remove(&key),
            };
        }
    }

    /// The versions that are current of a pipeline's table, by key.
    pub fn current(&self, pipeline: &str) -> impl Iterator<Item = &(Spec, Version)> {
        self.current.iter().filter(move |((of, _), _)| *of == pipeline).map(|(_, current)| current)
    }

    /// The version that was loaded last.
    pub fn newest(&self) -> Option<(&'static str, Version)> {
        let loaded = self.current.iter().max_by_key(|(_, (_, version))| version.number);
        loaded.map(|((pipeline, _), (_, version))| (*pipeline, version.clone()))
    }

    /// The pipelines that were published.
    pub fn pipelines(&self) -> impl Iterator<Item = &'static str> {
        self.specs.keys().copied()
    }
}

fn spec() -> Spec {
    Spec { pipeline: "sales", least_amount: 0, tolerate: 3, partitioned: false }
}

fn version(number: u32, lines: &[&str]) -> Version {
    Version {
        key: "sales/shop.csv".to_owned(),
        lines: lines.iter().map(|line| (*line).to_owned()).collect(),
        number,
        gzip: false,
        is_told: true,
    }
}

fn first() -> Version {
    version(10, &["1,mon,10", "2,mon,-20", "3,tue,30", "4,wed,40"])
}

fn second() -> Version {
    version(20, &["1,mon,11", "3,tue,-30", "5,thu,51", "6,fri,60", "7,fri,70"])
}

/// What an intruder uploads over a version while it is read, after the upload of that number.
pub fn intruder(over: &Version, after: u32) -> Version {
    let lines = ["91,sat,910", "92,sun,920", "93,sun,-1"].map(str::to_owned).to_vec();
    Version { lines, number: after + 5, ..over.clone() }
}

fn run(version: &Version) -> Step {
    Step::Run { pipeline: "sales", version: version.clone() }
}

fn upload(version: &Version) -> Step {
    Step::Upload(version.clone())
}

fn scenario(name: &'static str, about: &'static str, steps: Vec<Step>) -> Scenario {
    Scenario { name, about, steps, versioned: true, hurried: false, in_pieces: false }
}

/// All scenarios.
pub static SCENARIOS: LazyLock<Vec<Scenario>> = LazyLock::new(|| {
    let (one, two) = (first(), second());
    let rejects = version(10, &["1,mon,10", "x,mon,20", "3,tue,ten", "4,tue,-4", "5,wed,50,9", "6,wed,60"]);
    let gzip = Version { key: "sales/shop.csv.gz".to_owned(), gzip: true, ..rejects.clone() };
    let partitioned = Spec { partitioned: true, ..spec() };
    let other = Spec { pipeline: "refunds", least_amount: -100, ..spec() };
    let other_version = Version { key: "refunds/shop.csv".to_owned(), ..two.clone() };
    let mended = Spec { least_amount: 20, tolerate: 3, ..spec() };
    let strict = Spec { tolerate: 2, ..spec() };
    let again = Version { number: 30, ..one.clone() };
    let (untold_one, untold_two) =
        (Version { is_told: false, ..one.clone() }, Version { is_told: false, ..two.clone() });
    vec![
        scenario("new", "one new object", vec![Step::Publish(spec()), upload(&one), run(&one)]),
        scenario(
            "again",
            "the same object version a second time",
            vec![Step::Publish(spec()), upload(&one), run(&one), run(&one)],
        ),
        scenario(
            "newer",
            "a newer version replaces an older",
            vec![Step::Publish(spec()), upload(&one), run(&one), upload(&two), run(&two)],
        ),
        scenario(
            "late",
            "an older version arrives after the newer",
            vec![Step::Publish(spec()), upload(&one), upload(&two), run(&two), run(&one)],
        ),
        scenario(
            "untold",
            "two versions of one second, whose runs are started by hand, the newer first",
            vec![Step::Publish(spec()), upload(&untold_one), upload(&untold_two), run(&untold_two), run(&untold_one)],
        ),
        scenario(
            "two-pipelines",
            "the keys of two pipelines side by side",
            vec![
                Step::Publish(spec()),
                Step::Publish(other),
                upload(&one),
                upload(&other_version),
                run(&one),
                Step::Run { pipeline: "refunds", version: other_version },
            ],
        ),
        scenario(
            "mended",
            "too many rejects, then a mended spec and a new execution, then the old spec's text again",
            vec![
                Step::Publish(strict.clone()),
                upload(&rejects),
                run(&rejects),
                Step::Publish(mended.clone()),
                run(&rejects),
            ],
        ),
        scenario(
            "reverted",
            "a spec that was changed and is changed back, each time with a new execution",
            vec![
                Step::Publish(spec()),
                upload(&one),
                run(&one),
                Step::Publish(mended),
                run(&one),
                Step::Publish(spec()),
                run(&one),
            ],
        ),
        scenario("gzip", "a compressed object", vec![Step::Publish(spec()), upload(&gzip), run(&gzip)]),
        scenario(
            "partitioned",
            "a partitioned table whose partitions change",
            vec![Step::Publish(partitioned.clone()), upload(&one), run(&one), upload(&two), run(&two)],
        ),
        scenario("rejects", "an object with rejects", vec![Step::Publish(spec()), upload(&rejects), run(&rejects)]),
        scenario(
            "too-many-rejects",
            "an object with more rejects than are tolerated",
            vec![Step::Publish(strict), upload(&rejects), run(&rejects)],
        ),
        Scenario {
            hurried: true,
            in_pieces: true,
            ..scenario(
                "rounds",
                "functions that must come back for every part and group",
                vec![Step::Publish(partitioned), upload(&rejects), run(&rejects)],
            )
        },
        Scenario {
            in_pieces: true,
            ..scenario(
                "pieces",
                "ranged reads and uploads in parts",
                vec![Step::Publish(spec()), upload(&rejects), run(&rejects)],
            )
        },
        Scenario {
            versioned: false,
            in_pieces: true,
            ..scenario(
                "unversioned",
                "a landing bucket without versions, whose object may change while it is read",
                vec![Step::Publish(spec()), upload(&one), run(&one)],
            )
        },
        Scenario {
            versioned: false,
            ..scenario(
                "returning",
                "a landing bucket without versions, where an older content comes back",
                vec![
                    Step::Publish(spec()),
                    upload(&one),
                    run(&one),
                    upload(&two),
                    run(&two),
                    upload(&again),
                    run(&again),
                ],
            )
        },
    ]
});

/// The scenario of that name.
pub fn find(name: &str) -> Option<&'static Scenario> {
    SCENARIOS.iter().find(|scenario| scenario.name == name)
}
