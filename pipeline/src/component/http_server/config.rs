//! Settings of servers.

use std::io::ErrorKind;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use longwave_config::Secret;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use crate::component::config::Problems;
use crate::component::error::ComponentError;

/// `tls` of a server, with the Collector's names.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServerTlsConfig {
    /// PEM file with the server's certificate and the intermediate ones.
    pub cert_file: String,
    /// PEM file with the certificate's private key.
    pub key_file: String,
    /// PEM file with the authorities of client certificates. If set, clients need one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_ca_file: Option<String>,
}

/// `basic_auth` of a server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BasicAuthConfig {
    /// Name of the user.
    pub username: String,
    /// Password of the user.
    pub password: Secret,
}

// === impl ServerTlsConfig ===

impl ServerTlsConfig {
    /// Reports missing settings below `tls`.
    pub fn validate(&self, problems: &mut Problems) {
        for (key, file) in [("tls::cert_file", &self.cert_file), ("tls::key_file", &self.key_file)] {
            if file.is_empty() {
                problems.at(key, "must be set: the server needs a certificate and its key");
            }
        }
    }

    /// Reads the files. `place` is that of the server's address.
    pub(super) fn load(&self, place: &str) -> Result<rustls::ServerConfig, ComponentError> {
        let section = place.rsplit_once(": ").map_or(place, |(section, _)| section);
        let failed = |key: &str, file: &str, error: pem::Error| {
            ComponentError::new(format!("{section}: tls::{key}: {file:?}: {}", explain(&error)))
        };
        let certificates =
            certificates(&self.cert_file).map_err(|error| failed("cert_file", &self.cert_file, error))?;
        let key = PrivateKeyDer::from_pem_file(&self.key_file)
            .map_err(|error| failed("key_file", &self.key_file, error))?;
        let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
        let refused = |error: rustls::Error| {
            ComponentError::new(format!(
                "{section}: tls::cert_file: cannot use the certificate with its key: {error} (do they belong together?)"
            ))
        };
        let builder = rustls::ServerConfig::builder_with_provider(std::sync::Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(refused)?;
        let builder = match &self.client_ca_file {
            None => builder.with_no_client_auth(),
            Some(file) => {
                let mut roots = rustls::RootCertStore::empty();
                let found =
                    self::certificates(file).map_err(|error| failed("client_ca_file", file, error))?;
                roots.add_parsable_certificates(found);
                let verifier =
                    rustls::server::WebPkiClientVerifier::builder_with_provider(roots.into(), provider)
                        .build()
                        .map_err(|error| {
                            ComponentError::new(format!("{section}: tls::client_ca_file: {file:?}: {error}"))
                        })?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        builder.with_single_cert(certificates, key).map_err(refused)
    }
}

fn certificates(file: &str) -> Result<Vec<CertificateDer<'static>>, pem::Error> {
    let certificates: Vec<_> = CertificateDer::pem_file_iter(file)?.collect::<Result<_, _>>()?;
    if certificates.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(certificates) }
}

fn explain(error: &pem::Error) -> String {
    match error {
        pem::Error::Io(error) if error.kind() == ErrorKind::NotFound => {
            "the file does not exist (is the secret mounted?)".to_owned()
        }
        pem::Error::Io(error) => format!("cannot be read: {error}"),
        pem::Error::NoItemsFound => "contains nothing of this kind in PEM format".to_owned(),
        other => format!("is not a PEM file: {other}"),
    }
}

// === impl BasicAuthConfig ===

impl BasicAuthConfig {
    /// Reports missing settings below `basic_auth`.
    pub fn validate(&self, problems: &mut Problems) {
        if self.username.is_empty() || self.username.contains(':') {
            problems.at("basic_auth::username", "must be set, and must not contain a colon");
        }
        if self.password.expose().is_empty() {
            problems.at(
                "basic_auth::password",
                "must be set, for example to ${env:PASSWORD} or ${file:/run/password}",
            );
        }
    }

    /// Returns whether a request has these credentials.
    pub fn accepts(&self, headers: &HeaderMap) -> bool {
        let expected = format!("{}:{}", self.username, self.password.expose());
        let given = headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok()?.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"))
            .and_then(|(_, credentials)| STANDARD.decode(credentials.trim()).ok());
        // The time of the comparison must not depend on the first byte that differs.
        given.is_some_and(|given| expected.as_bytes().ct_eq(&given).into())
    }
}
