//! The run request: the input of an execution, and what a person types.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{ErrorKind, StageError, handoff, run::Run, spec::nearest, store};

/// What to load: an object, and optionally which version of it and by which pipeline.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRequest {
    /// The bucket that holds the object.
    pub bucket: String,
    /// The object's key, decoded.
    pub key: String,
    /// The version id, in versioned buckets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The entity tag, with or without its quotes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// The size in bytes that the event told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// The event's sequencer, which orders events of one key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequencer: Option<String>,
    /// The pipeline to use, where several fit or none is to be searched for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline: Option<String>,
    /// Why the run was started, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The header of the trace that brought the request, where there is one. It is none of what is to be loaded, and not
    /// part of the execution's input, by which the service tells a repeated start from another.
    #[serde(skip)]
    pub trace_header: Option<String>,
    /// Whether an earlier round of the same execution gave it back, to be called again with.
    #[serde(default, skip_serializing)]
    pub more: bool,
}

const FIELDS: [&str; 8] = ["bucket", "key", "version", "etag", "size", "sequencer", "pipeline", "reason"];

impl RunRequest {
    /// The request in an execution's input.
    ///
    /// Fields that no request has are ignored, unless one looks like a misspelt field: ignoring `piepline` would
    /// run another pipeline than the person meant.
    ///
    /// # Errors
    /// `InvalidInput`, naming the field, for input that is no request, an empty bucket or key, a folder marker,
    /// a key that cannot be addressed, or a misspelt field.
    pub fn parse(input: &Value) -> Result<Self, StageError> {
        if let Some(fields) = input.as_object() {
            for field in fields.keys().filter(|field| !FIELDS.contains(&field.as_str())) {
                if let Some(meant) = nearest(field, FIELDS).filter(|meant| !fields.contains_key(*meant)) {
                    return Err(invalid(format!("unknown field `{field}`; did you mean `{meant}`?")));
                }
            }
        }
        let request: Self = handoff::parse(input)?;
        if request.bucket.is_empty() {
            return Err(invalid("`bucket` is empty"));
        }
        if request.key.is_empty() {
            return Err(invalid("`key` is empty"));
        }
        if request.key.ends_with('/') {
            return Err(invalid(format!("`key` names a folder marker, not a file: {}", request.key)));
        }
        store::path(&request.key)?;
        Ok(request)
    }

    /// The id of the run that the request leads to, where the request alone tells: with a pipeline and a version id, as
    /// the events of a versioned bucket have it. Else `extract` learns the version when it looks at the object.
    pub fn run_id(&self) -> Option<String> {
        let (pipeline, version) = (self.pipeline.as_deref()?, self.version.as_deref()?);
        Some(Run::id_of(pipeline, &self.bucket, &self.key, version))
    }
}

fn invalid(message: impl Into<String>) -> StageError {
    StageError::new(ErrorKind::InvalidInput, message)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::run::Source;

    fn refusal(input: Value) -> String {
        let error = RunRequest::parse(&input).expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        error.report()
    }

    #[test]
    fn bucket_and_key_suffice() {
        let request = RunRequest::parse(&json!({"bucket": "b", "key": "in/a b+ü.csv"})).expect("a request");
        assert_eq!(request.key, "in/a b+ü.csv");
        assert_eq!(request.version, None);
    }

    #[test]
    fn a_misspelt_field_is_named_with_the_one_meant() {
        assert_eq!(refusal(json!({"bucket": "b", "kye": "k"})), "unknown field `kye`; did you mean `key`?");
        assert_eq!(
            refusal(json!({"bucket": "b", "key": "k", "piepline": "p"})),
            "unknown field `piepline`; did you mean `pipeline`?"
        );
    }

    #[test]
    fn fields_of_other_origin_are_ignored() {
        let input = json!({"bucket": "b", "key": "k", "detail-type": "Object Created"});
        assert!(RunRequest::parse(&input).is_ok());
    }

    #[test]
    fn a_pipeline_and_a_version_tell_the_run() {
        let source = Source {
            bucket: "b".into(),
            key: "k".into(),
            version: Some("v".into()),
            etag: "e".into(),
            size: 1,
            modified_ms: 0,
            sequencer: None,
        };
        let request =
            RunRequest { bucket: "b".into(), key: "k".into(), version: Some("v".into()), ..RunRequest::default() };
        assert_eq!(request.run_id(), None);
        let request = RunRequest { pipeline: Some("p".into()), ..request };
        assert_eq!(request.run_id(), Some(Run::new("p", "digest", source).id));
        // In a versioned bucket the run's id would hang on the version that the entity tag is of.
        assert_eq!(RunRequest { version: None, etag: Some("e".into()), ..request }.run_id(), None);
    }

    #[test]
    fn what_is_missing_or_unusable_is_named() {
        assert_eq!(refusal(json!({"bucket": "b"})), "missing field `key`");
        assert_eq!(refusal(json!({"key": "k"})), "missing field `bucket`");
        assert_eq!(refusal(json!({"bucket": "", "key": "k"})), "`bucket` is empty");
        assert_eq!(refusal(json!({"bucket": "b", "key": ""})), "`key` is empty");
        assert!(refusal(json!({"bucket": "b", "key": "in/"})).contains("folder marker"));
        assert!(refusal(json!({"bucket": "b", "key": "in//a.csv"})).contains("empty"));
        assert!(refusal(json!({"bucket": "b", "key": "/in/a.csv"})).contains("empty"));
        assert!(refusal(json!({"bucket": 7, "key": "k"})).starts_with("bucket: invalid type"));
        assert!(refusal(json!("s3://b/k")).contains("invalid type"));
    }
}
