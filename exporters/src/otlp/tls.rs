//! `tls`: the Collector's client settings, and the rustls configuration that is built from them.

use std::sync::Arc;

use longwave_pipeline::component::{ComponentError, Problems};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use serde::{Deserialize, Serialize};

use super::any_certificate::AnyCertificate;

/// `tls`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TlsConfig {
    /// True turns TLS off. An `https://` endpoint overrides it.
    pub insecure: bool,
    /// True accepts every server certificate.
    pub insecure_skip_verify: bool,
    /// PEM file with the certificate authorities to trust, instead of the system's.
    pub ca_file: Option<String>,
    /// True trusts the system's certificate authorities in addition to those of `ca_file`.
    pub include_system_ca_certs_pool: bool,
    /// PEM file with the client certificate, for servers that require one.
    pub cert_file: Option<String>,
    /// PEM file with the private key of `cert_file`.
    pub key_file: Option<String>,
    /// DNS name to expect in the server's certificate, if it is not the endpoint's host.
    pub server_name_override: Option<String>,
    /// Oldest TLS version to accept.
    pub min_version: MinVersion,
}

/// A TLS version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum MinVersion {
    /// TLS 1.2.
    #[default]
    #[serde(rename = "1.2")]
    Tls12,
    /// TLS 1.3.
    #[serde(rename = "1.3")]
    Tls13,
}

static ONLY_TLS13: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

// === impl TlsConfig ===

impl TlsConfig {
    /// Reports settings that contradict each other.
    pub(crate) fn validate(&self, problems: &mut Problems) {
        if self.cert_file.is_some() && self.key_file.is_none() {
            problems.at("tls::key_file", "must be set too: cert_file needs its key");
        }
        if self.key_file.is_some() && self.cert_file.is_none() {
            problems.at("tls::cert_file", "must be set too: key_file needs its certificate");
        }
        if let Some(name) = &self.server_name_override
            && !matches!(ServerName::try_from(name.as_str()), Ok(ServerName::DnsName(_)))
        {
            problems.at(
                "tls::server_name_override",
                format!("{name:?} is not a DNS name (without scheme and port)"),
            );
        }
    }

    /// Reads the files. `section` is the exporter's path for errors; `alpn` is the protocol to negotiate.
    pub(crate) fn client_config(&self, section: &str, alpn: &[u8]) -> Result<ClientConfig, ComponentError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let versions = match self.min_version {
            MinVersion::Tls12 => rustls::ALL_VERSIONS,
            MinVersion::Tls13 => ONLY_TLS13,
        };
        let failed = |key: &str, what: String| ComponentError::new(format!("{section}: tls::{key}: {what}"));
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)
            .map_err(|e| failed("min_version", e.to_string()))?;
        let builder = if self.insecure_skip_verify {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        } else {
            builder.with_root_certificates(self.roots(section)?)
        };
        let mut config = match (&self.cert_file, &self.key_file) {
            (Some(cert_file), Some(key_file)) => {
                let chain = certificates(cert_file).map_err(|what| failed("cert_file", what))?;
                let key = PrivateKeyDer::from_pem_file(key_file)
                    .map_err(|e| failed("key_file", format!("{key_file}: {}", cause(&e, "private key"))))?;
                let unfit = |e: rustls::Error| {
                    failed("key_file", format!("{key_file} does not fit {cert_file}: {e}"))
                };
                builder.with_client_auth_cert(chain, key).map_err(unfit)?
            }
            _ => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![alpn.to_vec()];
        Ok(config)
    }

    fn roots(&self, section: &str) -> Result<RootCertStore, ComponentError> {
        let failed = |what: String| ComponentError::new(format!("{section}: tls::ca_file: {what}"));
        let mut roots = RootCertStore::empty();
        if let Some(file) = &self.ca_file {
            for certificate in certificates(file).map_err(failed)? {
                roots
                    .add(certificate)
                    .map_err(|e| failed(format!("{file}: not a usable certificate: {e}")))?;
            }
        }
        if self.ca_file.is_none() || self.include_system_ca_certs_pool {
            let found = rustls_native_certs::load_native_certs();
            for error in &found.errors {
                tracing::warn!(%error, "{section}: some of the system's certificate authorities cannot be read");
            }
            roots.add_parsable_certificates(found.certs);
        }
        if roots.is_empty() {
            return Err(failed(
                "this system has no certificate authorities to trust (set ca_file to a PEM file, install ca-certificates, \
                 or set tls::insecure: true for a server without TLS)"
                    .to_owned(),
            ));
        }
        Ok(roots)
    }
}

fn certificates(file: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(found) if found.is_empty() => {
            Err(format!("{file}: no certificate in it (expected PEM: -----BEGIN CERTIFICATE-----)"))
        }
        Ok(found) => Ok(found),
        Err(e) => Err(format!("{file}: {}", cause(&e, "certificate"))),
    }
}

fn cause(error: &rustls::pki_types::pem::Error, what: &str) -> String {
    use rustls::pki_types::pem::Error;
    match error {
        Error::Io(e) => e.to_string(),
        Error::NoItemsFound => format!("no {what} in it (expected PEM)"),
        other => format!("not a PEM file with a {what}: {other:?}"),
    }
}
