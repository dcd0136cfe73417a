//! Local times of a time zone as instants.

use chrono::{DateTime, LocalResult, Offset, TimeZone};
use chrono_tz::Tz;

use super::civil::{MICROS_PER_SECOND, SECONDS_PER_DAY};

/// A time zone of the IANA database, with the offsets of the days last asked for.
///
/// A local time that a change of the clocks leaves out does not exist; of one that it gives twice, the earlier counts.
pub(super) struct Zone {
    zone: Tz,
    days: Vec<Option<CachedDay>>,
}

#[derive(Clone, Copy)]
struct CachedDay {
    day: i64,
    /// Seconds east of Greenwich, if they are the same the whole day.
    offset_seconds: Option<i64>,
}

/// A power of two.
const CACHED_DAYS: usize = 1024;

impl Zone {
    /// # Errors
    /// A message, if there is no such zone.
    pub(super) fn new(name: &str) -> Result<Self, String> {
        let zone: Tz = name.parse().map_err(|_| format!("`{name}` is no time zone of the IANA database"))?;
        Ok(Self { zone, days: vec![None; CACHED_DAYS] })
    }

    /// The instant of a local time, both in microseconds since 1970.
    #[inline]
    pub(super) fn instant(&mut self, local: i64) -> Option<i64> {
        let seconds = local.div_euclid(MICROS_PER_SECOND);
        let day = seconds.div_euclid(SECONDS_PER_DAY);
        let place = (day as usize) & (CACHED_DAYS - 1);
        let cached = match self.days[place] {
            Some(cached) if cached.day == day => cached,
            _ => {
                let looked_up = CachedDay { day, offset_seconds: self.offset_of_day(day) };
                *self.days[place].insert(looked_up)
            }
        };
        let offset = match cached.offset_seconds {
            Some(offset) => offset,
            None => self.offset(seconds)?,
        };
        local.checked_sub(offset * MICROS_PER_SECOND)
    }

    /// The offset of a day on which the clocks are not changed.
    fn offset_of_day(&self, day: i64) -> Option<i64> {
        let single = |second: i64| match self.local(second)? {
            LocalResult::Single(offset) => Some(offset),
            _ => None,
        };
        let begin = single(day * SECONDS_PER_DAY)?;
        let noon = single(day * SECONDS_PER_DAY + SECONDS_PER_DAY / 2)?;
        let end = single((day + 1) * SECONDS_PER_DAY)?;
        (begin == noon && noon == end).then_some(begin)
    }

    fn offset(&self, second: i64) -> Option<i64> {
        self.local(second)?.earliest()
    }

    fn local(&self, second: i64) -> Option<LocalResult<i64>> {
        let local = DateTime::from_timestamp(second, 0)?.naive_utc();
        Some(self.zone.offset_from_local_datetime(&local).map(|offset| i64::from(offset.fix().local_minus_utc())))
    }
}
