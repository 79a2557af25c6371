//! The protobuf encoding that OTLP needs. It is written by hand because a message tree for each point costs more than the point itself
//! (`benches/otlp_encode.rs` compares the two). Tests decode the result with prost.

use longwave_pipeline::model::AttributeValue;

/// Wire type of length-delimited fields.
const LENGTH_DELIMITED: u8 = 2;
/// Wire type of 8-byte fields.
const FIXED64: u8 = 1;
/// Wire type of varints.
const VARINT: u8 = 0;

/// Returns the one-byte key of a length-delimited field (numbers up to 15).
pub(crate) const fn message_key(field: u8) -> u8 {
    field << 3 | LENGTH_DELIMITED
}

/// Returns the one-byte key of a fixed64, sfixed64 or double field.
pub(crate) const fn fixed64_key(field: u8) -> u8 {
    field << 3 | FIXED64
}

/// Returns the one-byte key of an integer, bool or enum field.
pub(crate) const fn varint_key(field: u8) -> u8 {
    field << 3 | VARINT
}

/// Returns the length of `value` as a varint.
pub(crate) const fn varint_len(value: u64) -> usize {
    ((63 - (value | 1).leading_zeros() as usize) / 7) + 1
}

/// Returns the length of a length-delimited field with `len` bytes of content, with a one-byte key.
pub(crate) const fn message_len(len: usize) -> usize {
    1 + varint_len(len as u64) + len
}

pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends the key and the length of a length-delimited field. The caller appends its `len` bytes.
pub(crate) fn put_message(out: &mut Vec<u8>, field: u8, len: usize) {
    out.push(message_key(field));
    put_varint(out, len as u64);
}

pub(crate) fn put_str(out: &mut Vec<u8>, field: u8, text: &str) {
    put_message(out, field, text.len());
    out.extend_from_slice(text.as_bytes());
}

pub(crate) fn put_fixed64(out: &mut Vec<u8>, field: u8, bits: u64) {
    out.push(fixed64_key(field));
    out.extend_from_slice(&bits.to_le_bytes());
}

/// Appends one `KeyValue` as an element of the repeated field `field`. Nothing is appended for an unknown name. `scratch` is a buffer for
/// values that must be formatted.
pub(crate) fn put_attribute(
    out: &mut Vec<u8>,
    field: u8,
    key: &str,
    value: AttributeValue<'_>,
    scratch: &mut String,
) {
    use std::fmt::Write;
    let value = match value {
        AttributeValue::Unknown => return,
        AttributeValue::Text(text) => {
            scratch.clear();
            // Writing to a string cannot fail. If a `Display` fails, what it wrote before stays.
            let _ = write!(scratch, "{text}");
            AttributeValue::Str(scratch)
        }
        other => other,
    };
    // OTLP has signed numbers only.
    let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX) as u64;
    let any_len = match value {
        AttributeValue::Str(text) => message_len(text.len()),
        AttributeValue::Bool(_) => 2,
        AttributeValue::Int(number) => 1 + varint_len(signed(number)),
        AttributeValue::Float(_) => 9,
        AttributeValue::Text(_) | AttributeValue::Unknown => 0,
    };
    put_message(out, field, message_len(key.len()) + message_len(any_len));
    put_str(out, 1, key);
    put_message(out, 2, any_len);
    match value {
        AttributeValue::Str(text) => put_str(out, 1, text),
        AttributeValue::Bool(value) => out.extend_from_slice(&[varint_key(2), value.into()]),
        AttributeValue::Int(number) => {
            out.push(varint_key(3));
            put_varint(out, signed(number));
        }
        AttributeValue::Float(number) => put_fixed64(out, 4, number.to_bits()),
        AttributeValue::Text(_) | AttributeValue::Unknown => {}
    }
}
