//! [`CodecError`]: why a record file cannot be read or written.

use super::{FILE_MAGIC, OLDEST_VERSION, VERSION};

/// Why a record file cannot be read further.
#[derive(Debug, thiserror::Error)]
#[error("byte {offset}: {fault}")]
pub struct CodecError {
    /// Offset of the faulty header or block in bytes. All blocks before it are complete.
    pub offset: u64,
    /// What is wrong.
    #[source]
    pub fault: Fault,
}

/// What is wrong with a record file, with the likely cause.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The file has no bytes.
    #[error("the file is empty: nothing was recorded, or the recorder has not started yet")]
    Empty,
    /// The file is of another kind.
    #[error("not a Longwave record file: it does not begin with {:?}", String::from_utf8_lossy(&FILE_MAGIC))]
    NotARecordFile,
    /// A version of Longwave with another format wrote the file.
    #[error(
        "record format version {0}, but this Longwave reads versions {OLDEST_VERSION} to {VERSION}: replay it with the Longwave that wrote it"
    )]
    Version(u16),
    /// The file ends within its header or within a block.
    #[error(
        "the file ends inside a {what} ({found} of {wanted} bytes): its writer was killed, the disk was full, or the copy is incomplete"
    )]
    Truncated {
        /// `file header`, `block header`, `block`.
        what: &'static str,
        /// Expected size in bytes.
        wanted: u64,
        /// Actual size in bytes.
        found: u64,
    },
    /// The file ends after a complete block, but without the end mark.
    #[error(
        "the file ends without its end mark: it is still being written, its writer was killed, or it was cut off here"
    )]
    NoEndMark,
    /// The bytes differ from what was written.
    #[error("{0}: the file is damaged (a disk or copy error?)")]
    Damaged(&'static str),
    /// The counts of the end mark differ from what the file contains.
    #[error(
        "the end mark counts {counted_records} records in {counted_bytes} bytes, the file has {found_records} in {found_bytes}: \
         blocks are missing or were added"
    )]
    Miscounted {
        /// Records according to the end mark.
        counted_records: u64,
        /// Bytes according to the end mark.
        counted_bytes: u64,
        /// Records in the file.
        found_records: u64,
        /// Bytes in the file.
        found_bytes: u64,
    },
    /// The names exceed the maximum size of a block. Only when writing.
    #[error("the names of one block take more than {} MiB", super::block::MAX_RAW >> 20)]
    TooLarge,
    /// The input returned an error.
    #[error("reading failed: {0}")]
    Read(#[source] std::io::Error),
}
