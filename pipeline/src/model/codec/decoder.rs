//! From a file to records, block by block.

use std::io::{ErrorKind, Read};

use super::block::{HEADER_LEN, Header, Kind};
use super::error::{CodecError, Fault};
use super::fields::Reader;
use super::names::{Interners, NameReader};
use super::record::{self, RECORD_LEN};
use super::{FILE_HEADER_LEN, FILE_MAGIC, OLDEST_VERSION, SessionEnd, SessionStart, VERSION, encoder};
use crate::model::batch::PassEnd;
use crate::model::record::ConnectionRecord;

/// What a block holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Block {
    /// A writer's run begins. Where the previous run has no end mark, it was interrupted; what it wrote is whole all the same.
    Session {
        /// Where it comes from.
        start: SessionStart,
        /// Another run precedes, and was not ended in order.
        after_interruption: bool,
    },
    /// Records, in order.
    Records(Vec<ConnectionRecord>),
    /// A pass is complete.
    PassEnd(PassEnd),
    /// The run ended in order, and nothing of it is missing.
    End(SessionEnd),
}

/// Reads a record file from its first byte. The input should be buffered.
pub struct Decoder<R> {
    input: R,
    version: u16,
    interners: Interners,
    /// Bytes of whole blocks.
    offset: u64,
    /// Where the current session began, and its records; absent outside of a session.
    session: Option<(u64, u64)>,
    stored: Vec<u8>,
}

impl<R: Read> Decoder<R> {
    /// Reads the file's header.
    ///
    /// # Errors
    /// Not a record file, another version, too short, damaged, or not readable.
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
            stored: Vec::new(),
        })
    }

    /// The next block; `None` at the end of a file that was ended in order.
    ///
    /// # Errors
    /// Damaged, cut off, or not readable; the offset is that of the block at fault, and every earlier block was returned.
    #[allow(clippy::should_implement_trait, reason = "an iterator would go on after an error")]
    pub fn next(&mut self) -> Result<Option<Block>, CodecError> {
        self.try_next().map_err(|fault| CodecError { offset: self.offset, fault })
    }

    /// The version of the format that the file is in.
    pub fn version(&self) -> u16 {
        self.version
    }

    /// Bytes of whole blocks so far, the file's header included.
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
        // `take` rather than a buffer of the full length: a length is believed only as far as there are bytes.
        let found =
            (&mut self.input).take(wanted as u64).read_to_end(&mut self.stored).map_err(Fault::Read)?;
        if found < wanted {
            return Err(truncated("block", wanted + HEADER_LEN, found + HEADER_LEN));
        }
        let raw = header.unpack(&self.stored)?;
        let block = self.open(&header, &raw)?;
        self.offset += (HEADER_LEN + wanted) as u64;
        Ok(Some(block))
    }

    fn open(&mut self, header: &Header, raw: &[u8]) -> Result<Block, Fault> {
        let count = header.count as usize;
        if header.kind == Kind::Session {
            let start = record::take_session_start(raw)?;
            let interrupted = self.session.replace((self.offset, 0)).is_some();
            return Ok(Block::Session { start, after_interruption: interrupted });
        }
        let (began, records) = self.session.ok_or(Fault::Damaged("a block stands outside of a session"))?;
        match header.kind {
            Kind::Session => Err(Fault::Damaged("a session stands inside itself")),
            Kind::Records => {
                let found = self.records(count, raw)?;
                self.session = Some((began, records + count as u64));
                Ok(Block::Records(found))
            }
            Kind::PassEnd => Ok(Block::PassEnd(record::take_pass_end(raw)?)),
            Kind::End => {
                let end = record::take_session_end(raw)?;
                let found = SessionEnd { bytes: self.offset - began, records };
                if end != found {
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
        let split = count.checked_mul(RECORD_LEN).and_then(|len| raw.split_at_checked(len));
        let (records, names) = split.ok_or(Fault::Damaged("a block is shorter than its records"))?;
        let mut names = Reader::new(names);
        let table = NameReader::read(&mut names, self.version, &self.interners)?;
        names.finish()?;
        let (records, _) = records.as_chunks::<RECORD_LEN>();
        records.iter().map(|bytes| record::take(bytes, &table)).collect()
    }
}

fn check_file_header(header: &[u8; FILE_HEADER_LEN], found: usize) -> Result<u16, Fault> {
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

fn truncated(what: &'static str, wanted: usize, found: usize) -> Fault {
    Fault::Truncated { what, wanted: wanted as u64, found: found as u64 }
}

/// Reads until the buffer is full or the input ends; returns how much.
fn fill(input: &mut impl Read, buffer: &mut [u8]) -> Result<usize, Fault> {
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
