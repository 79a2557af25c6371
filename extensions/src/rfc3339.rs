//! Times as daemons and API servers write them.

use jiff::Timestamp;
use longwave_pipeline::model::UnixNanos;

/// Parses RFC 3339 with up to nanoseconds: `2026-11-21T10:15:00.123456789Z`, `2026-11-21 12:15:00+02:00`. `None` for other texts and for
/// times before 1970: Docker writes the year 1 if there is no time.
pub(crate) fn parse(text: &str) -> Option<UnixNanos> {
    // jiff accepts times without seconds, RFC 3339 does not.
    let time: Timestamp = text.parse().ok().filter(|_| text.as_bytes().get(16) == Some(&b':'))?;
    u64::try_from(time.as_nanosecond()).ok().map(UnixNanos)
}

/// Parses a time in UTC as Kubernetes writes it (`2026-11-21T09:00:00Z`), and drops a fraction of a second.
pub(crate) fn parse_utc_seconds(text: &str) -> Option<UnixNanos> {
    let time = text.ends_with('Z').then(|| parse(text))??;
    Some(UnixNanos(time.0 - time.0 % 1_000_000_000))
}
