//! Compact forms of ids.

/// Uid of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Uid(pub u128);

/// Id of a container: the first 32 of its 64 hex digits. These 128 bits are random, so they are unique in practice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ContainerId(pub u128);

const DIGITS: usize = 32;

// === impl Uid ===

impl Uid {
    /// Parses a uid with dashes, or without (static pods).
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        if let Ok(digits) = <&[u8; DIGITS]>::try_from(bytes) {
            return number(digits).map(Self);
        }
        let bytes = <&[u8; 36]>::try_from(bytes).ok()?;
        let mut digits = [0; DIGITS];
        let mut filled = 0;
        for part in [0..8, 9..13, 14..18, 19..23, 24..36] {
            if part.end < bytes.len() && bytes[part.end] != b'-' {
                return None;
            }
            let next = filled + part.len();
            digits[filled..next].copy_from_slice(&bytes[part]);
            filled = next;
        }
        number(&digits).map(Self)
    }

    /// Returns the two halves of the uid combined by XOR, for tables in which the whole uid takes too much memory. Never 0.
    pub fn short(self) -> u64 {
        ((self.0 >> 64) as u64 ^ self.0 as u64).max(1)
    }
}

// === impl ContainerId ===

impl ContainerId {
    /// Parses `containerd://<64 hex digits>`, or the digits alone.
    pub fn parse(text: &str) -> Option<Self> {
        Self::of_digits(Self::digits(text))
    }

    /// Parses 64 hex digits.
    pub fn of_digits(digits: &str) -> Option<Self> {
        number(digits.as_bytes().first_chunk()?).map(Self)
    }

    /// Returns the digits of `containerd://<digits>`.
    pub fn digits(text: &str) -> &str {
        text.rsplit_once("//").map_or(text, |(_, digits)| digits)
    }
}

fn number(digits: &[u8; DIGITS]) -> Option<u128> {
    let mut wrong = 0;
    let mut half = |digits: &[u8]| {
        digits.iter().fold(0u64, |value, byte| {
            let digit = VALUES[usize::from(*byte)];
            wrong |= digit;
            value << 4 | u64::from(digit)
        })
    };
    let halves = [half(&digits[..DIGITS / 2]), half(&digits[DIGITS / 2..])];
    (wrong < 16).then(|| u128::from(halves[0]) << 64 | u128::from(halves[1]))
}

/// Value of each byte as a hex digit; 255 if it is not one.
const VALUES: [u8; 256] = {
    let mut values = [255; 256];
    let mut digit = 0;
    while digit < 16 {
        let byte = b"0123456789abcdef"[digit];
        values[byte as usize] = digit as u8;
        values[byte.to_ascii_uppercase() as usize] = digit as u8;
        digit += 1;
    }
    values
};
