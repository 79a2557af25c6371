//! A text as literal parts and references.

/// A part of a text.
#[derive(Debug, PartialEq)]
pub(super) enum Part<'a> {
    /// As it is.
    Literal(&'a str),
    /// `$$`.
    Dollar,
    /// What stands between `${` and its `}`; may itself have references.
    Reference(&'a str),
}

/// Splits `text`. A `$` before anything but `$` or `{` is literal.
///
/// # Errors
/// The rest of the text from a `${` that is not closed.
pub(super) fn split(text: &str) -> Result<Vec<Part<'_>>, &str> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        let after = &rest[dollar + 1..];
        let upto = match after.bytes().next() {
            Some(b'$' | b'{') => dollar,
            _ => dollar + 1,
        };
        if upto > 0 {
            parts.push(Part::Literal(&rest[..upto]));
        }
        rest = match after.bytes().next() {
            Some(b'$') => {
                parts.push(Part::Dollar);
                &after[1..]
            }
            Some(b'{') => {
                let length = closing(&after[1..]).ok_or(&rest[dollar..])?;
                parts.push(Part::Reference(&after[1..=length]));
                &after[length + 2..]
            }
            _ => after,
        };
    }
    if !rest.is_empty() {
        parts.push(Part::Literal(rest));
    }
    Ok(parts)
}

/// Where the `}` is that closes a reference whose content starts here.
fn closing(content: &str) -> Option<usize> {
    let bytes = content.as_bytes();
    let mut open = 0usize;
    let mut index = 0;
    while index < bytes.len() {
        match (bytes[index], bytes.get(index + 1)) {
            (b'$', Some(b'$')) => index += 1,
            (b'$', Some(b'{')) => {
                open += 1;
                index += 1;
            }
            (b'}', _) if open == 0 => return Some(index),
            (b'}', _) => open -= 1,
            _ => {}
        }
        index += 1;
    }
    None
}

/// `env:X:-default` as `env:X` and `default`; the first `:-` outside of inner references separates.
pub(super) fn split_default(inner: &str) -> (&str, Option<&str>) {
    let mut open = 0usize;
    let bytes = inner.as_bytes();
    for index in 0..bytes.len() {
        match (bytes[index], bytes.get(index + 1)) {
            (b'$', Some(b'{')) => open += 1,
            (b'}', _) => open = open.saturating_sub(1),
            (b':', Some(b'-')) if open == 0 => return (&inner[..index], Some(&inner[index + 2..])),
            _ => {}
        }
    }
    (inner, None)
}
