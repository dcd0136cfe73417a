//! Every parser against a slow obvious version, on texts that are right and texts that are mangled.

use std::fmt::Debug;

use chrono::{NaiveDate, NaiveDateTime, NaiveTime, TimeZone, Utc};
use proptest::prelude::*;

use super::*;

/// A text, and the same with a byte replaced, left out or put in.
fn mangled(text: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    let byte =
        prop_oneof![prop::sample::select(b"0123456789.-+:TZ eE/x".to_vec()), any::<u8>().prop_map(|byte| byte & 0x7F)];
    (text, any::<prop::sample::Index>(), byte, 0..5_u8).prop_map(|(text, at, byte, how)| {
        let mut bytes = text.into_bytes();
        let at = at.index(bytes.len() + 1);
        match how {
            0 if at < bytes.len() => bytes[at] = byte,
            1 if at < bytes.len() => drop(bytes.remove(at)),
            2 => bytes.insert(at, byte),
            _ => {}
        }
        String::from_utf8(bytes).expect("ASCII")
    })
}

fn digits(most: usize) -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(b"0123456789".to_vec()), 0..=most)
        .prop_map(|digits| String::from_utf8(digits).expect("ASCII"))
}

fn sign() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["", "", "-", "+"])
}

fn integers() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<i64>().prop_map(|value| value.to_string()),
        any::<u64>().prop_map(|value| value.to_string()),
        (-70_000_i64..70_000).prop_map(|value| value.to_string()),
        (sign(), digits(24)).prop_map(|(sign, digits)| format!("{sign}{digits}")),
    ]
}

/// An integer by `str::parse`; the digits alone decide whether it is one.
fn slow_integer<T: std::str::FromStr + Debug>(text: &str) -> Result<T, RejectCode> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(RejectCode::InvalidValue);
    }
    let significant = digits.trim_start_matches('0');
    let sign = if text.starts_with('-') && !significant.is_empty() { "-" } else { "" };
    let significant = if significant.is_empty() { "0" } else { significant };
    format!("{sign}{significant}").parse().map_err(|_| RejectCode::OutOfRange)
}

/// A decimal by long arithmetic on single digits.
fn slow_decimal(text: &str, precision: u8, scale: u8) -> Result<String, RejectCode> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !all_digits(whole) || !all_digits(fraction) {
        return Err(RejectCode::InvalidValue);
    }
    let fraction = fraction.trim_end_matches('0');
    let whole = whole.trim_start_matches('0');
    if fraction.len() > scale.into() || whole.len() > usize::from(precision - scale) {
        return Err(RejectCode::OutOfRange);
    }
    let is_zero = whole.is_empty() && fraction.is_empty();
    let sign = if text.starts_with('-') && !is_zero { "-" } else { "" };
    let whole = if whole.is_empty() { "0" } else { whole };
    let point = if scale == 0 { "" } else { "." };
    Ok(format!("{sign}{whole}{point}{fraction:0<width$}", width = scale.into()))
}

fn slow_date(text: &str, pattern: &str) -> Result<String, RejectCode> {
    NaiveDate::parse_from_str(text, pattern).map(|date| date.to_string()).map_err(|_| RejectCode::InvalidValue)
}

/// Chrono lets white space stand before numbers, signs before years, and years be short; a leap second pass.
fn is_lax(text: &str) -> bool {
    let year_end = text.find('-').unwrap_or(text.len());
    year_end != 4
        || text.trim() != text
        || text.contains([' ', '\t', '\n', '\r', '\x0b', '\x0c', '+'])
        || text.contains(":60")
}

fn dates() -> impl Strategy<Value = String> {
    prop_oneof![
        (0..10_000, 0..14, 0..33).prop_map(|(year, month, day)| format!("{year:04}-{month:02}-{day:02}")),
        (1900..2100, 1..13, 1..32).prop_map(|(year, month, day)| format!("{year}-{month}-{day}")),
    ]
}

fn clocks() -> impl Strategy<Value = String> {
    let fraction = prop_oneof![Just(String::new()), digits(9).prop_map(|digits| format!(".{digits}"))];
    (0..25, 0..61, 0..60, fraction)
        .prop_map(|(hour, minute, second, fraction)| format!("{hour:02}:{minute:02}:{second:02}{fraction}"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn integers_are_those_of_the_standard_library(text in mangled(integers())) {
        macro_rules! check {
            ($($column_type:expr => $integer:ty),+) => {
                $(prop_assert_eq!(value(&$column_type, &text), slow_integer::<$integer>(&text).map(|value| value.to_string()));)+
            };
        }
        check!(
            ColumnType::Int(8) => i8, ColumnType::Int(16) => i16, ColumnType::Int(32) => i32, ColumnType::Int(64) => i64,
            ColumnType::Uint(8) => u8, ColumnType::Uint(16) => u16, ColumnType::Uint(32) => u32, ColumnType::Uint(64) => u64
        );
    }

    #[test]
    fn decimals_are_those_of_long_arithmetic(
        text in mangled((sign(), digits(22), digits(12), any::<bool>()).prop_map(|(sign, whole, fraction, has_point)| {
            if has_point { format!("{sign}{whole}.{fraction}") } else { format!("{sign}{whole}") }
        })),
        (precision, scale) in (1..=38_u8).prop_flat_map(|precision| (Just(precision), 0..=precision)),
    ) {
        for (precision, scale) in [(precision, scale), (15, 2), (38, 10), (18, 0)] {
            let column_type = ColumnType::Decimal { precision, scale };
            prop_assert_eq!(value(&column_type, &text), slow_decimal(&text, precision, scale), "{}", column_type);
        }
    }

    #[test]
    fn money_is_that_of_long_arithmetic(whole in 0..10_000_000_i64, fraction in 0..100_i64, sign in sign(), how in 0..4) {
        let text = match how {
            0 => format!("{sign}{whole}.{fraction:02}"),
            1 => format!("{sign}{whole}.{fraction}"),
            2 => format!("{sign}{}", whole * 1000 + fraction),
            _ => format!("{sign}{}.{fraction:02}", whole * 100_000_000),
        };
        let column_type = ColumnType::Decimal { precision: 15, scale: 2 };
        prop_assert_eq!(value(&column_type, &text), slow_decimal(&text, 15, 2));
    }

    #[test]
    fn floats_are_those_of_the_standard_library(text in mangled(prop_oneof![
        any::<f64>().prop_map(|value| value.to_string()),
        any::<f32>().prop_map(|value| format!("{value:e}")),
        (sign(), digits(20), digits(20)).prop_map(|(sign, whole, fraction)| format!("{sign}{whole}.{fraction}")),
    ])) {
        let parsed: Result<f64, _> = text.parse();
        let expected = match parsed {
            Ok(value) if value.is_infinite() && !text.to_lowercase().contains("inf") => Err(RejectCode::OutOfRange),
            Ok(value) => Ok(value),
            Err(_) => Err(RejectCode::InvalidValue),
        };
        let found = value(&ColumnType::Float(64), &text).map(|text| text.parse::<f64>().expect("a float"));
        prop_assert!(found == expected || matches!((found, expected), (Ok(found), Ok(expected)) if found.is_nan() && expected.is_nan()), "{found:?} {expected:?}");
    }

    #[test]
    fn dates_are_those_of_chrono(text in mangled(dates())) {
        let found = value(&ColumnType::Date(ColumnType::ISO_DATE.into()), &text);
        if is_lax(&text) {
            prop_assert!(found.is_err() || found == slow_date(&text, "%Y-%m-%d"));
        } else {
            prop_assert_eq!(found, slow_date(&text, "%Y-%m-%d"));
        }
    }

    #[test]
    fn dates_of_other_patterns_are_those_of_chrono(year in 1000..9999, month in 0..14_u32, day in 0..33_u32, how in 0..4_usize) {
        let (pattern, text) = match how {
            0 => ("%d.%m.%Y", format!("{day:02}.{month:02}.{year}")),
            1 => ("%m/%d/%Y", format!("{month}/{day}/{year}")),
            2 => ("%Y%m%d", format!("{year}{month:02}{day:02}")),
            _ => ("%Y/%j", format!("{year}/{:03}", day * 12)),
        };
        prop_assert_eq!(value(&ColumnType::Date(pattern.into()), &text), slow_date(&text, pattern));
    }

    #[test]
    fn times_are_those_of_chrono(text in mangled(clocks())) {
        let slow = NaiveTime::parse_from_str(&text, "%H:%M:%S%.f").ok();
        let found = value(&ColumnType::Time(ColumnType::ISO_TIME.into()), &text).ok();
        let found = found.map(|text| text.parse::<NaiveTime>().expect("a time"));
        if text.contains([' ', '\t', '\n', '\r', '\x0b', '\x0c']) || text.contains(":60") {
            prop_assert!(found.is_none());
        } else {
            prop_assert_eq!(found, slow.map(to_micros));
        }
    }

    #[test]
    fn timestamps_are_those_of_chrono(
        text in mangled((dates(), prop::sample::select(vec!["T", " ", "T"]), clocks()).prop_map(|(date, separator, clock)| format!("{date}{separator}{clock}"))),
    ) {
        let slow = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f"].iter().find_map(|pattern| NaiveDateTime::parse_from_str(&text, pattern).ok());
        let slow = slow.map(|slow| slow.date().and_time(to_micros(slow.time())));
        let found = value(&timestamp(ColumnType::ISO_TIMESTAMP, None), &text).ok();
        let found = found.map(|text| text.parse::<NaiveDateTime>().expect("a timestamp"));
        let spaces = text.matches(|letter: char| letter.is_ascii_whitespace() || letter == '\x0b').count();
        if is_lax(&text.replacen(' ', "T", 1)) || spaces + text.matches('T').count() != 1 {
            prop_assert!(found.is_none() || found == slow);
        } else {
            prop_assert_eq!(found, slow);
        }
    }

    #[test]
    fn instants_are_those_of_the_zone(
        seconds in -2_000_000_000_i64..4_000_000_000,
        zone in prop::sample::select(vec!["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "Asia/Kathmandu", "Pacific/Apia", "UTC"]),
    ) {
        let local = chrono::DateTime::from_timestamp(seconds, 0).expect("in range").naive_utc();
        let tz: chrono_tz::Tz = zone.parse().expect("a zone");
        let slow = tz.from_local_datetime(&local).earliest().map(|instant| instant.with_timezone(&Utc).naive_utc());
        let found = value(&timestamp(ColumnType::ISO_TIMESTAMP, Some(zone)), local.format("%Y-%m-%dT%H:%M:%S").to_string()).ok();
        let found = found.map(|text| text.trim_end_matches('Z').parse::<NaiveDateTime>().expect("a timestamp"));
        prop_assert_eq!(found, slow);
    }
}

fn to_micros(time: NaiveTime) -> NaiveTime {
    use chrono::Timelike;
    time.with_nanosecond(time.nanosecond() / 1000 * 1000).expect("in range")
}
