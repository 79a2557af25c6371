//! Settings of servers.

use std::sync::Arc;

use axum::body::Body;
use axum::http::header::{AUTHORIZATION, HeaderMap, WWW_AUTHENTICATE};
use axum::http::{Response, StatusCode};
use axum::response::IntoResponse;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use longwave_config::{GoDuration, Secret};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use crate::component::config::Problems;
use crate::component::error::ComponentError;
use crate::component::reloading::Reloading;
use crate::component::tls::{self, PemSource, TlsParameters, TlsVersion, TpmConfig};

/// `tls` of a server, with the Collector's names.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServerTlsConfig {
    /// PEM file with the server's certificate and the intermediate ones.
    pub cert_file: String,
    /// The text of `cert_file`, instead of its path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert_pem: Option<Secret>,
    /// PEM file with the certificate's private key.
    pub key_file: String,
    /// The text of `key_file`, instead of its path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_pem: Option<Secret>,
    /// PEM file with the authorities of client certificates. If set, clients need one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_ca_file: Option<String>,
    /// Time after which a handshake reads the files again; never if zero.
    pub reload_interval: GoDuration,
    /// Oldest TLS version to accept.
    pub min_version: TlsVersion,
    /// Newest TLS version to accept. Default: the newest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_version: Option<TlsVersion>,
    /// Cipher suites of TLS 1.2 to accept. All if the list is empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cipher_suites: Vec<String>,
    /// Curves to accept, the preferred one first. All if the list is empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub curve_preferences: Vec<String>,
    /// A key in a TPM, which is not supported.
    #[serde(skip_serializing_if = "TpmConfig::is_default")]
    pub tpm: TpmConfig,
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
        for (key, source) in [("tls::cert_file", self.certificate()), ("tls::key_file", self.key())] {
            if source.is_none() {
                problems.at(key, "must be set: the server needs a certificate and its key");
            }
        }
        let pairs = [
            ("cert", !self.cert_file.is_empty(), &self.cert_pem),
            ("key", !self.key_file.is_empty(), &self.key_pem),
        ];
        tls::validate_sources(&pairs, self.reload_interval, problems);
        self.parameters().validate(problems);
    }

    /// Reads the files, and reads them again at a handshake after each `reload_interval`. `setting` is that of the server's address.
    pub(super) fn load(&self, setting: &str) -> Result<Reloading<rustls::ServerConfig>, ComponentError> {
        let section = setting.rsplit_once(": ").map_or(setting, |(section, _)| section).to_owned();
        let config = self.clone();
        Reloading::new(self.reload_interval.get(), move || config.server_config(&section))
    }

    fn server_config(&self, section: &str) -> Result<rustls::ServerConfig, ComponentError> {
        let failed = |key: &str, what: String| ComponentError::new(format!("{section}: tls::{key}: {what}"));
        let missing = |key: &str| failed(key, "must be set".to_owned());
        let (certificate, key) = (
            self.certificate().ok_or_else(|| missing("cert_file"))?,
            self.key().ok_or_else(|| missing("key_file"))?,
        );
        let certificates = tls::certificates(&certificate).map_err(|what| failed("cert_file", what))?;
        let key = tls::private_key(&key).map_err(|what| failed("key_file", what))?;
        let parameters = self.parameters();
        let provider = parameters.provider();
        let refused = |error: rustls::Error| {
            failed(
                "cert_file",
                format!("cannot use the certificate with its key: {error} (do they belong together?)"),
            )
        };
        let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&parameters.versions())
            .map_err(refused)?;
        let builder = match &self.client_ca_file {
            None => builder.with_no_client_auth(),
            Some(file) => {
                let mut roots = rustls::RootCertStore::empty();
                let found = tls::certificates(&PemSource::File(file.clone()))
                    .map_err(|what| failed("client_ca_file", what))?;
                roots.add_parsable_certificates(found);
                let verifier =
                    rustls::server::WebPkiClientVerifier::builder_with_provider(roots.into(), provider)
                        .build()
                        .map_err(|error| failed("client_ca_file", format!("{file:?}: {error}")))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        builder.with_single_cert(certificates, key).map_err(refused)
    }

    fn parameters(&self) -> TlsParameters<'_> {
        TlsParameters {
            min_version: self.min_version,
            max_version: self.max_version,
            cipher_suites: &self.cipher_suites,
            curve_preferences: &self.curve_preferences,
            tpm: &self.tpm,
        }
    }

    fn certificate(&self) -> Option<PemSource> {
        PemSource::of(Some(&self.cert_file), self.cert_pem.as_ref())
    }

    fn key(&self) -> Option<PemSource> {
        PemSource::of(Some(&self.key_file), self.key_pem.as_ref())
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

    /// Returns the response to a request without these credentials. `None` if it has them.
    pub fn refusal(&self, headers: &HeaderMap) -> Option<Response<Body>> {
        let challenge = [(WWW_AUTHENTICATE, "Basic realm=\"longwave\"")];
        let refusal =
            || (StatusCode::UNAUTHORIZED, challenge, "wrong user name or password\n").into_response();
        (!self.accepts(headers)).then(refusal)
    }

    /// Returns whether a request has these credentials.
    pub(super) fn accepts(&self, headers: &HeaderMap) -> bool {
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
