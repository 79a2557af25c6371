//! Times as daemons write them.

use longwave_pipeline::model::UnixNanos;

/// Reads RFC 3339 with up to nanoseconds: `2026-11-21T10:15:00.123456789Z`, `…+02:00`. `None` for what is none, and for times before
/// 1970: daemons write the year 1 where there is no time.
pub(super) fn parse(text: &str) -> Option<UnixNanos> {
    let (date, time) = text.split_once(['T', ' '])?;
    let mut parts = date.splitn(3, '-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    let zone = time.find(['Z', '+', '-'])?;
    let (clock, zone) = time.split_at(zone);
    let (seconds, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let seconds = clock_seconds(seconds, 3)?;
    let offset = match zone.split_at(1) {
        ("Z", "") => 0,
        ("+", offset) => clock_seconds(offset, 2)?,
        ("-", offset) => -clock_seconds(offset, 2)?,
        _ => return None,
    };
    let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    let nanos: i64 = digits.parse().ok()?;
    let unix = (days_from_civil(year, month, day)? * 86_400 + seconds - offset).checked_mul(1_000_000_000)?;
    u64::try_from(unix.checked_add(nanos)?).ok().map(UnixNanos)
}

/// `10:15:00` or `02:00` in seconds.
fn clock_seconds(text: &str, parts: usize) -> Option<i64> {
    let numbers: Vec<i64> = text.split(':').map(|part| part.parse().ok()).collect::<Option<_>>()?;
    let valid = numbers.len() == parts && numbers.iter().all(|number| (0..=60).contains(number));
    valid.then(|| numbers.iter().chain(&[0]).take(3).fold(0, |seconds, number| seconds * 60 + number))
}

/// Days since 1970-01-01 in the Gregorian calendar.
fn days_from_civil(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Years begin in March, so that the day that comes and goes is the last one.
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    Some(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468)
}
