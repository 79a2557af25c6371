//! [`OwnedValue`]: a stored [`AttributeValue`].

use std::sync::Arc;

use crate::model::attributes::AttributeValue;

/// Value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OwnedValue {
    /// A name that no source resolved. OpenTelemetry leaves the attribute out.
    Unknown,
    /// Text.
    Str(Arc<str>),
    /// Whole number.
    Int(u64),
    /// Bits of a number with a fraction, so that values can be compared.
    Float(u64),
    /// True or false.
    Bool(bool),
}

// === impl OwnedValue ===

impl OwnedValue {
    /// Returns the value for a visitor.
    pub fn view(&self) -> AttributeValue<'_> {
        match self {
            Self::Unknown => AttributeValue::Unknown,
            Self::Str(text) => AttributeValue::Str(text),
            Self::Int(number) => AttributeValue::Int(*number),
            Self::Float(bits) => AttributeValue::Float(f64::from_bits(*bits)),
            Self::Bool(value) => AttributeValue::Bool(*value),
        }
    }
}

impl From<AttributeValue<'_>> for OwnedValue {
    fn from(value: AttributeValue<'_>) -> Self {
        match value {
            AttributeValue::Unknown => Self::Unknown,
            AttributeValue::Str(text) => Self::Str(text.into()),
            AttributeValue::Text(text) => Self::Str(text.to_string().into()),
            AttributeValue::Int(number) => Self::Int(number),
            AttributeValue::Float(number) => Self::Float(number.to_bits()),
            AttributeValue::Bool(value) => Self::Bool(value),
        }
    }
}
