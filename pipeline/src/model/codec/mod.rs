//! The record file: what exporter `record_file` writes and receiver `replay` reads.
//!
//! ```text
//! file     = magic "LONGWAVE" (8) | version u16 | zero u16 | crc32 of these u32 | block …
//! block    = "LWBK" | kind u8 | zero (3) | count u32 | raw length u32 | stored length u32 | crc32 of stored u32 | crc32 of these u32 | stored
//! stored   = LZ4 block of raw
//! session  = boot id (16) | started u64 | host name                    one for each run of a writer
//! records  = record (484 bytes) × count | workloads u32 | services u32 | names …
//! pass end = tick u64 | last u8
//! end      = bytes u64 | records u64                                   of this session before the end mark
//! ```
//!
//! Since version 2, a workload's names end with the number of its labels and, for each label, its attribute and its value. Before version 4
//! a record has 327 bytes: it ends before what limits the connection, which is then absent. Before version 3 it has 319 bytes: it ends before
//! the connection's age, which is then the difference of its times.
//! An optional count is stored as the count plus 1, or 0 if it is absent.
//! Integers are little-endian.
//!
//! Invariants:
//! - A block can be read without the others, because it contains its names.
//! - Every byte of a file is covered by a checksum or compared with a constant.
//! - A file that was closed properly ends with an end mark, which contains the number of bytes and records of the session. By it, a reader
//!   detects that the file was cut between two blocks, or that a block is missing.

mod block;
mod decoder;
mod encoder;
mod error;
mod fields;
mod index;
mod names;
mod record;

pub use decoder::{Block, Decoder};
pub use encoder::{Encoder, file_header};
pub use error::{CodecError, Fault};
pub use index::{PassIndex, PassPosition};

use crate::model::time::UnixNanos;

/// Version of the format that is written. Since version 2, workloads have labels. Since version 3, records have the connection's age.
/// Since version 4, they have what limits the connection.
pub const VERSION: u16 = 4;

/// Oldest version of the format that can be read.
pub const OLDEST_VERSION: u16 = 1;

/// Maximum number of records in a block. A reader stores one block in memory.
pub const MAX_BLOCK_RECORDS: usize = 1024;

/// Size of the file's header in bytes.
pub const FILE_HEADER_LEN: usize = 16;

const FILE_MAGIC: [u8; 8] = *b"LONGWAVE";

/// The first block of a session: what wrote the blocks that follow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionStart {
    /// Boot id of the kernel; zeros if unknown.
    pub boot_id: [u8; 16],
    /// Time at which the writer started.
    pub started: UnixNanos,
    /// Name of the host; empty if unknown.
    pub host: String,
}

/// The last block of a session: what it wrote before this block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionEnd {
    /// Size of its blocks in bytes, with the session block.
    pub bytes: u64,
    /// Number of its records.
    pub records: u64,
}
