//! Dates and times as strftime's letters say.

use chrono::{
    NaiveDate, NaiveTime, Timelike,
    format::{Fixed, Item, Numeric, Pad, Parsed, StrftimeItems},
};

use super::civil::{self, MICROS_PER_DAY, MICROS_PER_SECOND};

/// What a text of a pattern says. What the pattern does not have is 0, the offset absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Moment {
    /// Days since 1970.
    pub(super) days: i64,
    /// Microseconds since midnight.
    pub(super) micros: i64,
    /// Seconds east of Greenwich.
    pub(super) offset: Option<i64>,
}

impl Moment {
    /// Microseconds since 1970 on the wall's clock, if they fit.
    pub(super) fn local_micros(self) -> Option<i64> {
        self.days.checked_mul(MICROS_PER_DAY)?.checked_add(self.micros)
    }
}

/// What a pattern is to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Telling {
    Date,
    Time,
    DateTime,
}

/// A pattern, compiled.
#[derive(Debug)]
pub(super) struct Pattern {
    telling: Telling,
    has_year: bool,
    reading: Reading,
}

#[derive(Debug)]
enum Reading {
    Steps(Vec<Step>),
    /// For month names, week numbers, halves of a day and the like.
    Chrono(Vec<Item<'static>>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Year,
    Month,
    Day,
    Hour,
    Minute,
    Second,
    Fraction,
    Offset,
    Literal(Vec<u8>),
}

impl Pattern {
    pub(super) fn new(pattern: &str, telling: Telling) -> Self {
        let items = StrftimeItems::new(pattern).parse_to_owned().unwrap_or_default();
        let has_year = items.iter().any(|item| matches!(item, Item::Numeric(Numeric::Year, _)));
        let reading = match steps(&items).filter(|steps| tells(steps, telling)) {
            Some(steps) => Reading::Steps(steps),
            None => Reading::Chrono(items),
        };
        Self { telling, has_year, reading }
    }

    /// What a text says, if it is of the pattern and its day and time of day exist.
    pub(super) fn parse(&self, text: &[u8]) -> Option<Moment> {
        match &self.reading {
            Reading::Steps(steps) => walk(steps, text),
            Reading::Chrono(items) => self.by_chrono(items, std::str::from_utf8(text).ok()?),
        }
    }

    fn by_chrono(&self, items: &[Item<'static>], text: &str) -> Option<Moment> {
        let mut parsed = Parsed::new();
        chrono::format::parse(&mut parsed, text, items.iter()).ok()?;
        let offset = parsed.offset().map(i64::from);
        let mut moment = Moment { offset, ..Moment::default() };
        match self.telling {
            Telling::Date => moment.days = days(parsed.to_naive_date().ok()?),
            Telling::Time => moment.micros = micros(parsed.to_naive_time().ok()?)?,
            Telling::DateTime => {
                let has_time = parsed.hour_mod_12().is_some() || parsed.timestamp().is_some();
                let local = if has_time {
                    parsed.to_naive_datetime_with_offset(parsed.offset().unwrap_or(0)).ok()?
                } else {
                    parsed.to_naive_date().ok()?.and_time(NaiveTime::MIN)
                };
                moment.days = days(local.date());
                moment.micros = micros(local.time())?;
            }
        }
        // To chrono, `13` is a year of four digits, and so a day in Nero's century.
        let has_whole_year = || {
            let year = parsed.year().unwrap_or(1000);
            !(0..1000).contains(&year) || text.contains(&format!("{year:04}"))
        };
        (!self.has_year || has_whole_year()).then_some(moment)
    }
}

fn days(date: NaiveDate) -> i64 {
    date.signed_duration_since(NaiveDate::default()).num_days()
}

/// Microseconds since midnight, unless it is a leap second, which Arrow cannot hold.
fn micros(time: NaiveTime) -> Option<i64> {
    let nanos = i64::from(time.nanosecond());
    (nanos < 1_000_000_000).then(|| i64::from(time.num_seconds_from_midnight()) * MICROS_PER_SECOND + nanos / 1000)
}

fn steps(items: &[Item<'static>]) -> Option<Vec<Step>> {
    let mut steps: Vec<Step> = Vec::with_capacity(items.len());
    for item in items {
        let step = match item {
            Item::Numeric(_, Pad::Space) => return None,
            Item::Numeric(Numeric::Year, _) => Step::Year,
            Item::Numeric(Numeric::Month, _) => Step::Month,
            Item::Numeric(Numeric::Day, _) => Step::Day,
            Item::Numeric(Numeric::Hour, _) => Step::Hour,
            Item::Numeric(Numeric::Minute, _) => Step::Minute,
            Item::Numeric(Numeric::Second, _) => Step::Second,
            Item::Fixed(Fixed::Nanosecond) => Step::Fraction,
            Item::Fixed(Fixed::TimezoneOffset | Fixed::TimezoneOffsetColon) => Step::Offset,
            Item::Literal(text) | Item::Space(text) => Step::Literal(text.as_bytes().to_vec()),
            Item::OwnedLiteral(text) | Item::OwnedSpace(text) => Step::Literal(text.as_bytes().to_vec()),
            _ => return None,
        };
        if !matches!(step, Step::Literal(_)) && steps.contains(&step) {
            return None;
        }
        steps.push(step);
    }
    Some(steps)
}

fn tells(steps: &[Step], telling: Telling) -> bool {
    let has = |wanted: &[Step]| wanted.iter().all(|step| steps.contains(step));
    let has_date = has(&[Step::Year, Step::Month, Step::Day]);
    let has_clock = has(&[Step::Hour, Step::Minute]);
    let has_time = [Step::Hour, Step::Minute, Step::Second, Step::Fraction].iter().any(|step| steps.contains(step));
    match telling {
        Telling::Date => has_date,
        Telling::Time => has_clock,
        Telling::DateTime => has_date && (has_clock || !has_time),
    }
}

fn walk(steps: &[Step], text: &[u8]) -> Option<Moment> {
    let mut rest = text;
    let (mut year, mut month, mut day) = (1970, 1, 1);
    let (mut hour, mut minute, mut second) = (0, 0, 0);
    let (mut micros, mut offset) = (0, None);
    for step in steps {
        match step {
            Step::Year => year = take_number(&mut rest, 4, 4)?,
            Step::Month => month = take_number(&mut rest, 1, 2)?,
            Step::Day => day = take_number(&mut rest, 1, 2)?,
            Step::Hour => hour = take_number(&mut rest, 1, 2)?,
            Step::Minute => minute = take_number(&mut rest, 1, 2)?,
            Step::Second => second = take_number(&mut rest, 1, 2)?,
            Step::Literal(literal) => rest = rest.strip_prefix(literal.as_slice())?,
            Step::Fraction => {
                let (value, bytes) = civil::fraction(rest)?;
                micros = value;
                rest = &rest[bytes..];
            }
            Step::Offset => {
                let (value, bytes) = civil::offset(rest)?;
                offset = Some(value);
                rest = &rest[bytes..];
            }
        }
    }
    let days = i64::from(civil::days(year, month, day)?);
    let seconds = civil::seconds(hour, minute, second)?;
    rest.is_empty().then_some(Moment { days, micros: seconds * MICROS_PER_SECOND + micros, offset })
}

/// Takes so many digits at least, and as many as there are up to so many.
fn take_number(text: &mut &[u8], least: usize, most: usize) -> Option<u32> {
    let count = text.iter().take(most).take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = text.split_at(count);
    *text = rest;
    (count >= least).then(|| digits.iter().fold(0, |value, digit| value * 10 + u32::from(digit - b'0')))
}
