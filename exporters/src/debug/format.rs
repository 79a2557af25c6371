//! Values as the Collector (Go) writes them.

use std::fmt::{self, Display};

use longwave_pipeline::component::visible::Visible;
use longwave_pipeline::model::{Rfc3339, UnixNanos};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};

/// The value alone.
pub(super) struct Plain<'a>(pub(super) Option<&'a AnyValue>);

/// The value with its type: `Str(frontend)`.
pub(super) struct Typed<'a>(pub(super) Option<&'a AnyValue>);

/// `key=value`, separated by a text.
pub(super) struct Pairs<'a> {
    pub(super) attributes: &'a [KeyValue],
    pub(super) separator: &'static str,
}

/// A time as in `2026-11-21 08:00:05 +0000 UTC`, without zeros at the end of the fraction.
pub(super) struct Time(pub(super) u64);

/// A number as Go's `%v`: with the fewest digits, and with an exponent if it is less than -4 or at least 21.
pub(super) struct Shortest(pub(super) f64);

impl Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.and_then(|any| any.value.as_ref()) {
            Some(Value::StringValue(text)) => Visible(text).fmt(f),
            Some(Value::BoolValue(value)) => value.fmt(f),
            Some(Value::IntValue(number)) => number.fmt(f),
            // As in JavaScript.
            Some(Value::DoubleValue(number)) if *number != 0.0 && number.abs() < 1e-6 => {
                write!(f, "{number:e}")
            }
            Some(Value::DoubleValue(number)) => number.fmt(f),
            // Longwave exports no other kinds.
            _ => Ok(()),
        }
    }
}

impl Display for Typed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.0.and_then(|any| any.value.as_ref()) {
            Some(Value::StringValue(_)) => "Str",
            Some(Value::BoolValue(_)) => "Bool",
            Some(Value::IntValue(_)) => "Int",
            Some(Value::DoubleValue(_)) => "Double",
            _ => "Empty",
        };
        write!(f, "{kind}({})", Plain(self.0))
    }
}

impl Display for Pairs<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, KeyValue { key, value, .. }) in self.attributes.iter().enumerate() {
            let separator = if index == 0 { "" } else { self.separator };
            write!(f, "{separator}{}={}", Visible(key), Plain(value.as_ref()))?;
        }
        Ok(())
    }
}

impl Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = Rfc3339(UnixNanos(self.0)).to_string();
        // The text always has nine digits after the point.
        let text = text.trim_end_matches('Z').trim_end_matches('0').trim_end_matches('.');
        let (date, time) = text.split_once('T').unwrap_or((text, ""));
        write!(f, "{date} {time} +0000 UTC")
    }
}

impl Display for Shortest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scientific = format!("{:e}", self.0);
        let Some((digits, exponent)) = scientific.split_once('e') else { return f.write_str(&scientific) };
        match exponent.parse::<i32>() {
            Ok(exponent) if !(-4..21).contains(&exponent) => {
                let sign = if exponent < 0 { '-' } else { '+' };
                write!(f, "{digits}e{sign}{:02}", exponent.abs())
            }
            _ => write!(f, "{}", self.0),
        }
    }
}
