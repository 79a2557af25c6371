//! [`Encoder`]: writes records as blocks.

use super::block::{self, BlockKind};
use super::error::Fault;
use super::fields::Writer;
use super::names::NameWriter;
use super::record::{self, RECORD_LEN};
use super::{FILE_HEADER_LEN, FILE_MAGIC, MAX_BLOCK_RECORDS, SessionEnd, SessionStart, VERSION};
use crate::model::batch::PassEnd;
use crate::model::record::ConnectionRecord;

/// Size of a block's names in bytes. Once the names exceed it, the next record begins a new block.
const NAMES_PER_BLOCK: usize = 8 << 20;

/// Encodes records as blocks. Reuses its buffers.
#[derive(Default)]
pub struct Encoder {
    names: NameWriter,
    raw: Vec<u8>,
    packed: Vec<u8>,
}

/// Returns the header of a file.
pub fn file_header() -> [u8; FILE_HEADER_LEN] {
    file_header_of(VERSION)
}

/// Returns the header of a file in this version of the format.
pub(super) fn file_header_of(version: u16) -> [u8; FILE_HEADER_LEN] {
    let mut header = [0; FILE_HEADER_LEN];
    let mut fields = Writer::new(&mut header[..FILE_HEADER_LEN - 4]);
    fields.bytes(FILE_MAGIC);
    fields.u16(version);
    fields.u16(0);
    let crc = crc32fast::hash(&header[..FILE_HEADER_LEN - 4]);
    header[FILE_HEADER_LEN - 4..].copy_from_slice(&crc.to_le_bytes());
    header
}

impl Encoder {
    /// Appends the blocks of `records`.
    ///
    /// # Errors
    /// [`Fault::TooLarge`] if the names of one record take hundreds of megabytes.
    pub fn records(&mut self, records: &[ConnectionRecord], out: &mut Vec<u8>) -> Result<(), Fault> {
        let mut rest = records;
        while !rest.is_empty() {
            self.names.clear();
            let max_count = rest.len().min(MAX_BLOCK_RECORDS);
            self.raw.resize(max_count * RECORD_LEN, 0);
            let (slots, _) = self.raw.as_chunks_mut::<RECORD_LEN>();
            let mut count = 0;
            for (record, slot) in rest.iter().zip(slots) {
                record::put(record, &mut self.names, slot);
                count += 1;
                if self.names.len() > NAMES_PER_BLOCK {
                    break;
                }
            }
            self.raw.truncate(count * RECORD_LEN);
            self.names.append_to(&mut self.raw);
            block::append(BlockKind::Records, count as u32, &self.raw, &mut self.packed, out)?;
            rest = &rest[count..];
        }
        Ok(())
    }

    /// Appends the end of a pass.
    ///
    /// # Errors
    /// None in practice.
    pub fn pass_end(&mut self, pass_end: PassEnd, out: &mut Vec<u8>) -> Result<(), Fault> {
        block::append(BlockKind::PassEnd, 0, &record::pass_end_bytes(pass_end), &mut self.packed, out)
    }

    /// Appends the start of a session.
    ///
    /// # Errors
    /// [`Fault::TooLarge`] if the host's name takes hundreds of megabytes.
    pub fn session_start(&mut self, start: &SessionStart, out: &mut Vec<u8>) -> Result<(), Fault> {
        block::append(BlockKind::Session, 0, &record::session_start_bytes(start), &mut self.packed, out)
    }

    /// Appends the end mark of a session.
    ///
    /// # Errors
    /// None in practice.
    pub fn session_end(&mut self, end: SessionEnd, out: &mut Vec<u8>) -> Result<(), Fault> {
        block::append(BlockKind::End, 0, &record::session_end_bytes(end), &mut self.packed, out)
    }
}
