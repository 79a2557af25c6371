//! What can be wrong with a record file.

use super::{FILE_MAGIC, OLDEST_VERSION, VERSION};

/// A record file cannot be read on.
#[derive(Debug, thiserror::Error)]
#[error("byte {offset}: {fault}")]
pub struct CodecError {
    /// Where: the first byte of the header or block that is at fault. All blocks before it were whole.
    pub offset: u64,
    /// What.
    #[source]
    pub fault: Fault,
}

/// What is wrong, with the likely cause.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// No bytes at all.
    #[error("the file is empty: nothing was recorded, or the recorder has not started yet")]
    Empty,
    /// Another kind of file.
    #[error("not a Longwave record file: it does not begin with {:?}", String::from_utf8_lossy(&FILE_MAGIC))]
    NotARecordFile,
    /// Written by another Longwave.
    #[error(
        "record format version {0}, but this Longwave reads versions {OLDEST_VERSION} to {VERSION}: replay it with the Longwave that wrote it"
    )]
    Version(u16),
    /// The file ends inside of something.
    #[error(
        "the file ends inside a {what} ({found} of {wanted} bytes): its writer was killed, the disk was full, or the copy is incomplete"
    )]
    Truncated {
        /// `file header`, `block header`, `block`.
        what: &'static str,
        /// Bytes that should be there.
        wanted: u64,
        /// Bytes that are.
        found: u64,
    },
    /// The file ends after a whole block, but without the end mark.
    #[error(
        "the file ends without its end mark: it is still being written, its writer was killed, or it was cut off here"
    )]
    NoEndMark,
    /// Bytes are not what was written.
    #[error("{0}: the file is damaged (a disk or copy error?)")]
    Damaged(&'static str),
    /// The end mark counts something else than what is there.
    #[error(
        "the end mark counts {counted_records} records in {counted_bytes} bytes, the file has {found_records} in {found_bytes}: \
         blocks are missing or were added"
    )]
    Miscounted {
        /// Of the end mark.
        counted_records: u64,
        /// Of the end mark.
        counted_bytes: u64,
        /// Of the file.
        found_records: u64,
        /// Of the file.
        found_bytes: u64,
    },
    /// More names than a block may hold: only when writing.
    #[error("the names of one block take more than {} MiB", super::block::MAX_RAW >> 20)]
    TooLarge,
    /// The file cannot be read.
    #[error("reading failed: {0}")]
    Read(#[source] std::io::Error),
}
