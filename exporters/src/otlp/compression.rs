//! `compression`: the Collector's names.

use std::io::{self, Write};

use bytes::Bytes;
use flate2::write::{GzEncoder, ZlibEncoder};
use serde::{Deserialize, Serialize};

/// Compression of requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Compression {
    /// RFC 1952.
    #[default]
    #[serde(rename = "gzip")]
    Gzip,
    /// RFC 8878. Faster than gzip, and smaller.
    #[serde(rename = "zstd")]
    Zstd,
    /// RFC 1950. Not over gRPC.
    #[serde(rename = "zlib")]
    Zlib,
    /// RFC 1950 too, as HTTP means it. Not over gRPC.
    #[serde(rename = "deflate")]
    Deflate,
    /// A block of Snappy. Not over gRPC.
    #[serde(rename = "snappy")]
    Snappy,
    /// No compression. The configuration may have an empty text too.
    #[serde(rename = "none", alias = "")]
    None,
}

/// Level of zstd: that of its command line.
const ZSTD_LEVEL: i32 = 3;

// === impl Compression ===

impl Compression {
    /// Returns the value of `content-encoding`; `None` without compression.
    pub(super) fn content_encoding(self) -> Option<&'static str> {
        Some(match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Zlib => "zlib",
            Self::Deflate => "deflate",
            Self::Snappy => "snappy",
            Self::None => return None,
        })
    }

    /// Compresses a body.
    pub(crate) fn compress(self, bytes: &Bytes) -> io::Result<Bytes> {
        let out = Vec::with_capacity(bytes.len() / 4);
        let level = flate2::Compression::default();
        let compressed = match self {
            Self::None => return Ok(bytes.clone()),
            Self::Gzip => {
                let mut encoder = GzEncoder::new(out, level);
                encoder.write_all(bytes)?;
                encoder.finish()?
            }
            Self::Zlib | Self::Deflate => {
                let mut encoder = ZlibEncoder::new(out, level);
                encoder.write_all(bytes)?;
                encoder.finish()?
            }
            Self::Zstd => zstd::bulk::compress(bytes, ZSTD_LEVEL)?,
            Self::Snappy => snap::raw::Encoder::new().compress_vec(bytes).map_err(io::Error::other)?,
        };
        Ok(Bytes::from(compressed))
    }
}
