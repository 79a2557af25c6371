//! Ports and ranges of ports.

use std::fmt;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde::{Serialize, Serializer};

/// Ports from `first` to `last`, both inclusive. Written `443` or `"8000-9000"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    first: u16,
    last: u16,
}

/// Why a string is neither a port nor a range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPortRange {
    /// Neither a number from 0 to 65535 nor two of them.
    #[error(
        "invalid port {0:?} (write a port such as 443, or a range such as \"8000-9000\"; ports end at 65535)"
    )]
    Malformed(String),
    /// The first port is higher than the last.
    #[error("port range {text:?} is empty (write the lower port first: \"{last}-{first}\")")]
    Reversed {
        /// The configured string.
        text: String,
        /// The port before the `-`.
        first: u16,
        /// The port after the `-`.
        last: u16,
    },
}

// === impl PortRange ===

impl PortRange {
    /// Returns whether the range contains `port`.
    pub fn contains(self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }

    /// Returns the lowest port.
    pub fn first(self) -> u16 {
        self.first
    }

    /// Returns the highest port.
    pub fn last(self) -> u16 {
        self.last
    }
}

impl FromStr for PortRange {
    type Err = InvalidPortRange;

    fn from_str(text: &str) -> Result<Self, InvalidPortRange> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        match (first.trim().parse(), last.trim().parse()) {
            (Ok(first), Ok(last)) if first <= last => Ok(Self { first, last }),
            (Ok(first), Ok(last)) => Err(InvalidPortRange::Reversed { text: text.to_owned(), first, last }),
            _ => Err(InvalidPortRange::Malformed(text.to_owned())),
        }
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last { self.first.fmt(f) } else { write!(f, "{}-{}", self.first, self.last) }
    }
}

impl Serialize for PortRange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.first == self.last {
            serializer.serialize_u16(self.first)
        } else {
            serializer.collect_str(self)
        }
    }
}

impl<'de> Deserialize<'de> for PortRange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PortVisitor;
        impl Visitor<'_> for PortVisitor {
            type Value = PortRange;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a port such as 443 or a range such as \"8000-9000\"")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<PortRange, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<PortRange, E> {
                self.visit_str(&number.to_string())
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<PortRange, E> {
                self.visit_str(&number.to_string())
            }
        }
        deserializer.deserialize_any(PortVisitor)
    }
}
