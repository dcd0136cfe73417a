use std::fmt::Write;

use chrono::{Datelike, Days, Months, NaiveDateTime, NaiveTime, TimeDelta, Timelike};

use super::error::unknown;

/// A prefix of keys that names a period of time relative to an occurrence: `in/{yesterday:%Y/%m/%d}/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeriodPrefix {
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Literal(String),
    /// The start of a period, by strftime's letters.
    Period(Period, String),
}

/// A period of time, by when it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Period {
    Minute,
    Hour,
    LastHour,
    Today,
    Yesterday,
    Week,
    LastWeek,
    Month,
    LastMonth,
    Year,
    LastYear,
}

const PERIODS: [(&str, Period); 11] = [
    ("minute", Period::Minute),
    ("hour", Period::Hour),
    ("last_hour", Period::LastHour),
    ("today", Period::Today),
    ("yesterday", Period::Yesterday),
    ("week", Period::Week),
    ("last_week", Period::LastWeek),
    ("month", Period::Month),
    ("last_month", Period::LastMonth),
    ("year", Period::Year),
    ("last_year", Period::LastYear),
];

impl Period {
    /// When the period starts, seen from a local time.
    fn start(self, at: NaiveDateTime) -> Option<NaiveDateTime> {
        let midnight = |date: chrono::NaiveDate| date.and_time(NaiveTime::MIN);
        let date = at.date();
        let hour = midnight(date) + TimeDelta::hours(i64::from(at.hour()));
        let monday = date.checked_sub_days(Days::new(u64::from(date.weekday().num_days_from_monday())))?;
        let month = date.with_day(1)?;
        let year = month.with_month(1)?;
        Some(match self {
            Self::Minute => hour + TimeDelta::minutes(i64::from(at.minute())),
            Self::Hour => hour,
            Self::LastHour => hour - TimeDelta::hours(1),
            Self::Today => midnight(date),
            Self::Yesterday => midnight(date.pred_opt()?),
            Self::Week => midnight(monday),
            Self::LastWeek => midnight(monday.checked_sub_days(Days::new(7))?),
            Self::Month => midnight(month),
            Self::LastMonth => midnight(month.checked_sub_months(Months::new(1))?),
            Self::Year => midnight(year),
            Self::LastYear => midnight(year.checked_sub_months(Months::new(12))?),
        })
    }
}

impl PeriodPrefix {
    /// Reads a prefix as a spec writes it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((literal, after)) = rest.split_once('{') {
            let Some((inner, behind)) = after.split_once('}') else {
                return Err(format!("`{text}`: a `{{` has no `}}`; write `{{yesterday:%Y/%m/%d}}`"));
            };
            pieces.extend(literal_piece(literal, text)?);
            pieces.push(parse_period(inner)?);
            rest = behind;
        }
        pieces.extend(literal_piece(rest, text)?);
        Ok(Self { pieces })
    }

    /// What every prefix begins with.
    pub(super) fn literal_start(&self) -> &str {
        match self.pieces.first() {
            Some(Piece::Literal(literal)) => literal,
            _ => "",
        }
    }

    /// The prefix of an occurrence, given by its local time.
    pub fn render(&self, occurrence: NaiveDateTime) -> String {
        let mut prefix = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Literal(literal) => prefix.push_str(literal),
                Piece::Period(period, format) => {
                    let start = period.start(occurrence).unwrap_or(occurrence);
                    // What cannot be formatted was refused by the check.
                    let _ = write!(prefix, "{}", start.format(format));
                }
            }
        }
        prefix
    }
}

fn literal_piece(literal: &str, text: &str) -> Result<Option<Piece>, String> {
    if literal.contains('}') {
        return Err(format!("`{text}`: a `}}` has no `{{` before it"));
    }
    Ok((!literal.is_empty()).then(|| Piece::Literal(literal.to_owned())))
}

fn parse_period(inner: &str) -> Result<Piece, String> {
    let (name, format) = inner.split_once(':').unwrap_or((inner, ""));
    let Some((_, period)) = PERIODS.iter().find(|(known, _)| *known == name) else {
        return Err(unknown("period", name, PERIODS.map(|(known, _)| known)));
    };
    if format.is_empty() {
        return Err(format!("`{{{inner}}}` has no format; write strftime's letters, as in `{{{name}:%Y/%m/%d}}`"));
    }
    let mut sample = String::new();
    if write!(sample, "{}", NaiveDateTime::default().format(format)).is_err() {
        return Err(format!("`{format}` is no strftime format of a local date and time"));
    }
    Ok(Piece::Period(*period, format.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> NaiveDateTime {
        NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M").expect("a local time")
    }

    #[test]
    fn a_period_is_seen_from_the_occurrence() {
        for (prefix, occurrence, expected) in [
            ("in/{yesterday:%Y/%m/%d}/", "2026-03-01T06:00", "in/2026/02/28/"),
            ("in/{today:%Y%m%d}/", "2026-03-01T00:00", "in/20260301/"),
            ("{last_hour:%Y-%m-%d/%H}/", "2027-01-01T00:05", "2026-12-31/23/"),
            ("in/{hour:%H}/{minute:%M}/", "2026-03-01T06:45", "in/06/45/"),
            ("in/{last_week:%G-W%V}/", "2026-11-21T06:00", "in/2026-W46/"),
            ("in/{week:%m-%d}/", "2026-11-22T06:00", "in/11-16/"),
            ("in/{last_month:%Y-%m}/{month:%m}/", "2026-01-31T06:00", "in/2025-12/01/"),
            ("in/{last_year:%Y}/{year:%Y}/", "2024-02-29T06:00", "in/2023/2024/"),
            ("in/", "2026-01-31T06:00", "in/"),
        ] {
            assert_eq!(PeriodPrefix::parse(prefix).expect("a prefix").render(at(occurrence)), expected);
        }
    }

    #[test]
    fn what_is_wrong_is_told() {
        for (prefix, told) in [
            ("in/{yesterdy:%Y}/", "unknown period `yesterdy`; did you mean `yesterday`?"),
            ("in/{yesterday}/", "`{yesterday}` has no format"),
            ("in/{yesterday:}/", "has no format"),
            ("in/{yesterday:%Q}/", "`%Q` is no strftime format"),
            ("in/{yesterday:%z}/", "`%z` is no strftime format of a local date and time"),
            ("in/{yesterday:%Y/", "a `{` has no `}`"),
            ("in/%Y}/", "a `}` has no `{`"),
        ] {
            let error = PeriodPrefix::parse(prefix).expect_err("refused");
            assert!(error.contains(told), "{prefix}: {error}");
        }
    }
}
