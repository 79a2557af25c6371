//! Exports of the metrics of Longwave itself by OTLP.

use std::time::Duration;

use opentelemetry_otlp::tonic_types::metadata::MetadataMap;
use opentelemetry_otlp::tonic_types::transport::{Certificate, ClientTlsConfig, Identity};
use opentelemetry_otlp::{
    Compression, MetricExporter, Protocol, WithExportConfig, WithHttpConfig, WithTonicConfig,
};
use opentelemetry_sdk::metrics::{PeriodicReader, Temporality};

use super::OtlpProtocol;
use super::readers::{OtlpReaderConfig, PeriodicConfig, ReaderCompression, TemporalityPreference};
use crate::component::ComponentError;

/// Texts of the PEM files of an export.
struct Certificates {
    authorities: Option<Vec<u8>>,
    /// The certificate and the key of the client.
    identity: Option<(Vec<u8>, Vec<u8>)>,
}

/// Creates the reader of an export. `section` is its path for errors.
///
/// # Errors
/// The endpoint is invalid, or a certificate cannot be used.
pub(super) fn create(
    section: &str,
    export: &PeriodicConfig,
    otlp: &OtlpReaderConfig,
) -> Result<PeriodicReader<MetricExporter>, ComponentError> {
    // The HTTP client panics without a default provider. The error means that there is one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let url = otlp.url();
    let certificates = Certificates::read(section, otlp)?.filter(|_| url.starts_with("https://"));
    let limit = Duration::from_millis(otlp.timeout.unwrap_or(export.timeout));
    let temporality = match otlp.temporality_preference {
        TemporalityPreference::Cumulative => Temporality::Cumulative,
        TemporalityPreference::Delta => Temporality::Delta,
        TemporalityPreference::LowMemory => Temporality::LowMemory,
    };
    let compression = (otlp.compression == Some(ReaderCompression::Gzip)).then_some(Compression::Gzip);
    let headers = otlp.all_headers();
    let builder = MetricExporter::builder().with_temporality(temporality);
    let exporter = match otlp.protocol {
        OtlpProtocol::Grpc => {
            // The validation has refused names and values that are invalid.
            let headers = headers
                .into_iter()
                .filter_map(|(name, value)| Some((name.parse().ok()?, value.parse().ok()?)));
            let mut builder = builder
                .with_tonic()
                .with_endpoint(url)
                .with_timeout(limit)
                .with_metadata(MetadataMap::from_headers(headers.collect()));
            if let Some(compression) = compression {
                builder = builder.with_compression(compression);
            }
            if let Some(certificates) = certificates {
                builder = builder.with_tls_config(certificates.for_grpc());
            }
            builder.build()
        }
        OtlpProtocol::HttpProtobuf => {
            let mut builder = builder
                .with_http()
                .with_protocol(Protocol::HttpBinary)
                .with_endpoint(url)
                .with_timeout(limit)
                .with_headers(headers.into_iter().collect());
            if let Some(compression) = compression {
                builder = builder.with_compression(compression);
            }
            if let Some(certificates) = certificates {
                let client = certificates.http_client(limit).map_err(|error| {
                    let text = format!("{section}: certificate: the certificates cannot be used");
                    ComponentError::with_source(text, error)
                })?;
                builder = builder.with_http_client(client);
            }
            builder.build()
        }
    };
    let exporter = exporter.map_err(|e| {
        let endpoint = &otlp.endpoint;
        ComponentError::with_source(
            format!(
                "{section}: endpoint: cannot use {endpoint:?} (write for example http://localhost:4317; are the certificates valid?)"
            ),
            e,
        )
    })?;
    Ok(PeriodicReader::builder(exporter).with_interval(export.interval().get()).build())
}

// === impl Certificates ===

impl Certificates {
    /// Reads the files. `None` if none is set.
    ///
    /// # Errors
    /// A file cannot be read.
    fn read(section: &str, otlp: &OtlpReaderConfig) -> Result<Option<Self>, ComponentError> {
        let read = |key: &str, path: &Option<String>| {
            let text = path.as_ref().map(|path| {
                std::fs::read(path).map_err(|error| {
                    let text = format!("{section}: {key}: cannot read {path:?} (is the secret mounted?)");
                    ComponentError::with_source(text, error)
                })
            });
            text.transpose()
        };
        let authorities = read("certificate", &otlp.certificate)?;
        let certificate = read("client_certificate", &otlp.client_certificate)?;
        let identity = certificate.zip(read("client_key", &otlp.client_key)?);
        let is_set = authorities.is_some() || identity.is_some();
        Ok(is_set.then_some(Self { authorities, identity }))
    }

    fn for_grpc(self) -> ClientTlsConfig {
        let mut tls = ClientTlsConfig::new();
        tls = match self.authorities {
            Some(pem) => tls.ca_certificate(Certificate::from_pem(pem)),
            None => tls.with_enabled_roots(),
        };
        match self.identity {
            Some((certificate, key)) => tls.identity(Identity::from_pem(certificate, key)),
            None => tls,
        }
    }

    fn http_client(self, limit: Duration) -> Result<reqwest::blocking::Client, reqwest::Error> {
        let build = move || {
            let mut builder = reqwest::blocking::Client::builder().timeout(limit);
            if let Some(pem) = self.authorities {
                builder = builder.tls_certs_only(reqwest::Certificate::from_pem_bundle(&pem)?);
            }
            if let Some((certificate, key)) = self.identity {
                let both = [certificate, b"\n".to_vec(), key].concat();
                builder = builder.identity(reqwest::Identity::from_pem(&both)?);
            }
            builder.build()
        };
        // A thread of its own, because the client must not be created on a thread of the async runtime.
        std::thread::scope(|scope| scope.spawn(build).join())
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

#[cfg(test)]
mod tests;
