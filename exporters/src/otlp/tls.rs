//! `tls`: the Collector's client settings, and the rustls configuration that is built from them.

use std::sync::Arc;

use longwave_config::{GoDuration, Secret};
use longwave_pipeline::component::tls::{self, PemSource, TlsParameters, TlsVersion, TpmConfig};
use longwave_pipeline::component::{ComponentError, Problems, Reloading};
use rustls::client::WebPkiServerVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::ServerName;
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::any_certificate::AnyCertificate;
use super::reloading_tls::{ReloadingIdentity, ReloadingVerifier};

/// TLS of a client.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct TlsConfig {
    /// True turns TLS off. An `https://` endpoint overrides it.
    pub insecure: bool,
    /// True accepts every server certificate.
    pub insecure_skip_verify: bool,
    /// PEM file with the certificate authorities to trust, instead of the system's.
    #[schemars(example = &"/etc/longwave/ca.crt")]
    pub ca_file: Option<String>,
    /// The text of `ca_file`, instead of its path.
    pub ca_pem: Option<Secret>,
    /// True trusts the system's certificate authorities in addition to those of `ca_file`.
    pub include_system_ca_certs_pool: bool,
    /// PEM file with the client certificate, for servers that require one.
    #[schemars(example = &"/etc/longwave/tls.crt")]
    pub cert_file: Option<String>,
    /// The text of `cert_file`, instead of its path.
    pub cert_pem: Option<Secret>,
    /// PEM file with the private key of `cert_file`.
    #[schemars(example = &"/etc/longwave/tls.key")]
    pub key_file: Option<String>,
    /// The text of `key_file`, instead of its path.
    pub key_pem: Option<Secret>,
    /// Time after which a new connection reads the files again; never if zero. The Collector reads only `cert_file` and `key_file` again.
    pub reload_interval: GoDuration,
    /// DNS name to expect in the server's certificate, if it is not the endpoint's host.
    #[schemars(example = &"collector.example.com")]
    pub server_name_override: Option<String>,
    /// Oldest TLS version to accept.
    pub min_version: TlsVersion,
    /// Newest TLS version to accept. Default: the newest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_version: Option<TlsVersion>,
    /// Cipher suites of TLS 1.2 to accept. All if the list is empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(example = ["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"])]
    pub cipher_suites: Vec<String>,
    /// Curves to accept, the preferred one first. All if the list is empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(example = ["X25519"])]
    pub curve_preferences: Vec<String>,
    /// A key in a TPM, which is not supported.
    #[serde(skip_serializing_if = "TpmConfig::is_default")]
    pub tpm: TpmConfig,
}

// === impl TlsConfig ===

impl TlsConfig {
    /// Reports settings that contradict each other.
    pub(crate) fn validate(&self, problems: &mut Problems) {
        match (self.certificate(), self.key()) {
            (Some(_), None) => problems.at("tls::key_file", "must be set too: cert_file needs its key"),
            (None, Some(_)) => {
                problems.at("tls::cert_file", "must be set too: key_file needs its certificate")
            }
            _ => {}
        }
        let pairs = [
            ("ca", self.ca_file.is_some(), &self.ca_pem),
            ("cert", self.cert_file.is_some(), &self.cert_pem),
            ("key", self.key_file.is_some(), &self.key_pem),
        ];
        tls::validate_sources(&pairs, self.reload_interval, problems);
        self.parameters().validate(problems);
        if let Some(name) = &self.server_name_override
            && !matches!(ServerName::try_from(name.as_str()), Ok(ServerName::DnsName(_)))
        {
            problems.at(
                "tls::server_name_override",
                format!("{name:?} is not a DNS name (without scheme and port)"),
            );
        }
    }

    /// Reads the files. `section` is the exporter's path for errors; `alpn` is the protocol to negotiate. With `verifies_override` the server's
    /// certificate must contain `server_name_override` though the connection is made for another name, as through a proxy.
    pub(crate) fn client_config(
        &self,
        section: &str,
        alpn: &[u8],
        verifies_override: bool,
    ) -> Result<ClientConfig, ComponentError> {
        let parameters = self.parameters();
        let provider = parameters.provider();
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&parameters.versions())
            .map_err(|e| failed(section, "min_version", e.to_string()))?
            .dangerous();
        let builder = if self.insecure_skip_verify {
            builder.with_custom_certificate_verifier(Arc::new(AnyCertificate(Arc::clone(&provider))))
        } else {
            let (config, section, provider) = (self.clone(), section.to_owned(), Arc::clone(&provider));
            let load = move || config.verifier(&section, &provider);
            let name = self.server_name_override.as_ref().filter(|_| verifies_override);
            // The validation has refused other names.
            let name = name.and_then(|name| ServerName::try_from(name.clone()).ok());
            let current = Reloading::new(self.reload_interval.get(), load)?;
            let verifier = ReloadingVerifier { current, name };
            builder.with_custom_certificate_verifier(Arc::new(verifier))
        };
        let mut config = match (self.certificate(), self.key()) {
            (Some(certificate), Some(key)) => {
                let section = section.to_owned();
                let load = move || identity(&section, &certificate, &key, &provider);
                let identity = ReloadingIdentity(Reloading::new(self.reload_interval.get(), load)?);
                builder.with_client_cert_resolver(Arc::new(identity))
            }
            _ => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![alpn.to_vec()];
        Ok(config)
    }

    fn verifier(
        &self,
        section: &str,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Arc<WebPkiServerVerifier>, ComponentError> {
        let roots = Arc::new(self.roots(section)?);
        WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(provider))
            .build()
            .map_err(|e| failed(section, "ca_file", e.to_string()))
    }

    fn roots(&self, section: &str) -> Result<RootCertStore, ComponentError> {
        let failed = |what: String| failed(section, "ca_file", what);
        let mut roots = RootCertStore::empty();
        let own = PemSource::of(self.ca_file.as_deref(), self.ca_pem.as_ref());
        if let Some(source) = &own {
            for certificate in tls::certificates(source).map_err(failed)? {
                roots
                    .add(certificate)
                    .map_err(|e| failed(format!("{source}: not a usable certificate: {e}")))?;
            }
        }
        if own.is_none() || self.include_system_ca_certs_pool {
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
        PemSource::of(self.cert_file.as_deref(), self.cert_pem.as_ref())
    }

    fn key(&self) -> Option<PemSource> {
        PemSource::of(self.key_file.as_deref(), self.key_pem.as_ref())
    }
}

fn identity(
    section: &str,
    certificate: &PemSource,
    key: &PemSource,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, ComponentError> {
    let chain = tls::certificates(certificate).map_err(|what| failed(section, "cert_file", what))?;
    let private = tls::private_key(key).map_err(|what| failed(section, "key_file", what))?;
    let unfit =
        |e: rustls::Error| failed(section, "key_file", format!("{key} does not fit {certificate}: {e}"));
    let identity = CertifiedKey::from_der(chain, private, provider).map_err(unfit)?;
    Ok(identity)
}

fn failed(section: &str, key: &str, what: String) -> ComponentError {
    ComponentError::new(format!("{section}: tls::{key}: {what}"))
}
