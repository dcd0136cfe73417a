use chrono::{DateTime, NaiveDate, NaiveTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use stepwell_pipeline::{ErrorKind, StageError, run::short_hash, spec::CheckedSpec, store};

use super::checkpoint::Backfill;

/// Executions started per second unless the request says otherwise: a fraction of what an account refills, 300 or 150
/// per second by region (Step Functions Developer Guide, "Quotas related to API action throttling").
const RATE_DEFAULT: f64 = 25.0;
/// The highest and the lowest rate that makes sense, in executions per second.
const RATES: std::ops::RangeInclusive<f64> = 0.01..=1000.0;
/// The most characters of an id.
const ID_CHARACTERS_MAX: usize = 80;

/// What to load, or which backfill to go on with: the event `{"backfill": {…}}`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackfillRequest {
    /// What the backfill is called; by default derived from the rest, so that the same request goes on with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// In messages that a worker sends itself: how many rounds came before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round: Option<u64>,
    /// The bucket; needed but for the continuation of a backfill by its id.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub bucket: String,
    /// What the keys begin with; not only whole folders.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prefix: String,
    /// The pipeline; needed as the bucket is.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub pipeline: String,
    /// Only objects that were last modified at this moment or later: RFC 3339, or a date, which begins at midnight UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Only objects that were last modified before this moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// The most executions started per second; 25 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
    /// Whether objects are loaded again whose present version was committed under another spec.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub again: bool,
}

impl BackfillRequest {
    /// What the backfill is called that the request begins or goes on with.
    ///
    /// # Errors
    /// `InvalidInput` for a request that contradicts itself.
    pub fn backfill_id(&self) -> Result<String, StageError> {
        let wanted = self.checked()?;
        Ok(wanted.map(|wanted| wanted.id).or_else(|| self.id.clone()).unwrap_or_default())
    }

    /// The backfill that the request would begin; nothing where it only names one.
    pub(super) fn checked(&self) -> Result<Option<Backfill>, StageError> {
        if let Some(rate) = self.rate
            && !RATES.contains(&rate)
        {
            let message = format!("`rate` is {rate}; it is between {} and {} per second", RATES.start(), RATES.end());
            return Err(invalid(message));
        }
        if let Some(id) = &self.id {
            let is_plain = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
            if id.is_empty() || id.len() > ID_CHARACTERS_MAX || !is_plain {
                let message = format!("`id` is {id:?}; it has 1 to {ID_CHARACTERS_MAX} letters, digits, `-` and `_`");
                return Err(invalid(message));
            }
            if self.bucket.is_empty() && self.pipeline.is_empty() {
                return Ok(None);
            }
        }
        for (field, value) in [("bucket", &self.bucket), ("pipeline", &self.pipeline)] {
            if value.is_empty() {
                return Err(invalid(format!("missing field `{field}`")));
            }
        }
        if !self.prefix.is_empty() {
            store::path(self.prefix.strip_suffix('/').unwrap_or(&self.prefix))?;
        }
        let normal = |field: &str, text: &Option<String>| {
            let parsed = text.as_deref().map(moment).transpose();
            parsed.map_err(|error| invalid(format!("`{field}`: {error}")))
        };
        let (from, to) = (normal("from", &self.from)?, normal("to", &self.to)?);
        if let (Some(from), Some(to)) = (from, to)
            && from >= to
        {
            return Err(invalid(format!("nothing was modified from {from} on and before {to}")));
        }
        let text = |moment: DateTime<Utc>| moment.to_rfc3339_opts(SecondsFormat::Millis, true);
        let (from, to) = (from.map(text), to.map(text));
        Ok(Some(Backfill {
            id: self.id.clone().unwrap_or_else(|| {
                let again = if self.again { "again" } else { "" };
                let [from, to] = [&from, &to].map(|moment| moment.as_deref().unwrap_or_default());
                let hash = short_hash(&[&self.bucket, &self.prefix, &self.pipeline, from, to, again]);
                format!("{}-{hash}", self.pipeline)
            }),
            bucket: self.bucket.clone(),
            prefix: self.prefix.clone(),
            pipeline: self.pipeline.clone(),
            from,
            to,
            again: self.again,
            rate: self.rate.unwrap_or(RATE_DEFAULT),
            ..Backfill::default()
        }))
    }
}

/// A moment as people write it: RFC 3339, or a date, which stands for its midnight in UTC.
///
/// # Errors
/// What is expected.
pub fn moment(text: &str) -> Result<DateTime<Utc>, String> {
    if let Ok(moment) = DateTime::parse_from_rfc3339(text) {
        return Ok(moment.to_utc());
    }
    match NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        Ok(date) => Ok(date.and_time(NaiveTime::MIN).and_utc()),
        Err(_) => Err(format!("{text:?} is no moment such as 2026-01-31T12:00:00Z and no date such as 2026-01-31")),
    }
}

/// Refuses what would look through a bucket in vain.
pub(super) fn can_reach(spec: &CheckedSpec, state: &Backfill) -> Result<(), StageError> {
    if spec.schedule.is_some() {
        let message = format!(
            "the pipeline `{}` loads batches by `schedule`; send {{\"schedule\": {{\"pipeline\": …, \"occurrence\": …}}}} to the \
             events queue to load one again",
            spec.name()
        );
        return Err(invalid(message));
    }
    if spec.match_glob.may_fit_below(&state.prefix) {
        return Ok(());
    }
    let (pattern, prefix) = (spec.match_glob.pattern(), &state.prefix);
    let message =
        format!("no key that begins with `{prefix}` fits `match` `{pattern}` of the pipeline `{}`", spec.name());
    Err(invalid(message))
}

pub(super) fn invalid(message: impl Into<String>) -> StageError {
    StageError::new(ErrorKind::InvalidInput, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> BackfillRequest {
        BackfillRequest { bucket: "b".into(), prefix: "in/2013".into(), pipeline: "p".into(), ..Default::default() }
    }

    fn id(request: &BackfillRequest) -> String {
        request.checked().expect("valid").expect("a beginning").id
    }

    #[test]
    fn the_same_request_is_the_same_backfill() {
        let one = id(&request());
        assert!(one.starts_with("p-"), "{one}");
        // How fast it goes may be decided anew.
        assert_eq!(one, id(&BackfillRequest { rate: Some(2.0), ..request() }));
        let from = |text: &str| id(&BackfillRequest { from: Some(text.into()), ..request() });
        assert_eq!(from("2026-01-31"), from("2026-01-31T01:00:00+01:00"));
        for other in [
            from("2026-01-31"),
            id(&BackfillRequest { to: Some("2026-01-31".into()), ..request() }),
            id(&BackfillRequest { prefix: "in/201".into(), ..request() }),
            id(&BackfillRequest { again: true, ..request() }),
        ] {
            assert_ne!(one, other);
        }
        assert_eq!(id(&BackfillRequest { id: Some("mine".into()), ..request() }), "mine");
    }

    #[test]
    fn a_request_tells_the_id_of_its_backfill() {
        assert_eq!(request().backfill_id().expect("valid"), id(&request()));
        for named in [BackfillRequest::default(), request()] {
            let named = BackfillRequest { id: Some("mine".into()), ..named };
            assert_eq!(named.backfill_id().expect("valid"), "mine");
        }
        assert!(BackfillRequest::default().backfill_id().is_err());
    }

    #[test]
    fn what_contradicts_itself_is_refused_by_name() {
        let refused = |request: BackfillRequest| request.checked().expect_err("refused").report();
        assert_eq!(refused(BackfillRequest::default()), "missing field `bucket`");
        assert_eq!(refused(BackfillRequest { pipeline: String::new(), ..request() }), "missing field `pipeline`");
        let only_id = BackfillRequest { id: Some("x".into()), ..Default::default() };
        assert_eq!(only_id.checked().expect("a continuation"), None);
        let longest = "x".repeat(80);
        assert_eq!(id(&BackfillRequest { id: Some(longest.clone()), ..request() }), longest);
        for wrong in ["a/b", "", &format!("{longest}x")] {
            let named = BackfillRequest { id: Some(wrong.into()), ..request() };
            assert!(refused(named).starts_with(&format!("`id` is {wrong:?}; it has 1 to 80 letters")), "{wrong}");
        }
        // More than an id is a whole request.
        let half = BackfillRequest { id: Some("x".into()), pipeline: String::new(), ..request() };
        assert_eq!(refused(half), "missing field `pipeline`");
        assert!(refused(BackfillRequest { rate: Some(0.0), ..request() }).starts_with("`rate` is 0;"));
        assert!(refused(BackfillRequest { rate: Some(f64::NAN), ..request() }).starts_with("`rate` is NaN;"));
        let from = BackfillRequest { from: Some("yesterday".into()), ..request() };
        assert!(refused(from).starts_with("`from`: \"yesterday\" is no moment"));
        let (from, to) = (Some("2026-02-01".into()), Some("2026-02-01".into()));
        assert!(refused(BackfillRequest { from, to, ..request() }).starts_with("nothing was modified from"));
        assert!(refused(BackfillRequest { prefix: "in//a".into(), ..request() }).contains("cannot be addressed"));
    }
}
