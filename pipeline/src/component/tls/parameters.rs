//! [`TlsParameters`]: versions, cipher suites and curves of clients and servers, with the names of Go.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::{NamedGroup, SupportedCipherSuite, SupportedProtocolVersion};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::TlsVersion;
use crate::component::config::Problems;

/// `min_version`, `max_version`, `cipher_suites`, `curve_preferences` and `tpm` of a section `tls`.
#[derive(Clone, Copy, Debug)]
pub struct TlsParameters<'a> {
    /// Oldest version to accept.
    pub min_version: TlsVersion,
    /// Newest version to accept. `None`: the newest.
    pub max_version: Option<TlsVersion>,
    /// Names of the cipher suites of TLS 1.2 to accept. All if the list is empty. Those of TLS 1.3 are always accepted, as in Go.
    pub cipher_suites: &'a [String],
    /// Names of the curves to accept, the preferred one first. All if the list is empty.
    pub curve_preferences: &'a [String],
    /// A key in a TPM.
    pub tpm: &'a TpmConfig,
}

/// A key in a Trusted Platform Module, which is not supported.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct TpmConfig {
    /// Whether the key is in a TPM. Only false is valid.
    pub enabled: bool,
}

/// Names of the curves, as in Go.
const CURVES: [(&str, NamedGroup); 3] =
    [("P256", NamedGroup::secp256r1), ("P384", NamedGroup::secp384r1), ("X25519", NamedGroup::X25519)];

// === impl TpmConfig ===

impl TpmConfig {
    /// Returns whether the section says nothing.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

// === impl TlsParameters ===

impl TlsParameters<'_> {
    /// Reports unknown names, and settings that exclude each other.
    pub fn validate(&self, problems: &mut Problems) {
        let suites: Vec<_> = all_suites().iter().map(go_name).collect();
        for name in self.cipher_suites.iter().filter(|name| !suites.contains(name)) {
            let known = suites.join(" ");
            problems.at("tls::cipher_suites", format!("{name:?} is not supported (valid values: [{known}])"));
        }
        let curves = CURVES.map(|(name, _)| name);
        for name in self.curve_preferences.iter().filter(|name| !curves.contains(&name.as_str())) {
            let known = curves.join(" ");
            problems
                .at("tls::curve_preferences", format!("{name:?} is not supported (valid values: [{known}])"));
        }
        problems.each_once(
            "tls::cipher_suites",
            "cipher suite",
            self.cipher_suites.iter().map(String::as_str),
        );
        problems.each_once(
            "tls::curve_preferences",
            "curve",
            self.curve_preferences.iter().map(String::as_str),
        );
        if self.max_version.is_some_and(|max| max < self.min_version) {
            problems.at("tls::max_version", "must not be older than min_version: remove one of them");
        } else if self.versions().is_empty() {
            problems.at(
                "tls::cipher_suites",
                "has no suite of TLS 1.2, but max_version excludes TLS 1.3: add a suite whose name contains _WITH_",
            );
        }
        if self.tpm.enabled {
            problems
                .at("tls::tpm::enabled", "keys in a TPM are not supported: set key_file or key_pem instead");
        }
    }

    /// Returns the versions to accept. TLS 1.2 is not among them if none of its suites is.
    pub fn versions(&self) -> Vec<&'static SupportedProtocolVersion> {
        let (oldest, newest) = (self.min_version, self.max_version.unwrap_or(TlsVersion::Tls13));
        let is_wanted = |version: TlsVersion| oldest <= version && version <= newest;
        let has_tls12_suites = self.suites().iter().any(is_tls12);
        let tls12 = (is_wanted(TlsVersion::Tls12) && has_tls12_suites).then_some(&rustls::version::TLS12);
        let tls13 = is_wanted(TlsVersion::Tls13).then_some(&rustls::version::TLS13);
        tls13.into_iter().chain(tls12).collect()
    }

    /// Returns the cryptography, restricted to the suites and curves to accept.
    pub fn provider(&self) -> Arc<CryptoProvider> {
        let mut provider = rustls::crypto::ring::default_provider();
        if !self.curve_preferences.is_empty() {
            let find = |name: &String| {
                let (_, group) = CURVES.iter().find(|(known, _)| known == name)?;
                provider.kx_groups.iter().find(|one| one.name() == *group).copied()
            };
            let chosen: Vec<&'static dyn SupportedKxGroup> =
                self.curve_preferences.iter().filter_map(find).collect();
            provider.kx_groups = chosen;
        }
        provider.cipher_suites = self.suites();
        Arc::new(provider)
    }

    fn suites(&self) -> Vec<SupportedCipherSuite> {
        let is_chosen = |suite: &SupportedCipherSuite| {
            self.cipher_suites.is_empty() || !is_tls12(suite) || self.cipher_suites.contains(&go_name(suite))
        };
        all_suites().into_iter().filter(is_chosen).collect()
    }
}

fn all_suites() -> Vec<SupportedCipherSuite> {
    rustls::crypto::ring::ALL_CIPHER_SUITES.to_vec()
}

fn is_tls12(suite: &SupportedCipherSuite) -> bool {
    matches!(suite, SupportedCipherSuite::Tls12(_))
}

/// Returns the name of a suite in Go. Only the names for TLS 1.3 differ from those of rustls.
pub(super) fn go_name(suite: &SupportedCipherSuite) -> String {
    let name = format!("{:?}", suite.suite());
    name.strip_prefix("TLS13_").map_or(name.clone(), |rest| format!("TLS_{rest}"))
}
