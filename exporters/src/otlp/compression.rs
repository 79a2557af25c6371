//! `compression`: the Collector's names.

use std::io::{self, Write};

use bytes::Bytes;
use flate2::write::{GzEncoder, ZlibEncoder};
use longwave_pipeline::component::Problems;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Compression of requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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

/// Parameters of the compression.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct CompressionParams {
    /// Level of the compression: a higher one takes longer and gives smaller requests. 0 and -1 mean the default.
    pub level: i32,
}

/// Default level of zstd: that of its command line.
const ZSTD_LEVEL: i32 = 3;
/// Highest level of zstd that is accepted. Higher ones need much memory.
const MAX_ZSTD_LEVEL: i32 = 19;
/// Highest level of gzip, zlib and deflate.
const MAX_GZIP_LEVEL: i32 = 9;

// === impl CompressionParams ===

impl CompressionParams {
    /// Returns whether nothing is set.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

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

    /// Reports a level that this compression does not have.
    pub(super) fn validate_level(self, level: i32, problems: &mut Problems) {
        let max = match self {
            Self::Gzip | Self::Zlib | Self::Deflate => MAX_GZIP_LEVEL,
            Self::Zstd => MAX_ZSTD_LEVEL,
            Self::Snappy | Self::None if level == 0 => return,
            Self::Snappy | Self::None => {
                problems
                    .at("compression_params::level", "this compression has no levels: remove the setting");
                return;
            }
        };
        if !(-1..=max).contains(&level) {
            problems.at(
                "compression_params::level",
                format!("{level} is not a level of this compression: must be between 1 and {max}, or 0 for the default"),
            );
        }
    }

    /// Compresses a body. `level` is that of `compression_params`.
    pub(crate) fn compress(self, bytes: &Bytes, level: i32) -> io::Result<Bytes> {
        let out = Vec::with_capacity(bytes.len() / 4);
        let chosen = u32::try_from(level).ok().filter(|level| *level > 0);
        let zstd_level = if chosen.is_some() { level } else { ZSTD_LEVEL };
        let level = chosen.map_or(flate2::Compression::default(), flate2::Compression::new);
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
            Self::Zstd => zstd::bulk::compress(bytes, zstd_level)?,
            Self::Snappy => snap::raw::Encoder::new().compress_vec(bytes).map_err(io::Error::other)?,
        };
        Ok(Bytes::from(compressed))
    }
}
