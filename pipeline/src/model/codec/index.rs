//! [`PassIndex`]: where the passes of a record file are, so that a reader can begin at any of them.

use std::io::{Read, Seek, SeekFrom};

use super::block::{BlockKind, HEADER_LEN, Header};
use super::decoder::{check_file_header, fill, truncated};
use super::error::{CodecError, Fault};
use super::{FILE_HEADER_LEN, record};
use crate::model::time::UnixNanos;

/// The passes of a record file. Made from the headers of its blocks, without their records.
#[derive(Debug)]
pub struct PassIndex {
    /// Version of the file's format, for [`Decoder::resume`](super::Decoder::resume).
    pub version: u16,
    /// The passes in the order of the file.
    pub passes: Vec<PassPosition>,
    /// Why the file cannot be read further; the passes before are complete. `None` if the file has a proper end.
    pub fault: Option<CodecError>,
}

/// The blocks of one pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PassPosition {
    /// Time of the pass.
    pub tick: UnixNanos,
    /// Offset of its first block in bytes: the end of the pass before.
    pub start: u64,
    /// Offset of the end of its last block.
    pub end: u64,
    /// Number of its records.
    pub records: u64,
}

/// Reads headers.
struct Scanner<R> {
    input: R,
    length: u64,
    offset: u64,
    /// Whether the last block that was read is not an end mark.
    is_open: bool,
}

// === impl PassIndex ===

impl PassIndex {
    /// Reads the headers of all blocks. The input should have a small buffer, because most of its bytes are skipped.
    ///
    /// # Errors
    /// The input is not a record file, has another version, or cannot be read.
    pub fn read(mut input: impl Read + Seek) -> Result<Self, CodecError> {
        let at_begin = |fault| CodecError { offset: 0, fault };
        let length = input.seek(SeekFrom::End(0)).map_err(|error| at_begin(Fault::Read(error)))?;
        input.rewind().map_err(|error| at_begin(Fault::Read(error)))?;
        let mut header = [0; FILE_HEADER_LEN];
        let found = fill(&mut input, &mut header).map_err(at_begin)?;
        let version = check_file_header(&header, found).map_err(at_begin)?;
        let mut scanner = Scanner { input, length, offset: FILE_HEADER_LEN as u64, is_open: true };
        let mut passes = Vec::new();
        let fault = scanner.scan(&mut passes).err();
        Ok(Self { version, passes, fault: fault.map(|fault| CodecError { offset: scanner.offset, fault }) })
    }
}

// === impl Scanner ===

impl<R: Read + Seek> Scanner<R> {
    fn scan(&mut self, passes: &mut Vec<PassPosition>) -> Result<(), Fault> {
        let (mut start, mut records) = (self.offset, 0);
        loop {
            let mut bytes = [0; HEADER_LEN];
            match fill(&mut self.input, &mut bytes)? {
                0 if self.is_open => return Err(Fault::NoEndMark),
                0 => return Ok(()),
                HEADER_LEN => {}
                found => return Err(truncated("block header", HEADER_LEN, found)),
            }
            let header = Header::parse(&bytes)?;
            let (stored, room) = (header.stored_len(), self.length.saturating_sub(self.offset));
            let size = (HEADER_LEN + stored) as u64;
            if size > room {
                return Err(truncated("block", size as usize, room as usize));
            }
            if header.kind == BlockKind::PassEnd {
                let mut bytes = vec![0; stored];
                let found = fill(&mut self.input, &mut bytes)?;
                bytes.truncate(found);
                let tick = record::take_pass_end(&header.unpack(&bytes)?)?.tick;
                let end = self.offset + size;
                passes.push(PassPosition { tick, start, end, records });
                (start, records) = (end, 0);
            } else {
                self.input.seek_relative(stored as i64).map_err(Fault::Read)?;
                records += u64::from(header.count);
            }
            self.is_open = header.kind != BlockKind::End;
            self.offset += size;
        }
    }
}
