//! Netlink's framing: messages in what one call received, and the attributes in a message.
//!
//! Headers are in the machine's byte order. Every length is checked: what is truncated ends the iteration and never causes a panic. Nothing
//! is allocated.

/// `NLM_F_DUMP`: the request is for a list.
pub const DUMP: u16 = 0x300;
/// `NLM_F_DUMP_INTR`: the list changed while the kernel wrote it.
pub const DUMP_INTERRUPTED: u16 = 0x10;

const REQUEST: u16 = 1;
const KIND_ERROR: u16 = 2;
const KIND_DONE: u16 = 3;
/// Size of `struct nlmsghdr` in bytes.
const HEADER: usize = 16;
/// Size of `struct nlattr` in bytes.
const ATTRIBUTE: usize = 4;
/// Removes the flags from an attribute's type.
const TYPE_MASK: u16 = 0x3fff;

/// One message of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// Sequence number of the request. 0 for a message that was not requested.
    pub sequence: u32,
    /// Flags of the header, such as [`DUMP_INTERRUPTED`].
    pub flags: u16,
    /// Content of the message.
    pub payload: Payload<'a>,
}

/// Content of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload<'a> {
    /// An errno; 0 is an acknowledgement.
    Error(i32),
    /// The list is complete.
    Done,
    /// A message of the protocol, with its type.
    Data(u16, &'a [u8]),
}

/// Iterates over the messages that one call received. Stops at the first truncated message.
#[derive(Clone, Copy, Debug)]
pub struct Messages<'a> {
    rest: &'a [u8],
}

/// Iterates over the attributes in a payload, as (type, value). Stops at the first truncated attribute.
#[derive(Clone, Copy, Debug)]
pub struct Attributes<'a> {
    rest: &'a [u8],
}

// === impl Messages ===

impl<'a> Messages<'a> {
    /// Iterates over `received`.
    pub fn new(received: &'a [u8]) -> Self {
        Self { rest: received }
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Message<'a>> {
        let length = u32_at(self.rest, 0)? as usize;
        let message = self.rest.get(..length).filter(|message| message.len() >= HEADER)?;
        self.rest = self.rest.get(aligned(length)..).unwrap_or_default();
        let (kind, flags, sequence) = (u16_at(message, 4)?, u16_at(message, 6)?, u32_at(message, 8)?);
        let body = &message[HEADER..];
        let errno = u32_at(body, 0).map(|error| error as i32);
        let payload = match (kind, errno) {
            (KIND_ERROR, Some(error)) => Payload::Error(error.saturating_neg()),
            // The last message of a list contains an errno if the kernel could not complete the list.
            (KIND_DONE, Some(error)) if error < 0 => Payload::Error(error.saturating_neg()),
            (KIND_DONE, _) => Payload::Done,
            _ => Payload::Data(kind, body),
        };
        Some(Message { sequence, flags, payload })
    }
}

// === impl Attributes ===

impl<'a> Attributes<'a> {
    /// Iterates over the attributes in `payload`.
    pub fn new(payload: &'a [u8]) -> Self {
        Self { rest: payload }
    }

    /// Returns the value of the first attribute of a type.
    pub fn find(&self, wanted: u16) -> Option<&'a [u8]> {
        Self { rest: self.rest }.find_map(|(kind, value)| (kind == wanted).then_some(value))
    }

    /// Returns the attributes in the first attribute of a type.
    pub fn nested(&self, wanted: u16) -> Option<Self> {
        self.find(wanted).map(Self::new)
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (length, kind) = (u16_at(self.rest, 0)? as usize, u16_at(self.rest, 2)?);
        let value = self.rest.get(ATTRIBUTE..length)?;
        self.rest = self.rest.get(aligned(length)..).unwrap_or_default();
        Some((kind & TYPE_MASK, value))
    }
}

/// Appends a request whose payload `body` appends.
pub fn request(buffer: &mut Vec<u8>, kind: u16, flags: u16, sequence: u32, body: impl FnOnce(&mut Vec<u8>)) {
    let start = buffer.len();
    buffer.extend([0; 4]);
    buffer.extend(kind.to_ne_bytes());
    buffer.extend((flags | REQUEST).to_ne_bytes());
    buffer.extend(sequence.to_ne_bytes());
    buffer.extend([0; 4]);
    body(buffer);
    let length = (buffer.len() - start) as u32;
    buffer[start..start + 4].copy_from_slice(&length.to_ne_bytes());
}

/// Appends an attribute.
pub fn attribute(buffer: &mut Vec<u8>, kind: u16, value: &[u8]) {
    buffer.extend(((ATTRIBUTE + value.len()) as u16).to_ne_bytes());
    buffer.extend(kind.to_ne_bytes());
    buffer.extend(value);
    buffer.resize(aligned(buffer.len()), 0);
}

/// Returns the number at an offset, in the machine's byte order. `None` if `bytes` is too short.
pub fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// Returns the number at an offset, in the machine's byte order. `None` if `bytes` is too short.
pub fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// Returns the number at an offset, in the machine's byte order. `None` if `bytes` is too short.
pub fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// Rounds up to a multiple of four, where the next message or attribute begins.
const fn aligned(length: usize) -> usize {
    (length + 3) & !3
}
