//! A run: one version of one object, or of one list of objects, through one pipeline.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{request::RunRequest, stage::Stage, store::ObjectRef};

/// Where data on its way through the stages is in the work bucket.
pub const STAGED_PREFIX: &str = "staged/";

/// The object that a run reads, pinned to one version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The bucket that holds the object.
    pub bucket: String,
    /// The object's key.
    pub key: String,
    /// The version id, in versioned buckets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The entity tag, without quotes.
    pub etag: String,
    /// The size in bytes.
    pub size: u64,
    /// When this version was written, in milliseconds since 1970.
    pub modified_ms: i64,
    /// The event's sequencer, where an event started the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequencer: Option<String>,
}

/// A run, as every handoff carries it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// The run's id: the same object version and pipeline always give the same.
    pub id: String,
    /// The pipeline's name.
    pub pipeline: String,
    /// SHA-256 of the pinned spec, in hexadecimal.
    pub spec_digest: String,
    /// What the run reads.
    pub source: Source,
}

impl Run {
    /// The run of one pinned object through one pipeline.
    pub fn new(pipeline: &str, spec_digest: &str, source: Source) -> Self {
        let pinned = source.version.as_deref().unwrap_or(&source.etag);
        let id = Self::id_of(pipeline, &source.bucket, &source.key, pinned);
        Self { id, pipeline: pipeline.to_owned(), spec_digest: spec_digest.to_owned(), source }
    }

    /// The id of the run of an object's version (the version id, in buckets without versions the entity tag).
    pub(crate) fn id_of(pipeline: &str, bucket: &str, key: &str, version: &str) -> String {
        format!("{pipeline}-{}", short_hash(&[pipeline, bucket, key, version]))
    }

    /// Puts the run's id on every further line that the present call writes to the log. The call's span must have a
    /// field `run_id`.
    pub fn log_id(&self) {
        tracing::Span::current().record("run_id", self.id.as_str());
    }

    /// The prefix under which everything of the run lives, whatever its spec; ends in `/`.
    pub fn home(id: &str) -> String {
        format!("runs/{id}/")
    }

    /// The prefix of what the run made under its present spec; ends in `/`.
    ///
    /// It holds the spec's digest, so that a mended spec finds none of the work done under the old one, and two
    /// executions under different specs never write the same key.
    pub fn prefix(&self) -> String {
        format!("{}{}/", Self::home(&self.id), self.spec_short())
    }

    /// The key of something that a stage of the run writes into the work bucket.
    pub fn stage_key(&self, stage: Stage, name: &str) -> String {
        format!("{}{}/{name}", self.prefix(), stage.name().to_lowercase())
    }

    /// The prefix of what the run's stages make for each other under its present spec; ends in `/`. Once the run is
    /// loaded nobody needs it.
    pub fn staged_prefix(&self) -> String {
        format!("{STAGED_PREFIX}{}/{}/", self.id, self.spec_short())
    }

    /// The key of something that a stage of the run makes for itself or the next.
    pub fn staged_key(&self, stage: Stage, name: &str) -> String {
        format!("{}{}/{name}", self.staged_prefix(), stage.name().to_lowercase())
    }

    /// The key of the run's pinned spec in the work bucket.
    pub fn spec_key(&self) -> String {
        format!("{}spec.yaml", self.prefix())
    }

    /// The name that the run's data files begin with.
    pub fn file_stem(&self) -> String {
        format!("{}-{}", self.id, self.spec_short())
    }

    /// The object that the run reads.
    pub fn source_ref(&self) -> ObjectRef {
        ObjectRef::new(&self.source.bucket, &self.source.key)
    }

    fn spec_short(&self) -> &str {
        self.spec_digest.get(..12).unwrap_or(&self.spec_digest)
    }
}

/// The name of the execution that a request from an event starts: at most 80 characters of `[0-9A-Za-z_-]`
/// (AWS Step Functions API, `StartExecution`), the same for every repetition of the event.
pub fn execution_name(pipeline: &str, request: &RunRequest) -> String {
    let pinned = request.version.as_deref().or(request.etag.as_deref()).unwrap_or_default();
    let sequencer = request.sequencer.as_deref().unwrap_or_default();
    format!("{pipeline}-{}", short_hash(&[pipeline, &request.bucket, &request.key, pinned, sequencer]))
}

/// SHA-256 in hexadecimal.
pub fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// A digest of a list of words, 80 bits in hexadecimal: short enough for names, too long for accidents.
pub fn short_hash(words: &[&str]) -> String {
    let mut hash = Sha256::new();
    for word in words {
        hash.update((word.len() as u64).to_le_bytes());
        hash.update(word.as_bytes());
    }
    hex(&hash.finalize()[..10])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        for nibble in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(version: Option<&str>, etag: &str) -> Source {
        Source {
            bucket: "landing".into(),
            key: "in/a.csv".into(),
            version: version.map(Into::into),
            etag: etag.into(),
            size: 1,
            modified_ms: 0,
            sequencer: None,
        }
    }

    #[test]
    fn the_run_id_hangs_on_pipeline_and_pinned_version_alone() {
        let run = Run::new("p", "d1", source(None, "e1"));
        assert_eq!(run.id, Run::new("p", "d2", source(None, "e1")).id);
        assert_ne!(run.id, Run::new("p", "d1", source(None, "e2")).id);
        assert_ne!(run.id, Run::new("q", "d1", source(None, "e1")).id);
        assert_eq!(Run::new("p", "d", source(Some("v"), "e1")).id, Run::new("p", "d", source(Some("v"), "e2")).id);
    }

    #[test]
    fn another_spec_writes_other_keys() {
        let one = Run::new("p", &digest(b"one"), source(None, "e"));
        let two = Run::new("p", &digest(b"two"), source(None, "e"));
        assert_ne!(one.stage_key(Stage::Extract, "manifest.json"), two.stage_key(Stage::Extract, "manifest.json"));
        assert_ne!(one.file_stem(), two.file_stem());
    }

    /// FIPS 180-2, appendix B.1.
    #[test]
    fn a_digest_is_sha_256_in_hexadecimal() {
        assert_eq!(digest(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn words_do_not_run_together() {
        assert_ne!(short_hash(&["ab", "c"]), short_hash(&["a", "bc"]));
    }

    #[test]
    fn execution_names_are_legal_and_repeat() {
        let request = RunRequest {
            bucket: "b".into(),
            key: "in/ä b.csv".into(),
            etag: Some("e".into()),
            sequencer: Some("0055".into()),
            ..RunRequest::default()
        };
        let name = execution_name(&"p".repeat(40), &request);
        assert!(name.len() <= 80 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
        assert_eq!(name, execution_name(&"p".repeat(40), &request));
        let newer = RunRequest { sequencer: Some("0056".into()), ..request };
        assert_ne!(name, execution_name(&"p".repeat(40), &newer));
    }
}
