//! Splits a string into literals and references.

/// Part of a string.
#[derive(Debug, PartialEq)]
pub(super) enum Part<'a> {
    /// Text without a reference.
    Literal(&'a str),
    /// `$$`, a literal `$`.
    Dollar,
    /// The text between `${` and its `}`. It can contain references.
    Reference(&'a str),
}

/// Splits `text`. A `$` that is not followed by `$` or `{` is a literal.
///
/// # Errors
/// Returns the rest of the text, starting at a `${` that is not closed.
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

/// Returns the index of the `}` that closes the reference whose content is at the start of `content`.
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

/// Splits `env:X:-default` into `env:X` and `default`, at the first `:-` that is not inside a nested reference.
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
