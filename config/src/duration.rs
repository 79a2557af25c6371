//! Durations in Go's syntax.

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde::{Serialize, Serializer};

/// Duration in Go's syntax: `5s`, `1m30s`, `300µs`, `1.5h`. Never negative, exact to the nanosecond, at most 2^63 - 1 ns
/// (about 292 years). `Display` gives the same text as Go's `Duration.String`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GoDuration(pub Duration);

/// Why a string is not a duration. The messages are Go's, with a remedy added.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDuration {
    /// Not a sequence of numbers that each have a unit.
    #[error("time: invalid duration {0:?} (write for example 5s, 1m30s or 300ms)")]
    Malformed(String),
    /// A number without a unit.
    #[error(
        "time: missing unit in duration {text:?} (write for example {example:?}: units are ns, us, ms, s, m, h)"
    )]
    MissingUnit {
        /// The configured string.
        text: String,
        /// The number with the unit `s`.
        example: String,
    },
    /// A unit that Go does not have.
    #[error("time: unknown unit {unit:?} in duration {text:?} (units are ns, us, ms, s, m, h)")]
    UnknownUnit {
        /// The unit, as configured.
        unit: String,
        /// The configured string.
        text: String,
    },
    /// Less than 0.
    #[error("duration {0:?} must not be negative")]
    Negative(String),
    /// More than 2^63 - 1 nanoseconds.
    #[error("time: invalid duration {0:?} (at most about 292 years)")]
    TooLong(String),
}

impl GoDuration {
    /// Creates a duration of `seconds` seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// Creates a duration of `millis` milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    /// Returns the duration as the type of the standard library.
    pub const fn get(self) -> Duration {
        self.0
    }
}

impl FromStr for GoDuration {
    type Err = InvalidDuration;

    fn from_str(text: &str) -> Result<Self, InvalidDuration> {
        let malformed = || InvalidDuration::Malformed(text.to_owned());
        let (negative, unsigned) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        if unsigned == "0" {
            return Ok(Self::default());
        }
        let mut rest = unsigned;
        let mut total: u64 = 0;
        if rest.is_empty() {
            return Err(malformed());
        }
        while !rest.is_empty() {
            let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
            let (number, after) = rest.split_at(number_end);
            let unit_end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
            let (unit, remaining) = after.split_at(unit_end);
            let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
            if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
                return Err(malformed());
            }
            if unit.is_empty() {
                let example = format!("{number}s");
                return Err(InvalidDuration::MissingUnit { text: text.to_owned(), example });
            }
            let scale = nanoseconds(unit).ok_or_else(|| InvalidDuration::UnknownUnit {
                unit: unit.to_owned(),
                text: text.to_owned(),
            })?;
            total = part(whole, fraction, scale)
                .and_then(|nanos| total.checked_add(nanos))
                .filter(|total| *total <= i64::MAX as u64)
                .ok_or_else(|| InvalidDuration::TooLong(text.to_owned()))?;
            rest = remaining;
        }
        if negative && total > 0 {
            return Err(InvalidDuration::Negative(text.to_owned()));
        }
        Ok(Self(Duration::from_nanos(total)))
    }
}

/// Returns the length of a unit in nanoseconds.
fn nanoseconds(unit: &str) -> Option<u64> {
    Some(match unit {
        "ns" => 1,
        // Go accepts both code points of the micro sign.
        "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    })
}

/// Returns `whole.fraction × scale` in nanoseconds, rounded down, as Go does. `None` if it does not fit.
fn part(whole: &str, fraction: &str, scale: u64) -> Option<u64> {
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    // The 16th and later digits are worth less than a nanosecond in every unit.
    let digits = &fraction[..fraction.len().min(15)];
    let numerator: u128 = if digits.is_empty() { 0 } else { digits.parse().ok()? };
    let below = numerator * u128::from(scale) / 10u128.pow(digits.len() as u32);
    whole.checked_mul(scale)?.checked_add(u64::try_from(below).ok()?)
}

/// Writes `1m30s`, `300µs`, `1.5s` or `0s`, as Go's `Duration.String` does.
impl fmt::Display for GoDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.as_nanos();
        let (scale, unit) = match nanos {
            0 => return f.write_str("0s"),
            1..1_000 => (1, "ns"),
            1_000..1_000_000 => (1_000, "µs"),
            1_000_000..1_000_000_000 => (1_000_000, "ms"),
            _ => {
                let (minutes, below) = (nanos / 60_000_000_000, nanos % 60_000_000_000);
                if minutes >= 60 {
                    write!(f, "{}h{}m", minutes / 60, minutes % 60)?;
                } else if minutes > 0 {
                    write!(f, "{minutes}m")?;
                }
                return decimal(f, below, 1_000_000_000, "s");
            }
        };
        decimal(f, nanos, scale, unit)
    }
}

fn decimal(f: &mut fmt::Formatter<'_>, nanos: u128, scale: u128, unit: &str) -> fmt::Result {
    write!(f, "{}", nanos / scale)?;
    if !nanos.is_multiple_of(scale) {
        let width = scale.ilog10() as usize;
        let digits = format!("{:0width$}", nanos % scale);
        write!(f, ".{}", digits.trim_end_matches('0'))?;
    }
    f.write_str(unit)
}

impl Deref for GoDuration {
    type Target = Duration;

    fn deref(&self) -> &Duration {
        &self.0
    }
}

impl From<Duration> for GoDuration {
    fn from(duration: Duration) -> Self {
        Self(duration)
    }
}

impl From<GoDuration> for Duration {
    fn from(duration: GoDuration) -> Self {
        duration.0
    }
}

impl Serialize for GoDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for GoDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct DurationVisitor;
        impl Visitor<'_> for DurationVisitor {
            type Value = GoDuration;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration such as 5s")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<GoDuration, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<GoDuration, E> {
                self.visit_str(&number.to_string())
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<GoDuration, E> {
                self.visit_str(&number.to_string())
            }

            fn visit_f64<E: Error>(self, number: f64) -> Result<GoDuration, E> {
                self.visit_str(&number.to_string())
            }
        }
        deserializer.deserialize_any(DurationVisitor)
    }
}

#[cfg(test)]
mod tests;
