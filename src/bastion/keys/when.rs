//! The time of `expiry-time`, as `parse_absolute_time` of OpenSSH and `strptime` of glibc read it.

use time::{Date, Duration, Month, PrimitiveDateTime, Time};

/// When a key stops to let anybody in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Expiry {
    /// Seconds since 1970; without a zone, counted as if the server's clock showed UTC.
    pub at: u64,
    /// Whose time it is.
    pub zone: Zone,
}

impl Expiry {
    /// Whether it is past, wherever the server is: noon has been everywhere when it has at UTC-12.
    #[must_use]
    pub fn is_past(self, now: u64) -> bool {
        const LAST: u64 = 12 * 3600;
        let late = if self.zone == Zone::Local { LAST } else { 0 };
        self.at.saturating_add(late) < now
    }
}

/// Whose time an expiry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Zone {
    /// `Z` or `UTC` stands behind it.
    Utc,
    /// The server's own.
    Local,
}

/// `YYYYMMDD[HHMM[SS]]` and, in either case, `Z` or `UTC`.
#[must_use]
pub fn parse(text: &str) -> Option<Expiry> {
    let lower = text.to_ascii_lowercase();
    let (digits, zone) = match (lower.strip_suffix('z'), lower.strip_suffix("utc")) {
        (Some(rest), _) if !rest.is_empty() => (rest, Zone::Utc),
        (_, Some(rest)) if !rest.is_empty() => (rest, Zone::Utc),
        _ => (lower.as_str(), Zone::Local),
    };
    let cut: &[(usize, usize, i64, i64)] = match digits.len() {
        8 => &PARTS[..3],
        12 => &PARTS[..5],
        14 => &PARTS,
        _ => return None,
    };
    let mut fields = [0, 1, 1, 0, 0, 0];
    for (field, &(from, to, least, most)) in fields.iter_mut().zip(cut) {
        *field = number(digits.get(from..to)?, least, most)?;
    }
    let [year, month, day, hour, minute, second] = fields;
    // `timegm` carries what is too much, 30 February and second 60, over.
    let month = Month::try_from(u8::try_from(month).ok()?).ok()?;
    let first = Date::from_calendar_date(i32::try_from(year).ok()?, month, 1).ok()?;
    let midnight = PrimitiveDateTime::new(first, Time::MIDNIGHT).assume_utc();
    let seconds = (day.saturating_sub(1)).saturating_mul(86_400) + hour * 3600 + minute * 60 + second;
    let at = midnight.checked_add(Duration::seconds(seconds))?.unix_timestamp();
    let at = u64::try_from(at).ok().filter(|&at| at > 0)?;
    Some(Expiry { at, zone })
}

/// Where each field stands, and what it may be: `%Y %m %d %H %M %S` (strptime(3)).
const PARTS: [(usize, usize, i64, i64); 6] =
    [(0, 4, 0, 9999), (4, 6, 1, 12), (6, 8, 1, 31), (8, 10, 0, 23), (10, 12, 0, 59), (12, 14, 0, 61)];

/// glibc's `get_number`: blanks may stand before, nothing behind.
fn number(text: &str, least: i64, most: i64) -> Option<i64> {
    let digits = text.trim_start_matches([' ', '\t', '\n', '\x0b', '\x0c', '\r']);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok().filter(|value| (least..=most).contains(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_sshd_reads_them() {
        let at = |text: &str| parse(text).map(|e| (e.at, e.zone));
        assert_eq!(at("19700102"), Some((86_400, Zone::Local)));
        assert_eq!(at("197001020000Z"), Some((86_400, Zone::Utc)));
        assert_eq!(at("19700102000001utc"), Some((86_401, Zone::Utc)));
        assert_eq!(at("20270230Z"), at("20270302Z"));
        assert_eq!(at("20270101235960Z"), at("20270102Z"));
        assert_eq!(at("2027 1 1Z"), at("20270101Z"));
        let past = |text: &str, now| parse(text).unwrap().is_past(now);
        assert!(past("19700102Z", 86_401) && !past("19700102Z", 86_400));
        assert!(!past("19700102", 86_401) && past("19700102", 86_400 + 12 * 3600 + 1));
        for bad in [
            "",
            "Z",
            "UTC",
            "19700101Z",
            "2027",
            "20271301",
            "20270132",
            "202701012400",
            "2027-01-01",
            "2027010é",
        ] {
            assert_eq!(at(bad), None, "{bad}");
        }
    }
}
