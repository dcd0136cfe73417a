//! Calendar and clock arithmetic on ISO 8601 text, eight bytes at a time.

use super::cell::Cell;

pub(super) const MICROS_PER_SECOND: i64 = 1_000_000;
pub(super) const SECONDS_PER_DAY: i64 = 86_400;
pub(super) const MICROS_PER_DAY: i64 = SECONDS_PER_DAY * MICROS_PER_SECOND;

const YEARS: usize = 10_000;

/// Of every year, its first day, in days since 1970, and whether it is a leap year in the lowest bit. The columns of a
/// table are of few years, so that few lines of it are in the cache.
static YEAR_BEGINS: [i32; YEARS] = year_begins();

const fn year_begins() -> [i32; YEARS] {
    let mut begins = [0; YEARS];
    // The first day of year 0 of the proleptic Gregorian calendar.
    let mut day = -719_528;
    let mut year = 0;
    while year < YEARS {
        let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        begins[year] = day << 1 | is_leap as i32;
        day += 365 + is_leap as i32;
        year += 1;
    }
    begins
}

/// Of every month of a year, by 16 for leap years, the days before it, times 32, and its days; of what is no month, no days.
static MONTHS: [u16; 32] = months();

const fn months() -> [u16; 32] {
    let lengths = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut months = [0; 32];
    let mut is_leap = 0;
    while is_leap < 2 {
        let mut before = 0;
        let mut month = 1;
        while month <= 12 {
            let days = lengths[month - 1] + if month == 2 { is_leap as u16 } else { 0 };
            months[16 * is_leap + month] = before << 5 | days;
            before += days;
            month += 1;
        }
        is_leap += 1;
    }
    months
}

/// Days since 1970 of a day of the proleptic Gregorian calendar, if there is such a day. Years 0 to 9999.
#[inline]
pub(super) fn days(year: u32, month: u32, day: u32) -> Option<i32> {
    let year = *YEAR_BEGINS.get(year as usize)?;
    if month >= 16 {
        return None;
    }
    let month = u32::from(MONTHS[(16 * (year & 1).cast_unsigned() + month) as usize]);
    let day_from_zero = day.wrapping_sub(1);
    let days_in_month = month & 31;
    (day_from_zero < days_in_month).then(|| (year >> 1) + ((month >> 5) + day_from_zero).cast_signed())
}

/// The three pairs of digits of `dd-dd-dd`, whatever the separator is.
#[inline]
fn pairs(word: u64, separator: u8) -> Option<[u32; 3]> {
    const PAIRS: u64 = 0x3030_0030_3000_3030;
    let separators = u64::from(separator) << 16 | u64::from(separator) << 40;
    let digits = word ^ (PAIRS | separators);
    // Lets a byte overflow into its highest bit: a digit above 9, a separator above 0.
    const HEADROOM: u64 = 0x7676_7F76_767F_7676;
    if (digits.wrapping_add(HEADROOM) | digits) & 0x8080_8080_8080_8080 != 0 {
        return None;
    }
    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8);
    Some([pairs as u32 & 0xFF, (pairs >> 24) as u32 & 0xFF, (pairs >> 48) as u32 & 0xFF])
}

/// The days since 1970 of `YYYY-MM-DD` at the beginning of a text.
#[inline]
pub(super) fn iso_date(cell: Cell<'_>) -> Option<i32> {
    if cell.len() < 10 {
        return None;
    }
    let century = (cell.word(0) as u16) ^ 0x3030;
    if (century.wrapping_add(0x7676) | century) & 0x8080 != 0 {
        return None;
    }
    let century = u32::from(century & 0xFF) * 10 + u32::from(century >> 8);
    let [year, month, day] = pairs(cell.word(2), b'-')?;
    days(century * 100 + year, month, day)
}

/// The seconds since midnight of `HH:MM:SS` at an offset in a text.
#[inline]
pub(super) fn iso_clock(cell: Cell<'_>, at: usize) -> Option<i64> {
    if cell.len() < at + 8 {
        return None;
    }
    let [hour, minute, second] = pairs(cell.word(at), b':')?;
    seconds(hour, minute, second)
}

/// Seconds since midnight, if there is such a time of day; leap seconds are none.
#[inline]
pub(super) fn seconds(hour: u32, minute: u32, second: u32) -> Option<i64> {
    (hour < 24 && minute < 60 && second < 60).then(|| i64::from(hour * 3600 + minute * 60 + second))
}

/// Microseconds of the fraction of a second, finer digits cut off, and how many bytes it takes; none where there is no
/// point. A point without digits is no fraction.
#[inline]
pub(super) fn fraction(text: &[u8]) -> Option<(i64, usize)> {
    let Some((b'.', digits)) = text.split_first() else { return Some((0, 0)) };
    let count = digits.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(digits.len());
    let padded = digits[..count].iter().copied().chain(std::iter::repeat(b'0')).take(6);
    let micros = padded.fold(0, |value, digit| value * 10 + i64::from(digit - b'0'));
    (count > 0).then_some((micros, count + 1))
}

/// The seconds east of Greenwich of `Z`, `±HH:MM`, `±HHMM` or `±HH`, and how many bytes it takes.
#[inline]
pub(super) fn offset(text: &[u8]) -> Option<(i64, usize)> {
    let (sign, digits) = match text.split_first()? {
        (b'Z' | b'z', _) => return Some((0, 1)),
        (b'+', digits) => (1, digits),
        (b'-', digits) => (-1, digits),
        _ => return None,
    };
    let pair = |at: usize| match digits.get(at..at + 2)? {
        [tens, ones] if tens.is_ascii_digit() && ones.is_ascii_digit() => {
            Some(i64::from(tens - b'0') * 10 + i64::from(ones - b'0'))
        }
        _ => None,
    };
    let colon = usize::from(digits.get(2) == Some(&b':'));
    let (hours, minutes, bytes) = match (pair(0)?, pair(2 + colon)) {
        (hours, Some(minutes)) => (hours, minutes, 5 + colon),
        (hours, None) if colon == 0 => (hours, 0, 3),
        _ => return None,
    };
    (hours < 24 && minutes < 60).then_some((sign * (hours * 3600 + minutes * 60), bytes))
}
