//! Ids in their compact form.

/// A pod's or another object's uid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Uid(pub u128);

/// A container's id: the first half of its 64 hex digits, which tells containers apart as well as all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ContainerId(pub u128);

const DIGITS: usize = 32;

// === impl Uid ===

impl Uid {
    /// From its text, with dashes or (static pods) without.
    pub fn parse(text: &str) -> Option<Self> {
        let mut reader = Hex::default();
        for byte in text.bytes().filter(|b| *b != b'-') {
            reader.push(byte)?;
        }
        reader.complete().map(Self)
    }

    /// Eight bytes of it, for tables in which a whole one would be too much. Never 0.
    pub fn short(self) -> u64 {
        ((self.0 >> 64) as u64 ^ self.0 as u64).max(1)
    }
}

// === impl ContainerId ===

impl ContainerId {
    /// From `containerd://<64 hex digits>` or the digits alone.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.rsplit_once("//").map_or(text, |(_, digits)| digits);
        let mut reader = Hex::default();
        for byte in digits.bytes().take(DIGITS) {
            reader.push(byte)?;
        }
        reader.complete().map(Self)
    }

    /// The digits of `containerd://<digits>`.
    pub fn digits(text: &str) -> &str {
        text.rsplit_once("//").map_or(text, |(_, digits)| digits)
    }
}

#[derive(Default)]
struct Hex {
    value: u128,
    digits: usize,
}

impl Hex {
    fn push(&mut self, byte: u8) -> Option<()> {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            b'A'..=b'F' => byte - b'A' + 10,
            _ => return None,
        };
        self.digits += 1;
        self.value = self.value << 4 | u128::from(digit);
        Some(())
    }

    fn complete(self) -> Option<u128> {
        (self.digits == DIGITS).then_some(self.value)
    }
}
