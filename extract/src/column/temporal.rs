//! Dates, times of day and timestamps.

use arrow::{
    array::{Array, ArrayRef},
    buffer::NullBuffer,
    datatypes::{DataType, Date32Type, Time64MicrosecondType, TimestampMicrosecondType},
};
use stepwell_pipeline::spec::{ColumnType, TimestampFormat};

use super::{
    cell::Cell,
    civil::{self, MICROS_PER_SECOND},
    faults::Unfit,
    fixed::Parser,
    number::{magnitude, natives, primitive, signed},
    pattern::{Moment, Pattern, Telling},
    zone::Zone,
};

/// Parses days.
pub(crate) struct DateParser {
    is_iso: bool,
    pattern: Pattern,
}

impl DateParser {
    pub(super) fn new(pattern: &str) -> Self {
        let is_iso = matches!(pattern, ColumnType::ISO_DATE | "%F");
        Self { is_iso, pattern: Pattern::new(pattern, Telling::Date) }
    }

    #[inline(never)]
    fn by_pattern(&self, cell: Cell<'_>) -> Result<i32, Unfit> {
        let moment = self.pattern.parse(cell.text()).ok_or(Unfit::Invalid)?;
        i32::try_from(moment.days).map_err(|_| Unfit::OutOfRange)
    }
}

impl Parser for DateParser {
    type Value = i32;

    #[inline(always)]
    fn parse_usual(&self, cell: Cell<'_>) -> Option<i32> {
        if self.is_iso && cell.len() == 10 { civil::iso_date(cell) } else { None }
    }

    fn parse(&mut self, cell: Cell<'_>) -> Result<i32, Unfit> {
        self.parse_usual(cell).map_or_else(|| self.by_pattern(cell), Ok)
    }

    fn array(&self, values: Vec<i32>, nulls: Option<NullBuffer>) -> ArrayRef {
        primitive::<Date32Type>(&DataType::Date32, values, nulls)
    }

    fn values(&self, array: &dyn Array) -> Option<Vec<i32>> {
        natives::<Date32Type>(array)
    }
}

/// Parses times of day.
pub(crate) struct TimeParser {
    /// ISO 8601, and whether with a fraction.
    iso: Option<bool>,
    pattern: Pattern,
    data_type: DataType,
}

impl TimeParser {
    pub(super) fn new(pattern: &str, data_type: DataType) -> Self {
        let iso = match pattern {
            ColumnType::ISO_TIME | "%T%.f" => Some(true),
            "%H:%M:%S" | "%T" => Some(false),
            _ => None,
        };
        Self { iso, pattern: Pattern::new(pattern, Telling::Time), data_type }
    }

    #[inline]
    fn iso(&self, cell: Cell<'_>) -> Option<i64> {
        let has_fraction = self.iso?;
        let seconds = civil::iso_clock(cell, 0)?;
        let (micros, bytes) = if has_fraction { civil::fraction(&cell.text()[8..])? } else { (0, 0) };
        (cell.len() == 8 + bytes).then_some(seconds * MICROS_PER_SECOND + micros)
    }
}

impl Parser for TimeParser {
    type Value = i64;

    #[inline]
    fn parse(&mut self, cell: Cell<'_>) -> Result<i64, Unfit> {
        let slow = || self.pattern.parse(cell.text()).map(|moment| moment.micros);
        self.iso(cell).or_else(slow).ok_or(Unfit::Invalid)
    }

    fn array(&self, values: Vec<i64>, nulls: Option<NullBuffer>) -> ArrayRef {
        primitive::<Time64MicrosecondType>(&self.data_type, values, nulls)
    }

    fn values(&self, array: &dyn Array) -> Option<Vec<i64>> {
        natives::<Time64MicrosecondType>(array)
    }
}

/// Parses timestamps. Those with an offset, or in a zone, become instants in UTC. Digits finer than microseconds are
/// cut off.
pub(crate) struct TimestampParser {
    iso: Option<IsoForm>,
    /// Of ISO 8601 two: as people write it, it has a space as often as a T.
    patterns: Vec<Pattern>,
    zone: Option<Zone>,
    data_type: DataType,
}

/// ISO 8601 with seconds.
struct IsoForm {
    has_fraction: bool,
    end: IsoEnd,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum IsoEnd {
    Nothing,
    Zulu,
    Offset,
}

impl IsoForm {
    fn of(pattern: &str) -> Option<Self> {
        let rest = ["%Y-%m-%d", "%F"].iter().find_map(|date| pattern.strip_prefix(date))?;
        let rest = rest.strip_prefix(['T', ' '])?;
        let rest = ["%H:%M:%S", "%T"].iter().find_map(|clock| rest.strip_prefix(clock))?;
        let fraction = rest.strip_prefix("%.f");
        let end = match fraction.unwrap_or(rest) {
            "" => IsoEnd::Nothing,
            "Z" => IsoEnd::Zulu,
            "%z" | "%:z" => IsoEnd::Offset,
            _ => return None,
        };
        Some(Self { has_fraction: fraction.is_some(), end })
    }

    #[inline]
    fn parse(&self, cell: Cell<'_>) -> Option<Moment> {
        let days = i64::from(civil::iso_date(cell)?);
        let seconds = civil::iso_clock(cell, 11)?;
        if !matches!(cell.byte(10), b'T' | b' ') {
            return None;
        }
        let rest = &cell.text()[19..];
        let (micros, bytes) = if self.has_fraction { civil::fraction(rest)? } else { (0, 0) };
        let (offset, end_bytes) = match (self.end, &rest[bytes..]) {
            (IsoEnd::Nothing, []) => (None, 0),
            (IsoEnd::Zulu, [b'Z']) => (None, 1),
            (IsoEnd::Offset, end) => civil::offset(end).map(|(offset, bytes)| (Some(offset), bytes))?,
            _ => return None,
        };
        let is_whole = bytes + end_bytes == rest.len();
        is_whole.then_some(Moment { days, micros: seconds * MICROS_PER_SECOND + micros, offset })
    }
}

impl TimestampParser {
    /// # Errors
    /// A message, if there is no such zone.
    pub(super) fn new(format: &TimestampFormat, data_type: DataType) -> Result<Self, String> {
        let iso = IsoForm::of(&format.pattern);
        let spellings = match iso {
            Some(_) => vec![format.pattern.replace(' ', "T"), format.pattern.replace('T', " ").replace("% ", "%T")],
            None => vec![format.pattern.clone()],
        };
        Ok(Self {
            iso,
            patterns: spellings.iter().map(|pattern| Pattern::new(pattern, Telling::DateTime)).collect(),
            zone: format.zone.as_deref().map(Zone::new).transpose()?,
            data_type,
        })
    }
}

impl Parser for TimestampParser {
    type Value = i64;

    #[inline(always)]
    fn parse_usual(&self, cell: Cell<'_>) -> Option<i64> {
        let moment = self.iso.as_ref().filter(|_| self.zone.is_none())?.parse(cell)?;
        Some(moment.local_micros()? - moment.offset.unwrap_or(0) * MICROS_PER_SECOND)
    }

    #[inline]
    fn parse(&mut self, cell: Cell<'_>) -> Result<i64, Unfit> {
        let fast = self.iso.as_ref().and_then(|iso| iso.parse(cell));
        let slow = || self.patterns.iter().find_map(|pattern| pattern.parse(cell.text()));
        let moment = fast.or_else(slow).ok_or(Unfit::Invalid)?;
        let local = moment.local_micros().ok_or(Unfit::OutOfRange)?;
        match (moment.offset, &mut self.zone) {
            (Some(offset), _) => local.checked_sub(offset * MICROS_PER_SECOND).ok_or(Unfit::OutOfRange),
            (None, Some(zone)) => zone.instant(local).ok_or(Unfit::Invalid),
            (None, None) => Ok(local),
        }
    }

    fn array(&self, values: Vec<i64>, nulls: Option<NullBuffer>) -> ArrayRef {
        primitive::<TimestampMicrosecondType>(&self.data_type, values, nulls)
    }

    fn values(&self, array: &dyn Array) -> Option<Vec<i64>> {
        natives::<TimestampMicrosecondType>(array)
    }
}

/// Parses numbers of seconds, milliseconds or microseconds since 1970; seconds may have a fraction, of which digits
/// finer than microseconds are cut off.
pub(crate) struct EpochParser {
    micros_per_unit: i64,
    data_type: DataType,
}

impl EpochParser {
    /// `None`, if the format is none of [`ColumnType::EPOCHS`].
    pub(super) fn new(format: &TimestampFormat, data_type: DataType) -> Option<Self> {
        let micros_per_unit = match format.pattern.as_str() {
            "epoch_s" => MICROS_PER_SECOND,
            "epoch_ms" => 1000,
            "epoch_us" => 1,
            _ => return None,
        };
        Some(Self { micros_per_unit, data_type })
    }
}

impl Parser for EpochParser {
    type Value = i64;

    #[inline]
    fn parse(&mut self, cell: Cell<'_>) -> Result<i64, Unfit> {
        let (is_negative, digits) = signed(cell);
        let may_have_fraction = self.micros_per_unit == MICROS_PER_SECOND;
        let point = if may_have_fraction { digits.text().iter().position(|byte| *byte == b'.') } else { None };
        let (whole, micros) = match point {
            Some(point) => {
                let (micros, bytes) = civil::fraction(&digits.text()[point..]).ok_or(Unfit::Invalid)?;
                if point + bytes != digits.len() {
                    return Err(Unfit::Invalid);
                }
                (Cell::from(&digits.text()[..point]), micros)
            }
            None => (digits, 0),
        };
        let units = i64::try_from(magnitude(whole)?).map_err(|_| Unfit::OutOfRange)?;
        let since = units.checked_mul(self.micros_per_unit).and_then(|since| since.checked_add(micros));
        since.map(|since| if is_negative { -since } else { since }).ok_or(Unfit::OutOfRange)
    }

    fn array(&self, values: Vec<i64>, nulls: Option<NullBuffer>) -> ArrayRef {
        primitive::<TimestampMicrosecondType>(&self.data_type, values, nulls)
    }

    fn values(&self, array: &dyn Array) -> Option<Vec<i64>> {
        natives::<TimestampMicrosecondType>(array)
    }
}
