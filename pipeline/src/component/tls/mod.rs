//! What TLS clients and servers share: PEM texts ([`certificates`], [`private_key`]) and versions.

mod pem;

use longwave_config::{GoDuration, Secret};
use rustls::SupportedProtocolVersion;
use serde::{Deserialize, Serialize};

use super::config::Problems;
pub use pem::{PemSource, certificates, private_key};

/// A TLS version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum TlsVersion {
    /// TLS 1.2.
    #[default]
    #[serde(rename = "1.2")]
    Tls12,
    /// TLS 1.3.
    #[serde(rename = "1.3")]
    Tls13,
}

static ONLY_TLS13: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

/// Longest `reload_interval`: 30 days.
const MAX_RELOAD_INTERVAL: GoDuration = GoDuration::from_secs(30 * 24 * 3600);

// === impl TlsVersion ===

impl TlsVersion {
    /// Returns this version and the newer ones.
    pub fn and_newer(self) -> &'static [&'static SupportedProtocolVersion] {
        match self {
            Self::Tls12 => rustls::ALL_VERSIONS,
            Self::Tls13 => ONLY_TLS13,
        }
    }
}

/// Reports a setting that is there both as a file and as a text, and a `reload_interval` that is too long.
pub fn validate_sources(
    pairs: &[(&str, bool, &Option<Secret>)],
    reload_interval: GoDuration,
    problems: &mut Problems,
) {
    for (name, has_file, text) in pairs {
        if *has_file && text.is_some() {
            problems.at(
                format!("tls::{name}_pem"),
                format!("cannot be combined with {name}_file: remove one of them"),
            );
        }
    }
    problems.at_most("tls::reload_interval", reload_interval, MAX_RELOAD_INTERVAL);
}
