//! Deliberate bugs, by which the harness itself is tested. They are built in at the ports, as if the stages had them.

use std::{fmt, str::FromStr, sync::Arc};

use bytes::Bytes;
use serde_json::Value;
use stepwell_pipeline::{manifest::CommitManifest, store::ObjectRef};

use crate::{
    state::{Condition, Object, Write},
    world::{Inner, LAKE, WORK},
};

macro_rules! bugs {
    ($($(#[doc = $about:literal])+ $variant:ident = $name:literal,)+) => {
        /// A bug that somebody could build in.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Bug { $($(#[doc = $about])+ $variant,)+ }

        impl Bug {
            /// All of them.
            pub const ALL: &'static [Bug] = &[$(Bug::$variant,)+];

            /// Its name.
            pub fn name(self) -> &'static str {
                match self { $(Bug::$variant => $name,)+ }
            }

            /// What is wrong.
            pub fn about(self) -> &'static str {
                match self { $(Bug::$variant => concat!($($about),+).trim_ascii(),)+ }
            }
        }
    };
}

bugs! {
    /// The first commit of a key is written without `If-None-Match`.
    NoIfNoneMatch = "no-if-none-match",
    /// Later commits are written without `If-Match`.
    NoIfMatch = "no-if-match",
    /// A commit document that was read once is taken for the present one.
    StaleDocument = "stale-document",
    /// The commit is written before the files are copied.
    CommitBeforeData = "commit-before-data",
    /// The files that a commit replaces are removed before it.
    RemovedBeforeCommit = "removed-before-commit",
    /// The files that a commit replaced are not removed.
    ReplacedNotRemoved = "replaced-not-removed",
    /// The commit document forgets which files it replaced.
    ReplacedForgotten = "replaced-forgotten",
    /// The commit document forgets the event's sequencer.
    SequencerForgotten = "sequencer-forgotten",
    /// Sequencers are padded on the left before they are compared.
    SequencerPaddedLeft = "sequencer-padded-left",
    /// Of versions that do not say which is the newer, the one that is loaded last becomes current.
    LatestNotAsked = "latest-not-asked",
    /// All files of the table are copies of the first staged one.
    FirstFileCopied = "first-file-copied",
    /// Staged data of loaded runs stays.
    StagedNotRemoved = "staged-not-removed",
    /// The manifest of `extract` is written before the rejects.
    ManifestBeforeRejects = "manifest-before-rejects",
    /// Rejects are appended to what an attempt before left.
    RejectsAppended = "rejects-appended",
    /// The reasons of the rejects are not written.
    ReasonsNotWritten = "reasons-not-written",
    /// A checkpoint forgets how many records were rejected.
    RejectCountForgotten = "reject-count-forgotten",
    /// `transform` skips a group of parts after a checkpoint.
    ResumeSkipsGroup = "resume-skips-group",
    /// `transform` does a group of parts again after a checkpoint.
    ResumeRepeatsGroup = "resume-repeats-group",
    /// `extract` goes on after a checkpoint without the parts before it.
    ResumeForgetsParts = "resume-forgets-parts",
    /// The source is read without the entity tag that was pinned.
    EtagNotPinned = "etag-not-pinned",
    /// A body that ends early passes for the whole.
    ShortBodyAccepted = "short-body-accepted",
    /// An upload in parts that failed is not given up.
    UploadNotAborted = "upload-not-aborted",
    /// The report is not written.
    ReportNotWritten = "report-not-written",
    /// Nobody remembers that a failure was told.
    NoticeNotRemembered = "notice-not-remembered",
    /// That a failure was told is remembered before it is told.
    NoticeRememberedFirst = "notice-remembered-first",
}

impl fmt::Display for Bug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Bug {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().copied().find(|bug| bug.name() == name);
        found.ok_or_else(|| format!("there is no bug `{name}`"))
    }
}

/// What a write becomes under the bug; nothing where it is not done.
pub(crate) fn write(inner: &mut Inner, write: Write) -> Option<Write> {
    let Some(bug) = inner.bug else { return Some(write) };
    match write {
        Write::Put { at, bytes, condition } => put(inner, bug, at, bytes, condition),
        Write::Copy { from, to } if to.bucket == LAKE && bug == Bug::CommitBeforeData => {
            inner.held_back.push(Write::Copy { from, to });
            None
        }
        Write::Copy { from, to } if bug == Bug::FirstFileCopied => {
            let first = inner.first_copied.get_or_insert(from).clone();
            Some(Write::Copy { from: first, to })
        }
        Write::Delete { objects } => {
            let is_kept = |bucket: &str| objects.iter().any(|at| at.bucket == bucket);
            let is_dropped = match bug {
                Bug::ReplacedNotRemoved => is_kept(LAKE),
                Bug::StagedNotRemoved => is_kept(WORK),
                _ => false,
            };
            (!is_dropped).then_some(Write::Delete { objects })
        }
        Write::Abort { .. } if bug == Bug::UploadNotAborted => None,
        other => Some(other),
    }
}

fn put(inner: &mut Inner, bug: Bug, at: ObjectRef, bytes: Bytes, condition: Condition) -> Option<Write> {
    let condition = match (bug, condition) {
        (Bug::NoIfNoneMatch, Condition::Absent) | (Bug::NoIfMatch, Condition::Unchanged(_)) => Condition::None,
        (_, condition) => condition,
    };
    let is_commit = at.bucket == LAKE && at.key.contains("/_stepwell/commits/");
    let is_checkpoint = at.key.ends_with("checkpoint.json");
    let bytes = match bug {
        Bug::ReplacedForgotten if is_commit => edited(&bytes, |json| json["replaced"] = Value::Array(Vec::new())),
        Bug::SequencerForgotten if is_commit => edited(&bytes, |json| json["run"]["source"]["sequencer"] = Value::Null),
        Bug::RejectCountForgotten if is_checkpoint && at.key.contains("/extract/") => {
            edited(&bytes, |json| json["rejects"]["count"] = 0.into())
        }
        Bug::ResumeForgetsParts if is_checkpoint && at.key.contains("/extract/") => {
            edited(&bytes, |json| json["parts"] = Value::Array(Vec::new()))
        }
        Bug::ResumeSkipsGroup | Bug::ResumeRepeatsGroup if is_checkpoint && at.key.contains("/transform/") => {
            edited(&bytes, |json| {
                let done = json["groups_done"].as_u64().unwrap_or_default();
                let wrong = if bug == Bug::ResumeSkipsGroup { done + 1 } else { done.saturating_sub(1) };
                json["groups_done"] = wrong.into();
            })
        }
        Bug::RejectsAppended if at.key.ends_with("reasons.ndjson") => {
            let before = inner.state.object(&at).map(|object| object.bytes.clone()).unwrap_or_default();
            [before, bytes].concat().into()
        }
        Bug::ReasonsNotWritten if at.key.ends_with("reasons.ndjson") => return None,
        Bug::ReportNotWritten if at.key.ends_with("report.json") => return None,
        Bug::NoticeNotRemembered if at.key.starts_with("notices/") => return None,
        Bug::ManifestBeforeRejects if at.key.contains("/extract/re") => {
            inner.held_back.push(Write::Put { at, bytes, condition });
            return None;
        }
        Bug::RemovedBeforeCommit if is_commit => {
            remove_current(inner, &at);
            bytes
        }
        _ => bytes,
    };
    Some(Write::Put { at, bytes, condition })
}

/// Writes what was held back, once another call is made after what it should have come before.
pub(crate) fn before_call(inner: &mut Inner) {
    let trigger = match inner.bug {
        Some(Bug::CommitBeforeData) => "/_stepwell/commits/",
        Some(Bug::ManifestBeforeRejects) => "/extract/manifest.json",
        _ => return,
    };
    if inner.last_written.as_ref().is_some_and(|at| at.key.contains(trigger)) {
        for write in std::mem::take(&mut inner.held_back) {
            let _ = inner.write(write);
        }
    }
}

fn remove_current(inner: &mut Inner, document: &ObjectRef) {
    let Some(object) = inner.state.object(document) else { return };
    let Ok(current) = serde_json::from_slice::<CommitManifest>(&object.bytes) else { return };
    let objects = current.keys().into_iter().map(|key| ObjectRef::new(LAKE, key)).collect();
    let _ = inner.write(Write::Delete { objects });
}

fn edited(bytes: &Bytes, edit: impl FnOnce(&mut Value)) -> Bytes {
    let Ok(mut json) = serde_json::from_slice::<Value>(bytes) else { return bytes.clone() };
    edit(&mut json);
    serde_json::to_vec_pretty(&json).map(Bytes::from).unwrap_or_default()
}

/// What a read gives under the bug.
pub(crate) fn read(inner: &mut Inner, at: &ObjectRef, object: Arc<Object>) -> Arc<Object> {
    let is_commit = at.bucket == LAKE && at.key.contains("/_stepwell/commits/");
    match inner.bug {
        Some(Bug::StaleDocument) if is_commit => {
            let bytes = inner.stale.entry(at.clone()).or_insert_with(|| object.bytes.clone()).clone();
            Arc::new(object.with_bytes(bytes))
        }
        Some(Bug::SequencerPaddedLeft) if is_commit => Arc::new(object.with_bytes(edited(&object.bytes, |json| {
            let sequencer = &mut json["run"]["source"]["sequencer"];
            let text = sequencer.as_str().unwrap_or_default().to_owned();
            if text.len() < SEQUENCER_LENGTH {
                *sequencer = format!("{text:0>SEQUENCER_LENGTH$}").into();
            }
        }))),
        Some(Bug::LatestNotAsked) if is_commit => Arc::new(object.with_bytes(edited(&object.bytes, |json| {
            json["run"]["source"]["version"] = "not the latest".into();
        }))),
        _ => object,
    }
}

/// The length of the longest sequencers of the scenarios.
const SEQUENCER_LENGTH: usize = 18;

/// A look at a mark that is not there.
pub(crate) fn missed(inner: &mut Inner, at: &ObjectRef) {
    if inner.bug == Some(Bug::NoticeRememberedFirst) && at.key.starts_with("notices/") {
        let write = Write::Put { at: at.clone(), bytes: Bytes::from_static(b"told"), condition: Condition::None };
        let _ = inner.write(write);
    }
}
