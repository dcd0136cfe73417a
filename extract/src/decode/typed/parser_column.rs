use arrow::datatypes::DataType;
use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, TimeZone, Utc};
use chrono_tz::Tz;
use stepwell_pipeline::{
    ErrorKind, StageError,
    spec::{BooleanSpellings, Column, ColumnType, TimestampFormat},
};

/// The column as its parser should be given it, for text made of a typed source's values.
///
/// Such text is in ISO 8601, whatever format is declared, and has no spellings of null. What the spec writes in the
/// declared format (the default, the bounds, the values allowed) is rewritten. Columns of strings stay as declared.
///
/// # Errors
/// `InvalidSpec` for a default or bound that is not in the declared format.
pub(crate) fn parser_column(column: &Column, source_type: &DataType) -> Result<Column, StageError> {
    let mut parsed = column.clone();
    if is_text(source_type) {
        return Ok(parsed);
    }
    parsed.nulls = Vec::new();
    parsed.trim = false;
    parsed.column_type = match (&column.column_type, source_type) {
        (ColumnType::Boolean(_), _) => ColumnType::Boolean(BooleanSpellings::default()),
        (ColumnType::Date(_), _) => ColumnType::Date(ColumnType::ISO_DATE.to_owned()),
        (ColumnType::Time(_), _) => ColumnType::Time(ColumnType::ISO_TIME.to_owned()),
        // Numbers since 1970 are what the declared format says.
        (ColumnType::Timestamp(_), source_type) if source_type.is_integer() => column.column_type.clone(),
        (ColumnType::Timestamp(_), DataType::Timestamp(_, Some(_))) => {
            ColumnType::Timestamp(TimestampFormat { pattern: format!("{}%:z", ColumnType::ISO_TIMESTAMP), zone: None })
        }
        (ColumnType::Timestamp(format), _) => ColumnType::Timestamp(TimestampFormat {
            pattern: ColumnType::ISO_TIMESTAMP.to_owned(),
            zone: format.zone.clone(),
        }),
        (column_type, _) => column_type.clone(),
    };
    let (from, to) = (&column.column_type, &parsed.column_type);
    let texts =
        parsed.default.iter_mut().chain(&mut parsed.min).chain(&mut parsed.max).chain(parsed.allowed.iter_mut());
    for text in texts {
        *text = rewritten(text, from, to).ok_or_else(|| {
            StageError::new(
                ErrorKind::InvalidSpec,
                format!("`{text}` of column `{}` is not in the format that is declared for the column", column.name),
            )
        })?;
    }
    Ok(parsed)
}

/// Whether a type's values are text already.
pub(super) fn is_text(source_type: &DataType) -> bool {
    match source_type {
        DataType::Dictionary(_, value) => is_text(value),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => false,
        source_type => source_type.is_string(),
    }
}

/// A value of the spec in another format of the same type.
fn rewritten(text: &str, from: &ColumnType, to: &ColumnType) -> Option<String> {
    if from == to {
        return Some(text.to_owned());
    }
    match (from, to) {
        (ColumnType::Boolean(spellings), _) if spellings.yes.iter().any(|yes| yes == text) => Some("true".to_owned()),
        (ColumnType::Boolean(spellings), _) if spellings.no.iter().any(|no| no == text) => Some("false".to_owned()),
        (ColumnType::Date(pattern), _) => {
            Some(NaiveDate::parse_from_str(text, pattern).ok()?.format(ColumnType::ISO_DATE).to_string())
        }
        (ColumnType::Time(pattern), _) => {
            Some(NaiveTime::parse_from_str(text, pattern).ok()?.format("%H:%M:%S%.6f").to_string())
        }
        (ColumnType::Timestamp(from), ColumnType::Timestamp(to)) => timestamp(text, from, to),
        _ => None,
    }
}

fn timestamp(text: &str, from: &TimestampFormat, to: &TimestampFormat) -> Option<String> {
    const MICROS: &str = "%Y-%m-%dT%H:%M:%S%.6f";
    let zone: Option<Tz> = from.zone.as_ref().map(|zone| zone.parse()).transpose().ok()?;
    let per_second = ["epoch_s", "epoch_ms", "epoch_us"].iter().position(|epoch| *epoch == from.pattern);
    let instant = match per_second {
        Some(thousands) => {
            let micros = text.parse::<i64>().ok()?.checked_mul([1_000_000, 1000, 1][thousands])?;
            Some(DateTime::from_timestamp_micros(micros)?)
        }
        None => DateTime::parse_from_str(text, &from.pattern).ok().map(|instant| instant.with_timezone(&Utc)),
    };
    let local = match instant {
        Some(_) => None,
        None => Some(wall_time(text, &from.pattern)?),
    };
    let instant = match (instant, zone, local) {
        (None, Some(zone), Some(local)) => Some(zone.from_local_datetime(&local).earliest()?.with_timezone(&Utc)),
        (instant, _, _) => instant,
    };
    let with_offset = to.pattern.ends_with("%:z");
    match (instant, &to.zone, local) {
        (Some(instant), None, _) if with_offset => Some(instant.format(&format!("{MICROS}%:z")).to_string()),
        (_, _, Some(local)) => Some(local.format(MICROS).to_string()),
        (Some(instant), Some(_), None) => Some(instant.with_timezone(&zone?).format(MICROS).to_string()),
        _ => None,
    }
}

/// A date without a time is midnight; a space may stand for ISO 8601's T.
fn wall_time(text: &str, pattern: &str) -> Option<NaiveDateTime> {
    let parsed = NaiveDateTime::parse_from_str(text, pattern).ok();
    let spaced = || NaiveDateTime::parse_from_str(&text.replacen(' ', "T", 1), pattern).ok();
    parsed.or_else(spaced).or_else(|| NaiveDate::parse_from_str(text, pattern).ok()?.and_hms_opt(0, 0, 0))
}
