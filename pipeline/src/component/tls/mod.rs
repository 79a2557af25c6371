//! What TLS clients and servers share: PEM texts ([`certificates`], [`private_key`]), versions and cipher suites ([`TlsParameters`]).

mod parameters;
mod pem;

use longwave_config::{GoDuration, Secret};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::config::Problems;
pub use parameters::{TlsParameters, TpmConfig};
pub use pem::{PemSource, certificates, private_key};

/// A TLS version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum TlsVersion {
    /// TLS 1.2.
    #[default]
    #[serde(rename = "1.2")]
    Tls12,
    /// TLS 1.3.
    #[serde(rename = "1.3")]
    Tls13,
}

/// Longest `reload_interval`: 30 days.
const MAX_RELOAD_INTERVAL: GoDuration = GoDuration::from_secs(30 * 24 * 3600);

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

#[cfg(test)]
mod tests;
