//! [`unescape`]: decodes texts in which a byte may be written as a number.

/// Replaces bytes that are written as `prefix` and a number of exactly `digits` digits in the base `radix`, for example `%41` (`"%"`, 2, 16).
/// The rest of the text does not change. Bytes that are not UTF-8 become U+FFFD.
pub fn unescape(text: &str, prefix: &str, digits: usize, radix: u32) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        if let Some(escape) = rest.strip_prefix(prefix.as_bytes())
            && let Some((number, after)) = escape.split_at_checked(digits)
            && let Some(byte) = byte(number, radix)
        {
            bytes.push(byte);
            rest = after;
        } else {
            bytes.push(first);
            rest = after;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Parses digits. `None` if one of them is no digit, a sign for example, or if the number is too large.
fn byte(digits: &[u8], radix: u32) -> Option<u8> {
    let add = |sum: u32, digit: &u8| Some(sum * radix + char::from(*digit).to_digit(radix)?);
    digits.iter().try_fold(0, add).and_then(|sum| u8::try_from(sum).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// *Scenario*: escapes of the mount table, of systemd and of URLs, and texts that only look like them.
    /// *Guarantees*: escapes become bytes, and everything else stays.
    #[test]
    fn only_escapes_are_replaced() {
        let octal = |text| unescape(text, "\\", 3, 8);
        assert_eq!(octal("a\\040b\\134"), "a b\\");
        assert_eq!(octal("\\777 \\+12 \\04"), "\\777 \\+12 \\04");
        let systemd = |text| unescape(text, "\\x", 2, 16);
        assert_eq!(systemd("my\\x2dapp\\xff\\x2"), "my-app\u{fffd}\\x2");
        let url = |text| unescape(text, "%", 2, 16);
        assert_eq!(url("p%40ss%C3%a4%%4x%+A%"), "p@ss\u{e4}%%4x%+A%");
    }
}
