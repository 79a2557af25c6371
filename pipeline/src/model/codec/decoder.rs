//! [`Decoder`]: reads records from a file, block by block.

use std::io::{ErrorKind, Read};

use super::block::{BlockKind, HEADER_LEN, Header};
use super::error::{CodecError, Fault};
use super::fields::Reader;
use super::names::{Interners, NameReader};
use super::record;
use super::{FILE_HEADER_LEN, FILE_MAGIC, OLDEST_VERSION, SessionEnd, SessionStart, VERSION, encoder};
use crate::model::batch::PassEnd;
use crate::model::record::ConnectionRecord;

/// The content of a block.
#[derive(Clone, Debug, PartialEq)]
pub enum Block {
    /// A session begins.
    Session {
        /// What wrote the session.
        start: SessionStart,
        /// Whether the previous session has no end mark, because its writer was interrupted. All blocks that were read of it are complete.
        after_interruption: bool,
    },
    /// Records in the order in which they were written.
    Records(Vec<ConnectionRecord>),
    /// The end of a pass.
    PassEnd(PassEnd),
    /// The session ended properly and nothing of it is missing.
    End(SessionEnd),
}

/// Reads a record file from its first byte. The input should be buffered.
pub struct Decoder<R> {
    input: R,
    version: u16,
    interners: Interners,
    /// Bytes of the header and of the blocks that were read.
    offset: u64,
    /// Offset of the current session and the number of its records. `None` outside of a session.
    session: Option<(u64, u64)>,
    /// Whether blocks of the current session were skipped, so that its end mark counts more than was read.
    has_skipped: bool,
    stored: Vec<u8>,
}

impl<R: Read> Decoder<R> {
    /// Reads the file's header.
    ///
    /// # Errors
    /// The input is not a record file, has another version, is too short or damaged, or cannot be read.
    pub fn new(mut input: R) -> Result<Self, CodecError> {
        let mut header = [0; FILE_HEADER_LEN];
        let found = fill(&mut input, &mut header).map_err(|fault| CodecError { offset: 0, fault })?;
        let version = check_file_header(&header, found).map_err(|fault| CodecError { offset: 0, fault })?;
        Ok(Self {
            input,
            version,
            interners: Interners::default(),
            offset: FILE_HEADER_LEN as u64,
            session: None,
            has_skipped: false,
            stored: Vec::new(),
        })
    }

    /// Reads on from a block within a session, without what was before. `offset` is that of the block, as in
    /// [`PassPosition`](super::PassPosition), and `input` begins there.
    pub fn resume(input: R, version: u16, offset: u64) -> Self {
        Self {
            input,
            version,
            interners: Interners::default(),
            offset,
            session: Some((offset, 0)),
            has_skipped: true,
            stored: Vec::new(),
        }
    }

    /// Returns the next block, or `None` at the end of a file that was closed properly.
    ///
    /// # Errors
    /// The file is damaged, truncated or cannot be read. The offset is that of the faulty block; all earlier blocks were returned.
    #[allow(clippy::should_implement_trait, reason = "an iterator would go on after an error")]
    pub fn next(&mut self) -> Result<Option<Block>, CodecError> {
        self.try_next().map_err(|fault| CodecError { offset: self.offset, fault })
    }

    /// Returns the version of the file's format.
    pub fn version(&self) -> u16 {
        self.version
    }

    /// Returns the size of the file's header and of the blocks that were read, in bytes.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    fn try_next(&mut self) -> Result<Option<Block>, Fault> {
        let mut header = [0; HEADER_LEN];
        match fill(&mut self.input, &mut header)? {
            0 if self.session.is_none() && self.offset > FILE_HEADER_LEN as u64 => return Ok(None),
            0 => return Err(Fault::NoEndMark),
            HEADER_LEN => {}
            found => return Err(truncated("block header", HEADER_LEN, found)),
        }
        let header = Header::parse(&header)?;
        self.stored.clear();
        let wanted = header.stored_len();
        // `take` instead of a buffer of the full length, so that a damaged length allocates no more than the file has.
        let found =
            (&mut self.input).take(wanted as u64).read_to_end(&mut self.stored).map_err(Fault::Read)?;
        if found < wanted {
            return Err(truncated("block", wanted + HEADER_LEN, found + HEADER_LEN));
        }
        let raw = header.unpack(&self.stored)?;
        let block = self.decode_block(&header, &raw)?;
        self.offset += (HEADER_LEN + wanted) as u64;
        Ok(Some(block))
    }

    fn decode_block(&mut self, header: &Header, raw: &[u8]) -> Result<Block, Fault> {
        let count = header.count as usize;
        if header.kind == BlockKind::Session {
            let start = record::take_session_start(raw)?;
            let interrupted = self.session.replace((self.offset, 0)).is_some() && !self.has_skipped;
            self.has_skipped = false;
            return Ok(Block::Session { start, after_interruption: interrupted });
        }
        let (session_offset, records) = self.session.ok_or(Fault::Damaged("a block is outside a session"))?;
        match header.kind {
            BlockKind::Session => Err(Fault::Damaged("a session is inside another session")),
            BlockKind::Records => {
                let found = self.records(count, raw)?;
                self.session = Some((session_offset, records + count as u64));
                Ok(Block::Records(found))
            }
            BlockKind::PassEnd => Ok(Block::PassEnd(record::take_pass_end(raw)?)),
            BlockKind::End => {
                let end = record::take_session_end(raw)?;
                let found = SessionEnd { bytes: self.offset - session_offset, records };
                if end != found && !std::mem::take(&mut self.has_skipped) {
                    return Err(Fault::Miscounted {
                        counted_records: end.records,
                        counted_bytes: end.bytes,
                        found_records: found.records,
                        found_bytes: found.bytes,
                    });
                }
                self.session = None;
                Ok(Block::End(end))
            }
        }
    }

    fn records(&self, count: usize, raw: &[u8]) -> Result<Vec<ConnectionRecord>, Fault> {
        let record_len = record::record_len(self.version);
        let split = count.checked_mul(record_len).and_then(|len| raw.split_at_checked(len));
        let (records, names) = split.ok_or(Fault::Damaged("a block is shorter than its records"))?;
        let mut names = Reader::new(names);
        let table = NameReader::read(&mut names, self.version, &self.interners, count)?;
        names.finish()?;
        records.chunks_exact(record_len).map(|bytes| record::take(bytes, &table)).collect()
    }
}

pub(super) fn check_file_header(header: &[u8; FILE_HEADER_LEN], found: usize) -> Result<u16, Fault> {
    if found == 0 {
        return Err(Fault::Empty);
    }
    let magic = found.min(FILE_MAGIC.len());
    if header[..magic] != FILE_MAGIC[..magic] {
        return Err(Fault::NotARecordFile);
    }
    if found < FILE_HEADER_LEN {
        return Err(truncated("file header", FILE_HEADER_LEN, found));
    }
    let version = u16::from_le_bytes([header[8], header[9]]);
    if !(OLDEST_VERSION..=VERSION).contains(&version) {
        return Err(Fault::Version(version));
    }
    if *header != encoder::file_header_of(version) {
        return Err(Fault::Damaged("the checksum of the file's header does not match"));
    }
    Ok(version)
}

pub(super) fn truncated(what: &'static str, wanted: usize, found: usize) -> Fault {
    Fault::Truncated { what, wanted: wanted as u64, found: found as u64 }
}

/// Reads until the buffer is full or the input ends. Returns the number of bytes.
pub(super) fn fill(input: &mut impl Read, buffer: &mut [u8]) -> Result<usize, Fault> {
    let mut filled = 0;
    while filled < buffer.len() {
        match input.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(Fault::Read(error)),
        }
    }
    Ok(filled)
}
