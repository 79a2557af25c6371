//! The record file: what exporter `record_file` writes and receiver `replay` reads.
//!
//! ```text
//! file     = magic "LONGWAVE" (8) | version u16 | zero u16 | crc32 of these u32 | block …
//! block    = "LWBK" | kind u8 | zero (3) | count u32 | raw length u32 | stored length u32 | crc32 of stored u32 | crc32 of these u32 | stored
//! stored   = LZ4 block of raw
//! session  = boot id (16) | started u64 | host name                    one at the start of each writer's run
//! records  = record (319 bytes) × count | workloads u32 | services u32 | names …
//! pass end = tick u64 | last u8
//! end      = bytes u64 | records u64                                   of this session before the end mark
//! ```
//!
//! A workload's names end with the number of its labels and, for each, its attribute and its value (since version 2).
//! Integers are little-endian. Invariants: a block is readable by itself (names are in it); every byte of a file is under a checksum
//! or compared with a constant; a file that was ended in order ends with an end mark, which counts what the session wrote, so that a
//! file cut at a block's boundary, or one that lacks a block, is found out as well.

mod block;
mod decoder;
mod encoder;
mod error;
mod fields;
mod names;
mod record;

pub use decoder::{Block, Decoder};
pub use encoder::{Encoder, file_header};
pub use error::{CodecError, Fault};

use crate::model::time::UnixNanos;

/// The version of the format that is written. 2: workloads have labels.
pub const VERSION: u16 = 2;

/// The oldest version that is read.
pub const OLDEST_VERSION: u16 = 1;

/// Most records in one block: what a reader holds in memory at a time.
pub const MAX_BLOCK_RECORDS: usize = 1024;

/// Bytes of the file's header.
pub const FILE_HEADER_LEN: usize = 16;

const FILE_MAGIC: [u8; 8] = *b"LONGWAVE";

/// Where a run of blocks comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionStart {
    /// The kernel's boot id; zeros if unknown.
    pub boot_id: [u8; 16],
    /// When the writer started.
    pub started: UnixNanos,
    /// The host's name; empty if unknown.
    pub host: String,
}

/// What a session wrote before its end mark.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionEnd {
    /// Bytes of its blocks, the session block included.
    pub bytes: u64,
    /// Records in them.
    pub records: u64,
}
