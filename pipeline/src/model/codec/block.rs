//! The header of a block (kind, lengths, checksums) and its compression.

use super::error::Fault;
use super::fields::{Reader, Writer};

/// Size of a block's header in bytes.
pub(super) const HEADER_LEN: usize = 28;
/// Maximum size of a block after decompression, in bytes.
pub(super) const MAX_RAW: usize = 256 << 20;

const MAGIC: [u8; 4] = *b"LWBK";
/// Maximum size of a stored block in bytes: the worst case of LZ4 for [`MAX_RAW`] bytes plus a margin.
const MAX_STORED: usize = MAX_RAW / 250 * 251 + 1024;

/// What a block contains. The numbers are part of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum BlockKind {
    Session = 1,
    Records = 2,
    PassEnd = 3,
    End = 4,
}

/// A valid header of a block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) kind: BlockKind,
    /// Number of records; 0 for other kinds.
    pub(super) count: u32,
    raw_len: u32,
    stored_len: u32,
    stored_crc: u32,
}

/// Appends a block with the content `raw`. `packed` is a buffer that callers reuse for the next block.
pub(super) fn append(
    kind: BlockKind,
    count: u32,
    raw: &[u8],
    packed: &mut Vec<u8>,
    out: &mut Vec<u8>,
) -> Result<(), Fault> {
    if raw.len() > MAX_RAW {
        return Err(Fault::TooLarge);
    }
    let room = lz4_flex::block::get_maximum_output_size(raw.len());
    if packed.len() < room {
        packed.resize(room, 0);
    }
    let stored_len = lz4_flex::block::compress_into(raw, packed).map_err(|_| Fault::TooLarge)?;
    let stored = &packed[..stored_len];
    let stored_crc = crc32fast::hash(stored);
    let mut header = [0; HEADER_LEN];
    let mut fields = Writer::new(&mut header[..HEADER_LEN - 4]);
    fields.bytes(MAGIC);
    fields.u8(kind as u8);
    fields.bytes([0; 3]);
    fields.u32(count);
    fields.u32(raw.len() as u32);
    fields.u32(stored_len as u32);
    fields.u32(stored_crc);
    debug_assert!(fields.is_full());
    let header_crc = crc32fast::hash(&header[..HEADER_LEN - 4]);
    header[HEADER_LEN - 4..].copy_from_slice(&header_crc.to_le_bytes());
    out.extend_from_slice(&header);
    out.extend_from_slice(stored);
    Ok(())
}

impl BlockKind {
    fn from_number(number: u8) -> Option<Self> {
        [Self::Session, Self::Records, Self::PassEnd, Self::End]
            .into_iter()
            .find(|kind| *kind as u8 == number)
    }
}

impl Header {
    pub(super) fn parse(bytes: &[u8; HEADER_LEN]) -> Result<Self, Fault> {
        let (fields, crc) = bytes.split_at(HEADER_LEN - 4);
        if crc32fast::hash(fields).to_le_bytes() != crc {
            return Err(Fault::Damaged("the checksum of a block's header does not match"));
        }
        let mut fields = Reader::new(fields);
        if fields.array()? != MAGIC {
            return Err(Fault::Damaged("no block begins here"));
        }
        let kind = BlockKind::from_number(fields.u8()?).ok_or(Fault::Damaged("a block of unknown kind"))?;
        let _zero: [u8; 3] = fields.array()?;
        let header = Self {
            kind,
            count: fields.u32()?,
            raw_len: fields.u32()?,
            stored_len: fields.u32()?,
            stored_crc: fields.u32()?,
        };
        if header.raw_len as usize > MAX_RAW || header.stored_len as usize > MAX_STORED {
            return Err(Fault::Damaged("a block of impossible length"));
        }
        Ok(header)
    }

    pub(super) fn stored_len(&self) -> usize {
        self.stored_len as usize
    }

    /// Checks and decompresses the bytes after the header.
    pub(super) fn unpack(&self, stored: &[u8]) -> Result<Vec<u8>, Fault> {
        if crc32fast::hash(stored) != self.stored_crc {
            return Err(Fault::Damaged("the checksum of a block does not match"));
        }
        let raw = lz4_flex::block::decompress(stored, self.raw_len as usize);
        raw.ok()
            .filter(|raw| raw.len() == self.raw_len as usize)
            .ok_or(Fault::Damaged("a block does not decompress to its length"))
    }
}
