//! Sizes in bytes.

use std::fmt;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde::{Serialize, Serializer};

/// Number of bytes. Written `64MiB`, `512KiB`, `1GB`, `1.5GiB`, or `4096` without a unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(pub u64);

/// Why a string is not a size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidByteSize {
    /// Not a number, or not a number followed by a unit.
    #[error("invalid size {0:?} (write for example 64MiB, 512KiB, 1GB, or a number of bytes)")]
    Malformed(String),
    /// `64M` could mean 64,000,000 or 67,108,864.
    #[error(
        "ambiguous unit {unit:?} in size {text:?} (write {unit}B for powers of 1000, {unit}iB for powers of 1024)"
    )]
    Ambiguous {
        /// The unit, in upper case.
        unit: String,
        /// The configured string.
        text: String,
    },
    /// The unit is not one of `BINARY` or `DECIMAL`.
    #[error("unknown unit {unit:?} in size {text:?} (units are B, kB, MB, GB, TB, KiB, MiB, GiB, TiB)")]
    UnknownUnit {
        /// The unit, as configured.
        unit: String,
        /// The configured string.
        text: String,
    },
    /// Less than 0.
    #[error("size {0:?} must not be negative")]
    Negative(String),
    /// 2^64 or more.
    #[error("size {0:?} is too large")]
    TooLarge(String),
}

/// Powers of 1024, largest first.
const BINARY: [(u64, &str); 4] = [(1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
/// Powers of 1000, largest first.
const DECIMAL: [(u64, &str); 4] =
    [(1_000_000_000_000, "TB"), (1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];

impl ByteSize {
    /// Creates a size of `count` × 1024 × 1024 bytes.
    pub const fn mib(count: u64) -> Self {
        Self(count << 20)
    }

    /// Creates a size of `count` × 1024 bytes.
    pub const fn kib(count: u64) -> Self {
        Self(count << 10)
    }

    /// Returns the number of bytes.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl FromStr for ByteSize {
    type Err = InvalidByteSize;

    fn from_str(text: &str) -> Result<Self, InvalidByteSize> {
        let malformed = || InvalidByteSize::Malformed(text.to_owned());
        let trimmed = text.trim();
        if trimmed.starts_with('-') {
            return Err(InvalidByteSize::Negative(text.to_owned()));
        }
        let number_end = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(trimmed.len());
        let (number, unit) = trimmed.split_at(number_end);
        let unit = unit.trim_start();
        let scale = scale(unit).ok_or_else(|| match unit.to_ascii_uppercase().as_str() {
            _ if number.is_empty() => malformed(),
            "K" | "M" | "G" | "T" => {
                InvalidByteSize::Ambiguous { unit: unit.to_ascii_uppercase(), text: text.to_owned() }
            }
            _ => InvalidByteSize::UnknownUnit { unit: unit.to_owned(), text: text.to_owned() },
        })?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let digits = &fraction[..fraction.len().min(15)];
        if whole.is_empty()
            || digits.contains('.')
            || (number.contains('.') && (digits.is_empty() || scale == 1))
        {
            return Err(malformed());
        }
        let too_large = || InvalidByteSize::TooLarge(text.to_owned());
        let whole: u128 = whole.parse().map_err(|_| too_large())?;
        let numerator: u128 = if digits.is_empty() { 0 } else { digits.parse().map_err(|_| malformed())? };
        let below = numerator * u128::from(scale) / 10u128.pow(digits.len() as u32);
        let total = whole.checked_mul(u128::from(scale)).and_then(|bytes| bytes.checked_add(below));
        total.and_then(|bytes| u64::try_from(bytes).ok()).map(Self).ok_or_else(too_large)
    }
}

/// Returns the number of bytes of a unit. Case is ignored. `None` if the unit is unknown.
fn scale(unit: &str) -> Option<u64> {
    let upper = unit.to_ascii_uppercase();
    if upper.is_empty() || upper == "B" {
        return Some(1);
    }
    // Kubernetes writes quantities as `Ki`, `Mi`, `Gi`.
    let spelled = if upper.ends_with('I') { format!("{upper}B") } else { upper };
    BINARY
        .iter()
        .chain(&DECIMAL)
        .find(|(_, name)| name.eq_ignore_ascii_case(&spelled))
        .map(|(scale, _)| *scale)
}

/// Uses the largest unit that divides the size without a remainder.
impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match BINARY
            .iter()
            .chain(&DECIMAL)
            .find(|(scale, _)| self.0 >= *scale && self.0.is_multiple_of(*scale))
        {
            Some((scale, unit)) => write!(f, "{}{unit}", self.0 / scale),
            None => write!(f, "{}", self.0),
        }
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let shown = self.to_string();
        // A size without a unit is a YAML number, which needs no quotes.
        if shown.bytes().all(|b| b.is_ascii_digit()) {
            serializer.serialize_u64(self.0)
        } else {
            serializer.serialize_str(&shown)
        }
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SizeVisitor;
        impl Visitor<'_> for SizeVisitor {
            type Value = ByteSize;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size such as 64MiB")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<ByteSize, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<ByteSize, E> {
                Ok(ByteSize(number))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<ByteSize, E> {
                u64::try_from(number)
                    .map(ByteSize)
                    .map_err(|_| E::custom(InvalidByteSize::Negative(number.to_string())))
            }
        }
        deserializer.deserialize_any(SizeVisitor)
    }
}

#[cfg(test)]
mod tests;
