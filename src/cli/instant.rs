//! Times as people say them on the command line, in UTC.

use std::time::{SystemTime, UNIX_EPOCH};

use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use time::{Date, PrimitiveDateTime, Time};

/// A UTC time as nanoseconds since 1970: a day (its first instant), or a minute or second that ends in `Z`.
pub(super) fn instant(text: &str) -> Result<u64, String> {
    const DAY: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day]");
    const MINUTE: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day]T[hour]:[minute]Z");
    const SECOND: &[BorrowedFormatItem<'_>] =
        format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");
    let parsed = Date::parse(text, DAY)
        .map(|day| day.with_time(Time::MIDNIGHT))
        .or_else(|_| PrimitiveDateTime::parse(text, MINUTE))
        .or_else(|_| PrimitiveDateTime::parse(text, SECOND))
        .map_err(|_| "say a UTC time as 2027-06-30 or 2027-06-30T18:00Z".to_owned())?;
    u64::try_from(parsed.assume_utc().unix_timestamp_nanos())
        .map_err(|_| "say a time between 1970 and 2554".to_owned())
}

/// The inverse of [`instant`], to the second.
pub(super) fn utc(nanoseconds: u64) -> String {
    const SECOND: &[BorrowedFormatItem<'_>] =
        format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");
    time::OffsetDateTime::from_unix_timestamp_nanos(i128::from(nanoseconds))
        .ok()
        .and_then(|at| at.format(SECOND).ok())
        .unwrap_or_else(|| format!("{nanoseconds} ns after 1970"))
}

/// The time now, in nanoseconds since 1970.
#[expect(clippy::disallowed_methods, reason = "the one clock; everything below is given the time")]
pub(super) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_utc_and_explicit() {
        assert_eq!(instant("1970-01-02"), Ok(86_400_000_000_000));
        assert_eq!(instant("1970-01-01T00:01Z"), Ok(60_000_000_000));
        assert_eq!(instant("1970-01-01T00:00:02Z"), Ok(2_000_000_000));
        for bad in ["", "tomorrow", "2027-06-31", "2027-06-30T18:00", "1969-12-31", "2027-06-30T25:00Z"] {
            assert!(instant(bad).is_err(), "{bad}");
        }
        assert_eq!(utc(instant("2027-06-30T18:00Z").unwrap()), "2027-06-30T18:00:00Z");
        assert!(!utc(u64::MAX).is_empty());
    }
}
