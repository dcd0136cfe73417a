use std::time::Duration;

use serde_saphyr::Spanned;

use super::super::{
    BatchLimits, BatchSpec, Completeness, MatchGlob, Occurrences, PeriodPrefix, Schedule, ScheduleSpec,
    error::{Findings, nearest},
    parse_bytes,
    schedule::CompleteWhen,
};
use crate::store;

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// As `humantime` counts it: 365.25 days.
const YEAR: Duration = Duration::from_secs(31_557_600);

/// More would be a list of megabytes, and longer to pin than one call of a function should take.
const FILES: std::ops::RangeInclusive<u64> = 1..=10_000;

const REVISIT_MAX: u64 = 100;

pub(super) fn check(batch: &BatchSpec, findings: &mut Findings<'_>) -> Option<BatchLimits> {
    let files = &batch.max_files;
    if !FILES.contains(&files.value) {
        let message = format!("`max_files` is from {} to {}, not {}", FILES.start(), FILES.end(), files.value);
        findings.add(files, message);
    }
    let bytes = parse_bytes(&batch.max_bytes.value).filter(|bytes| *bytes > 0);
    if bytes.is_none() {
        let message =
            format!("`{}` is no number of bytes: write `256 MiB`, `1 GB` or `1000000`", batch.max_bytes.value);
        findings.add(&batch.max_bytes, message);
    }
    let wait = check_wait(&batch.max_wait, "max_wait", MINUTE..=7 * DAY, findings);
    Some(BatchLimits { files_max: usize::try_from(files.value).ok()?, bytes_max: bytes?, wait_max: wait? })
}

/// Reads how often an upload is expected.
pub(super) fn check_expectation(text: &Spanned<String>, findings: &mut Findings<'_>) -> Option<Duration> {
    // What is rarer than once a year nobody would miss by an alarm; what is more frequent than a tick or two cannot be told.
    check_wait(text, "expect_every", 5 * MINUTE..=YEAR, findings)
}

/// Reads a duration such as `5m`.
fn check_wait(
    text: &Spanned<String>,
    name: &str,
    range: std::ops::RangeInclusive<Duration>,
    findings: &mut Findings<'_>,
) -> Option<Duration> {
    let Ok(wait) = humantime::parse_duration(&text.value) else {
        findings.add(text, format!("`{}` is no duration: write `5m`, `2h` or `1day`", text.value));
        return None;
    };
    if !range.contains(&wait) {
        let bounds = [*range.start(), *range.end()].map(|bound| humantime::format_duration(bound).to_string());
        findings.add(text, format!("`{name}` is from {} to {}, not {}", bounds[0], bounds[1], text.value));
        return None;
    }
    Some(wait)
}

pub(super) fn check_schedule(
    schedule: &ScheduleSpec,
    match_glob: Option<&MatchGlob>,
    findings: &mut Findings<'_>,
) -> Option<Schedule> {
    let zone = check_zone(&schedule.time_zone, findings);
    // Without a zone, the expression is checked all the same.
    let occurrences = Occurrences::new(&schedule.cron.value, zone.unwrap_or(chrono_tz::UTC))
        .map_err(|message| findings.add(&schedule.cron, message));
    let prefix = check_prefix(&schedule.prefix, match_glob, findings);
    let completeness = schedule.complete_when.as_ref().and_then(|when| check_complete(when, findings));
    let wait = check_wait(&schedule.wait_max, "wait_max", Duration::ZERO..=30 * DAY, findings);
    if schedule.revisit.value > REVISIT_MAX {
        let message = format!("`revisit` is at most {REVISIT_MAX}, not {}", schedule.revisit.value);
        findings.add(&schedule.revisit, message);
    }
    zone?;
    Some(Schedule {
        occurrences: occurrences.ok()?,
        prefix: prefix?,
        completeness,
        wait_max: wait?,
        revisit: usize::try_from(schedule.revisit.value).ok()?,
    })
}

fn check_zone(name: &Spanned<String>, findings: &mut Findings<'_>) -> Option<chrono_tz::Tz> {
    let zone = name.value.parse().ok();
    if zone.is_none() {
        let known = chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name());
        let hint = match nearest(&name.value, known) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => "write a name such as `Europe/Zurich` or `UTC`".to_owned(),
        };
        findings.add(name, format!("unknown time zone `{}`; {hint}", name.value));
    }
    zone
}

fn check_prefix(
    text: &Spanned<String>,
    match_glob: Option<&MatchGlob>,
    findings: &mut Findings<'_>,
) -> Option<PeriodPrefix> {
    let prefix = PeriodPrefix::parse(&text.value).map_err(|message| findings.add(text, message)).ok()?;
    let sample = prefix.render(chrono::NaiveDateTime::default());
    if !sample.ends_with('/') {
        findings.add(text, format!("`prefix` is a folder: end it in `/`, as in `{}/`", text.value));
    } else if store::path(&sample).is_err() || sample.contains("//") {
        let message = format!("`{}` begins with `/`, or has an empty, `.` or `..` segment", text.value);
        findings.add(text, message);
    } else if let Some(glob) = match_glob.filter(|glob| !glob.may_fit_below(prefix.literal_start())) {
        let message = format!("`match` `{}` fits no key below `{}`", glob.pattern(), text.value);
        findings.add(text, message);
    }
    Some(prefix)
}

fn check_complete(when: &Spanned<CompleteWhen>, findings: &mut Findings<'_>) -> Option<Completeness> {
    let CompleteWhen { object, manifest, files } = &when.value;
    let named = |name: &String| !name.is_empty() && !name.ends_with('/') && store::path(name).is_ok();
    match (object, manifest, files) {
        (Some(name), None, None) | (None, Some(name), None) if !named(name) => {
            findings.add(when, format!("`{name}` is no name of an object below the prefix"));
            None
        }
        (Some(name), None, None) => Some(Completeness::Object(name.clone())),
        (None, Some(name), None) => Some(Completeness::Manifest(name.clone())),
        (None, None, Some(files)) if *files > 0 => usize::try_from(*files).ok().map(Completeness::Files),
        (None, None, Some(_)) => {
            findings.add(when, "`files` is at least 1");
            None
        }
        _ => {
            findings.add(when, "`complete_when` takes one of `object`, `manifest` and `files`");
            None
        }
    }
}
