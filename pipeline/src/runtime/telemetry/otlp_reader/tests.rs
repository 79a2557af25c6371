use std::path::PathBuf;
use std::sync::Arc;

use opentelemetry::metrics::MeterProvider;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;

/// PEM files of an authority, and of a server and a client that it has signed.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        let files = Self(TempDir::new().unwrap());
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        files.write("ca.pem", &params.self_signed(&key).unwrap().pem());
        let authority = Issuer::new(params, key);
        for name in ["server", "client"] {
            let key = KeyPair::generate().unwrap();
            let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
            files.write(&format!("{name}.pem"), &params.signed_by(&key, &authority).unwrap().pem());
            files.write(&format!("{name}.key"), &key.serialize_pem());
        }
        files
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// Returns the server's side of TLS, which requires a certificate of the client.
    fn acceptor(&self, alpn: &str) -> TlsAcceptor {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.path("ca.pem")).unwrap()).unwrap();
        let clients =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build();
        let chain = vec![CertificateDer::from_pem_file(self.path("server.pem")).unwrap()];
        let key = PrivateKeyDer::from_pem_file(self.path("server.key")).unwrap();
        let config =
            rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.unwrap().with_client_cert_verifier(clients.unwrap()).with_single_cert(chain, key);
        let mut config = config.unwrap();
        config.alpn_protocols = vec![alpn.into()];
        TlsAcceptor::from(Arc::new(config))
    }
}

fn reader(otlp: OtlpReaderConfig) -> Result<PeriodicReader<MetricExporter>, ComponentError> {
    create("readers::0", &PeriodicConfig { interval: 3_600_000, ..PeriodicConfig::default() }, &otlp)
}

/// *Scenario*: a server with a certificate of an authority that the system does not know, which requires a certificate of the client, gets an
/// export over each protocol.
/// *Guarantees*: with `certificate`, `client_certificate` and `client_key` the request arrives, over a connection with both certificates.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_are_used() {
    let files = Files::new();
    for (protocol, alpn) in [(OtlpProtocol::Grpc, "h2"), (OtlpProtocol::HttpProtobuf, "http/1.1")] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        let acceptor = files.acceptor(alpn);
        let server = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = acceptor.accept(stream).await.unwrap();
            let has_client = stream.get_ref().1.peer_certificates().is_some();
            let mut first = [0; 4];
            stream.read_exact(&mut first).await.unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
            (has_client, first)
        });
        let reader = reader(OtlpReaderConfig {
            protocol,
            endpoint,
            certificate: Some(files.text("ca.pem")),
            client_certificate: Some(files.text("client.pem")),
            client_key: Some(files.text("client.key")),
            timeout: Some(2000),
            ..OtlpReaderConfig::default()
        });
        let provider = SdkMeterProvider::builder().with_reader(reader.unwrap()).build();
        provider.meter("longwave").u64_counter("longwave_own").build().add(5, &[]);
        // The response is not gRPC's, so that this fails after the request.
        let ended = tokio::task::spawn_blocking(move || drop(provider.shutdown()));
        let (has_client, first) = server.await.unwrap();
        assert!(has_client, "{protocol:?}");
        let expected = if protocol == OtlpProtocol::Grpc { b"PRI " } else { b"POST" };
        assert_eq!(&first, expected);
        ended.await.unwrap();
    }
}

/// *Scenario*: files that do not exist, and texts that are no certificates.
/// *Guarantees*: each error names the setting.
#[test]
fn bad_certificates_are_explained() {
    let files = Files::new();
    files.write("bad.pem", "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n");
    for protocol in [OtlpProtocol::Grpc, OtlpProtocol::HttpProtobuf] {
        for (name, expected) in
            [("none.pem", "readers::0: certificate: cannot read"), ("bad.pem", "readers::0: ")]
        {
            let certificate = Some(files.text(name));
            let endpoint = "https://localhost:4317".to_owned();
            let otlp = OtlpReaderConfig { protocol, endpoint, certificate, ..OtlpReaderConfig::default() };
            let error = reader(otlp).err().unwrap_or_else(|| panic!("{protocol:?} accepts {name}"));
            assert!(error.to_string().starts_with(expected), "{error}");
        }
    }
}
