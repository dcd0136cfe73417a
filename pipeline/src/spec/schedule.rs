use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, Offset, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use croner::{
    Cron,
    parser::{CronParser, Seconds, Year},
};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};
use serde_saphyr::Spanned;

use super::{PeriodPrefix, unlocated};

/// When a batch of all objects of a period is loaded, instead of each object when it arrives.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScheduleSpec {
    /// When, as cron writes it, in `time_zone`: minute, hour, day of the month, month, day of the week (0 and 7 are
    /// Sunday). `0 6 * * *` is every day at six.
    #[schemars(with = "String")]
    pub cron: Spanned<String>,
    /// The IANA time zone of `cron` and of the periods in `prefix`; by default `UTC`.
    #[serde(default = "utc")]
    #[schemars(with = "String")]
    pub time_zone: Spanned<String>,
    /// The prefix of the objects in the landing bucket. `{period:format}` is the start of a period seen from the
    /// occurrence, by strftime's letters: `in/{yesterday:%Y/%m/%d}/`. Periods are `minute`, `hour`, `last_hour`, `today`,
    /// `yesterday`, `week`, `last_week` (from Monday), `month`, `last_month`, `year` and `last_year`.
    #[schemars(with = "String")]
    pub prefix: Spanned<String>,
    /// What must be there before the batch is loaded; by default nothing is waited for.
    #[serde(default)]
    #[schemars(with = "Option<CompleteWhen>")]
    pub complete_when: Option<Spanned<CompleteWhen>>,
    /// How long an occurrence waits to be complete before it is reported as a dead letter, at most 30 days; by default
    /// `24h`.
    #[serde(default = "a_day")]
    #[schemars(with = "String")]
    pub wait_max: Spanned<String>,
    /// How many occurrences before each are looked at again for objects that came late; by default 1.
    #[serde(default = "one")]
    #[schemars(with = "u64", range(max = 100))]
    pub revisit: Spanned<u64>,
}

/// What must be there before a batch is loaded: one of the three.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CompleteWhen {
    /// An object right below the prefix: `_SUCCESS`.
    #[serde(default)]
    pub object: Option<String>,
    /// An object right below the prefix that names the batch's objects, which must all be there: a JSON list of keys, or an
    /// object with such a list as `files`. Keys are relative to the prefix or whole.
    #[serde(default)]
    pub manifest: Option<String>,
    /// So many objects at least that `match` fits.
    #[serde(default)]
    pub files: Option<u64>,
}

/// Takes `schedule:` without anything under it for a mistake, not for no schedule.
pub(super) fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<ScheduleSpec>, D::Error> {
    ScheduleSpec::deserialize(deserializer).map(Some)
}

fn utc() -> Spanned<String> {
    unlocated("UTC".into())
}

fn a_day() -> Spanned<String> {
    unlocated("24h".into())
}

fn one() -> Spanned<u64> {
    unlocated(1)
}

/// When batches are loaded, understood.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// When they occur.
    pub occurrences: Occurrences,
    /// Where an occurrence's objects are; ends in `/`.
    pub prefix: PeriodPrefix,
    /// What is waited for.
    pub completeness: Option<Completeness>,
    /// How long.
    pub wait_max: Duration,
    /// How many earlier occurrences are looked at again.
    pub revisit: usize,
}

/// What must be there before a batch is loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Completeness {
    /// An object of that name right below the prefix.
    Object(String),
    /// The objects that an object of that name names.
    Manifest(String),
    /// So many objects.
    Files(usize),
}

impl Completeness {
    /// The name below the prefix of the object that is waited for, where it is one.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Object(name) | Self::Manifest(name) => Some(name),
            Self::Files(_) => None,
        }
    }
}

impl Schedule {
    /// Whether an object of that key tells of some occurrence that it is complete. Errs towards yes.
    pub fn is_sign(&self, key: &str) -> bool {
        let name = self.completeness.as_ref().and_then(Completeness::name);
        let below = key.strip_prefix(self.prefix.literal_start());
        name.zip(below).is_some_and(|(name, below)| {
            below.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with('/'))
        })
    }
}

/// The local times at which a schedule occurs.
///
/// An occurrence is a time on the clock of the zone, so that each names its period once. A time that the clock skips is
/// due when it has skipped it; a time that the clock shows twice, when it shows it first.
#[derive(Clone, Debug)]
pub struct Occurrences {
    cron: Cron,
    zone: Tz,
}

impl Occurrences {
    /// The occurrences of a cron expression of five fields in a zone.
    ///
    /// # Errors
    /// What is wrong with the expression.
    pub(super) fn new(cron: &str, zone: Tz) -> Result<Self, String> {
        if cron.contains('@') || cron.split_whitespace().count() != 5 {
            return Err(format!(
                "`{cron}` is no cron expression: write minute, hour, day of the month, month and day of the week, as in \
                 `0 6 * * *`"
            ));
        }
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let parsed = parser.parse(cron).map_err(|error| format!("`{cron}` is no cron expression: {error}"))?;
        let occurrences = Self { cron: parsed, zone };
        match occurrences.after(NaiveDateTime::default()) {
            Some(_) => Ok(occurrences),
            None => Err(format!("`{cron}` never occurs")),
        }
    }

    /// The time on the zone's clock.
    pub fn local(&self, moment: DateTime<Utc>) -> NaiveDateTime {
        moment.with_timezone(&self.zone).naive_local()
    }

    /// The next occurrence after a local time.
    pub fn after(&self, local: NaiveDateTime) -> Option<NaiveDateTime> {
        self.cron.find_next_occurrence(&local, false).ok()
    }

    /// The last occurrence before a local time.
    pub fn before(&self, local: NaiveDateTime) -> Option<NaiveDateTime> {
        self.cron.find_previous_occurrence(&local, false).ok()
    }

    /// Whether it occurs at a local time.
    pub fn occurs(&self, local: NaiveDateTime) -> bool {
        self.cron.is_time_matching(&local).unwrap_or(false)
    }

    /// When a local time has come.
    pub fn due(&self, local: NaiveDateTime) -> DateTime<Utc> {
        /// No clock was ever put forward by more than a day.
        const GAP_MINUTES_MAX: i64 = 25 * 60;
        let shown = (0..=GAP_MINUTES_MAX)
            .map(|minutes| self.zone.from_local_datetime(&(local + TimeDelta::minutes(minutes))))
            .find_map(|shown| shown.earliest());
        shown.map_or_else(|| Utc.fix().from_utc_datetime(&local).to_utc(), |shown| shown.to_utc())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> NaiveDateTime {
        NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M").expect("a local time")
    }

    fn occurrences(cron: &str, zone: &str) -> Occurrences {
        Occurrences::new(cron, zone.parse().expect("a zone")).expect("a cron expression")
    }

    /// The occurrences after a local time up to another, with the moments at which they are due.
    fn listed(occurrences: &Occurrences, after: &str, until: &str) -> Vec<(String, String)> {
        let following = std::iter::successors(occurrences.after(at(after)), |last| occurrences.after(*last));
        following
            .take_while(|local| *local <= at(until))
            .map(|local| (local.format("%dT%H:%M").to_string(), occurrences.due(local).format("%dT%H:%MZ").to_string()))
            .collect()
    }

    #[test]
    fn a_time_that_the_clock_skips_occurs_once_when_it_was_skipped() {
        let nightly = occurrences("30 2 * * *", "Europe/Zurich");
        let expected = [("28T02:30", "28T01:30Z"), ("29T02:30", "29T01:00Z"), ("30T02:30", "30T00:30Z")];
        assert_eq!(
            listed(&nightly, "2026-03-28T00:00", "2026-03-30T12:00"),
            expected.map(|(l, d)| (l.into(), d.into()))
        );
    }

    #[test]
    fn a_time_that_the_clock_shows_twice_occurs_once_when_it_comes_first() {
        let nightly = occurrences("30 2 * * *", "Europe/Zurich");
        let expected = [("24T02:30", "24T00:30Z"), ("25T02:30", "25T00:30Z"), ("26T02:30", "26T01:30Z")];
        assert_eq!(
            listed(&nightly, "2026-10-24T00:00", "2026-10-26T12:00"),
            expected.map(|(l, d)| (l.into(), d.into()))
        );
    }

    #[test]
    fn every_hour_on_the_clock_occurs_once_in_order() {
        let hourly = occurrences("0 * * * *", "Europe/Zurich");
        let spring = listed(&hourly, "2026-03-29T00:30", "2026-03-29T04:30");
        let due: Vec<&str> = spring.iter().map(|(_, due)| due.as_str()).collect();
        assert_eq!(due, ["29T00:00Z", "29T01:00Z", "29T01:00Z", "29T02:00Z"]);
        let autumn = listed(&hourly, "2026-10-25T00:30", "2026-10-25T04:30");
        let due: Vec<&str> = autumn.iter().map(|(_, due)| due.as_str()).collect();
        assert_eq!(due, ["24T23:00Z", "25T00:00Z", "25T02:00Z", "25T03:00Z"]);
    }

    #[test]
    fn a_whole_day_may_be_skipped() {
        let nightly = occurrences("0 6 * * *", "Pacific/Apia");
        assert_eq!(nightly.due(at("2011-12-30T06:00")).to_rfc3339(), "2011-12-30T10:00:00+00:00");
    }

    #[test]
    fn before_goes_back_and_days_may_be_named() {
        let working = occurrences("0 6 * * MON-FRI", "UTC");
        assert_eq!(working.before(at("2026-11-23T06:00")), Some(at("2026-11-20T06:00")));
        assert!(working.occurs(at("2026-11-20T06:00")) && !working.occurs(at("2026-11-21T06:00")));
    }
}
