use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::extract::ConnectInfo;
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, HeaderValue};
use axum::routing::get;
use longwave_config::Secret;
use longwave_testing::gate::raise_open_files;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{NamedGroup, ProtocolVersion};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

use crate::component::tls::TlsVersion;

use super::listener::{FIRST_BYTE_LIMIT, IDLE_LIMIT, MAX_CONNECTIONS};
use super::*;
use crate::component::with_causes;

const PLACE: &str = "exporters::prometheus: endpoint";
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";

/// PEM files of authorities and certificates.
struct Files {
    folder: TempDir,
}

/// Body of several responses.
struct SharedText(Arc<String>);

/// A server that runs.
struct Running {
    address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

// === impl Files ===

impl Files {
    /// Makes two authorities, `ours` and `other`. Each has a certificate for localhost, signed by it: `ours.server` and `other.server`.
    fn new() -> Self {
        let files = Self { folder: TempDir::new().unwrap() };
        for name in ["ours", "other"] {
            let mut params = CertificateParams::default();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let key = KeyPair::generate().unwrap();
            files.write(&format!("{name}.pem"), &params.self_signed(&key).unwrap().pem());
            let authority = Issuer::new(params, key);
            let key = KeyPair::generate().unwrap();
            let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
            let certificate = params.signed_by(&key, &authority).unwrap();
            files.write(&format!("{name}.server.pem"), &certificate.pem());
            files.write(&format!("{name}.server.key"), &key.serialize_pem());
        }
        files
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// Settings of a server with the certificate of `ours`.
    fn server(&self, client_ca: Option<&str>) -> ServerTlsConfig {
        ServerTlsConfig {
            cert_file: self.text("ours.server.pem"),
            key_file: self.text("ours.server.key"),
            client_ca_file: client_ca.map(|name| self.text(name)),
            ..ServerTlsConfig::default()
        }
    }

    /// A client that trusts `ours`, with the certificate of `identity`.
    fn client(&self, identity: Option<&str>) -> TlsConnector {
        let certificate = |path: &Path| CertificateDer::from_pem_file(path).unwrap();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(certificate(&self.path("ours.pem"))).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match identity {
            None => builder.with_no_client_auth(),
            Some(name) => {
                let chain = vec![certificate(&self.path(&format!("{name}.server.pem")))];
                let key = PrivateKeyDer::from_pem_file(self.path(&format!("{name}.server.key"))).unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        TlsConnector::from(Arc::new(config))
    }
}

// === impl Running ===

impl Running {
    async fn start(tls: Option<&ServerTlsConfig>, router: Router) -> Self {
        let server = HttpServer::bind(PLACE, "127.0.0.1:0", tls).await.unwrap();
        let (address, stop) = (server.address(), CancellationToken::new());
        let task = tokio::spawn(server.run(router, stop.clone()));
        Self { address, stop, task }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

// === impl SharedText ===

impl AsRef<[u8]> for SharedText {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// A page with the client's address.
fn address_page() -> Router {
    Router::new()
        .route("/", get(|ConnectInfo(ClientAddress(address)): ConnectInfo<ClientAddress>| async move {
            address.to_string()
        }))
}

/// Sends a request and returns the whole response.
async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> std::io::Result<String> {
    stream.write_all(REQUEST).await?;
    let mut response = String::new();
    stream.read_to_string(&mut response).await?;
    Ok(response)
}

async fn exchange_by_tls(server: &Running, client: &TlsConnector) -> std::io::Result<String> {
    let name = ServerName::try_from("localhost").unwrap();
    exchange(client.connect(name, server.connect().await).await?).await
}

fn is_served(response: &std::io::Result<String>) -> bool {
    response.as_ref().is_ok_and(|text| text.starts_with("HTTP/1.1 200") && text.ends_with("127.0.0.1"))
}

/// *Scenario*: a server without TLS, with TLS, and with TLS that requires client certificates; clients without a certificate, with one of
/// the required authority, and with one of another authority.
/// *Guarantees*: only clients that fulfil the requirement get the page; a client without TLS gets nothing from a server with TLS; handlers
/// see the client's address.
#[tokio::test]
async fn tls_and_client_certificates() {
    let files = Files::new();
    let plain = Running::start(None, address_page()).await;
    assert!(is_served(&exchange(plain.connect().await).await));
    plain.stop().await;

    let encrypted = Running::start(Some(&files.server(None)), address_page()).await;
    assert!(is_served(&exchange_by_tls(&encrypted, &files.client(None)).await));
    let unencrypted = exchange(encrypted.connect().await).await;
    assert!(!unencrypted.as_ref().is_ok_and(|text| text.contains("HTTP")), "{unencrypted:?}");
    encrypted.stop().await;

    let mutual = Running::start(Some(&files.server(Some("ours.pem"))), address_page()).await;
    for (identity, expected) in [(Some("ours"), true), (None, false), (Some("other"), false)] {
        let response = exchange_by_tls(&mutual, &files.client(identity)).await;
        assert_eq!(is_served(&response), expected, "{identity:?}: {response:?}");
    }
    mutual.stop().await;
}

/// *Scenario*: servers with TLS 1.2 only and a suite that fits the certificate's key, one that does not, and a curve.
/// *Guarantees*: a client connects with the version, the suite and the curve of the server, or not at all.
#[tokio::test]
async fn versions_suites_and_curves() {
    let files = Files::new();
    let connected = async |suite: &str| {
        let tls = ServerTlsConfig {
            max_version: Some(TlsVersion::Tls12),
            cipher_suites: vec![suite.to_owned()],
            curve_preferences: vec!["P384".to_owned()],
            ..files.server(None)
        };
        let server = Running::start(Some(&tls), address_page()).await;
        let name = ServerName::try_from("localhost").unwrap();
        let stream = files.client(None).connect(name, server.connect().await).await?;
        let (_, session) = stream.get_ref();
        let suite = format!("{:?}", session.negotiated_cipher_suite().unwrap().suite());
        let group = session.negotiated_key_exchange_group().unwrap().name();
        std::io::Result::Ok((session.protocol_version().unwrap(), suite, group))
    };
    let suite = "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256";
    let expected = (ProtocolVersion::TLSv1_2, suite.to_owned(), NamedGroup::secp384r1);
    assert_eq!(connected(suite).await.unwrap(), expected);
    assert!(connected("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256").await.is_err());
}

/// *Scenario*: a server whose certificate is replaced while it runs: first by a damaged file, then by one of another authority; once from files, and
/// once with the first certificate as a text.
/// *Guarantees*: with `reload_interval` a later handshake has the new certificate. Until the new file is complete, the old one is used. Without it, or
/// with a text, the certificate stays.
#[tokio::test]
async fn certificates_are_reloaded() {
    let files = Files::new();
    let trusts_ours = async |server: &Running| is_served(&exchange_by_tls(server, &files.client(None)).await);
    let every_time =
        ServerTlsConfig { reload_interval: Duration::from_nanos(1).into(), ..files.server(None) };
    let [pem, key] =
        ["ours.server.pem", "ours.server.key"].map(|name| std::fs::read_to_string(files.path(name)).unwrap());
    let [pem, key] = [pem, key].map(|text| Some(Secret::new(text)));
    let text = ServerTlsConfig { cert_pem: pem, key_pem: key, ..ServerTlsConfig::default() };
    let (reloading, fixed, text) = (
        Running::start(Some(&every_time), address_page()).await,
        Running::start(Some(&files.server(None)), address_page()).await,
        Running::start(Some(&text), address_page()).await,
    );
    assert!(trusts_ours(&reloading).await && trusts_ours(&fixed).await && trusts_ours(&text).await);
    files.write("ours.server.pem", "-----BEGIN CERTIFICATE-----\n");
    assert!(trusts_ours(&reloading).await && trusts_ours(&fixed).await);
    for kind in ["pem", "key"] {
        std::fs::copy(
            files.path(&format!("other.server.{kind}")),
            files.path(&format!("ours.server.{kind}")),
        )
        .unwrap();
    }
    assert!(!trusts_ours(&reloading).await);
    assert!(trusts_ours(&fixed).await && trusts_ours(&text).await);
    for server in [reloading, fixed, text] {
        server.stop().await;
    }
}

/// *Scenario*: a client connects to a server with TLS and never sends a byte.
/// *Guarantees*: other clients are served; the stop does not wait for the handshake.
#[tokio::test]
async fn an_unfinished_handshake_blocks_no_other_client() {
    let files = Files::new();
    let server = Running::start(Some(&files.server(None)), address_page()).await;
    let silent = server.connect().await;
    assert!(is_served(&exchange_by_tls(&server, &files.client(None)).await));
    server.stop().await;
    drop(silent);
}

/// *Scenario*: a client never sends a request; another one sends a request and keeps its connection open.
/// *Guarantees*: both connections are closed after their time limits, so that silent clients do not occupy all connections.
#[tokio::test(start_paused = true)]
async fn silent_clients_are_disconnected() {
    let server = Running::start(None, address_page()).await;
    for (request, expected) in
        [(&b""[..], FIRST_BYTE_LIMIT), (b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n", IDLE_LIMIT)]
    {
        let mut client = server.connect().await;
        let connected = tokio::time::Instant::now();
        client.write_all(request).await.unwrap();
        let mut response = String::new();
        client.read_to_string(&mut response).await.unwrap();
        assert_eq!(response.contains("200 OK"), !request.is_empty(), "{response}");
        // A timer has a resolution of 1 ms.
        assert_eq!(connected.elapsed().as_secs(), expected.as_secs());
    }
    server.stop().await;
}

/// *Scenario*: 1,010 clients connect and stay silent, send a part of a request, or keep their connection after a request, with and without TLS;
/// then another client sends a request. Time stands still, so that no time limit helps.
/// *Guarantees*: the server has at most 64 connections, and the last client is served. A connection whose request is being answered is not closed.
#[tokio::test(start_paused = true)]
async fn idle_clients_keep_no_other_client_out() {
    // The clients and the server are in one process.
    raise_open_files();
    let files = Files::new();
    // The clock stands still while a blocking task runs. It ends with the test, or after a real minute if the last client is not served.
    let (test_runs, ended) = std::sync::mpsc::channel::<()>();
    let mut minute = tokio::task::spawn_blocking(move || ended.recv_timeout(Duration::from_secs(60)));
    let (entered, proceed) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let slow = {
        let (entered, proceed) = (Arc::clone(&entered), Arc::clone(&proceed));
        move || async move {
            entered.notify_one();
            proceed.notified().await;
            "127.0.0.1"
        }
    };
    for (tls, start) in [
        (None, &b""[..]),
        (None, b"GET / HTTP/1.1\r\nhost: loc"),
        (None, b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"),
        (Some(files.server(None)), b""),
    ] {
        let server = Running::start(tls.as_ref(), address_page().route("/slow", get(slow.clone()))).await;
        let pending = if tls.is_none() && !start.starts_with(b"GET / HTTP/1.1\r\nhost: loc") {
            let mut client = server.connect().await;
            client
                .write_all(b"GET /slow HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
                .await
                .unwrap();
            entered.notified().await;
            Some(client)
        } else {
            None
        };
        let mut idle = Vec::new();
        for _ in 0..1_010 {
            let mut client = server.connect().await;
            client.write_all(start).await.unwrap();
            if start.ends_with(b"\r\n\r\n") {
                // Waits for the response, so that the connection is idle.
                assert!(client.read(&mut [0; 1024]).await.unwrap() > 0);
            }
            idle.push(client);
        }
        let served = async {
            match &tls {
                None => exchange(server.connect().await).await,
                Some(_) => exchange_by_tls(&server, &files.client(None)).await,
            }
        };
        let response = tokio::select! {
            response = served => response,
            _ = &mut minute => panic!("the last client is not served"),
        };
        assert!(is_served(&response), "{response:?}");
        let mut open = 0;
        for client in &mut idle {
            // A connection that the server closed is readable.
            open += usize::from(
                client.try_read(&mut [0; 1]).is_err_and(|e| e.kind() == std::io::ErrorKind::WouldBlock),
            );
        }
        assert!(open <= MAX_CONNECTIONS, "{open}");
        if let Some(mut client) = pending {
            proceed.notify_one();
            let mut response = String::new();
            client.read_to_string(&mut response).await.unwrap();
            assert!(is_served(&Ok(response)));
        }
        drop(idle);
        server.stop().await;
    }
    drop(test_runs);
}

/// *Scenario*: 64 clients send two requests each for a large page and read nothing, so that the server cannot write its responses; then
/// another client sends a request.
/// *Guarantees*: the last client is served.
#[tokio::test]
async fn clients_that_read_nothing_keep_no_other_client_out() {
    let page = Arc::new("x".repeat(16 << 20));
    let large = {
        let page = Arc::clone(&page);
        move || async move { axum::body::Bytes::from_owner(SharedText(page)) }
    };
    let server = Running::start(None, address_page().route("/large", get(large))).await;
    let mut silent = Vec::new();
    for _ in 0..MAX_CONNECTIONS {
        let mut client = server.connect().await;
        client.write_all(&b"GET /large HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(2)).await.unwrap();
        // The response has begun.
        client.readable().await.unwrap();
        silent.push(client);
    }
    let served = tokio::time::timeout(Duration::from_secs(60), exchange(server.connect().await));
    let response = served.await.expect("the last client is not served");
    assert!(is_served(&response), "{response:?}");
    drop(silent);
    server.stop().await;
}

/// *Scenario*: a stop while a handler has not responded yet.
/// *Guarantees*: the client gets the whole response, then the server ends; its port is free.
#[tokio::test]
async fn a_stop_waits_for_pending_responses() {
    let (entered, proceed) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let page = {
        let (entered, proceed) = (Arc::clone(&entered), Arc::clone(&proceed));
        move || async move {
            entered.notify_one();
            proceed.notified().await;
            "late"
        }
    };
    let server = Running::start(None, Router::new().route("/", get(page))).await;
    let address = server.address;
    let response = tokio::spawn(exchange(server.connect().await));
    entered.notified().await;
    server.stop.cancel();
    // The listener is closed first: the port can be bound while the response is pending.
    let again = loop {
        match HttpServer::bind(PLACE, &address.to_string(), None).await {
            Ok(again) => break again,
            Err(_) => tokio::task::yield_now().await,
        }
    };
    proceed.notify_one();
    assert!(response.await.unwrap().unwrap().ends_with("late"));
    server.task.await.unwrap();
    drop(again);
}

/// *Scenario*: a stop while a handler never responds.
/// *Guarantees*: the server ends after the grace period.
#[tokio::test(start_paused = true)]
async fn a_stop_does_not_wait_forever() {
    let entered = Arc::new(Notify::new());
    let page = {
        let entered = Arc::clone(&entered);
        move || async move {
            entered.notify_one();
            std::future::pending::<()>().await;
        }
    };
    let server = Running::start(None, Router::new().route("/", get(page))).await;
    let response = tokio::spawn(exchange(server.connect().await));
    entered.notified().await;
    let before = tokio::time::Instant::now();
    server.stop().await;
    assert_eq!(before.elapsed(), GRACE_PERIOD);
    response.abort();
}

/// *Scenario*: requests with the right credentials, wrong ones, and none.
/// *Guarantees*: only the right user name with the right password is accepted; the scheme's case does not matter.
#[test]
fn basic_auth() {
    let password = Secret::new("se:cret");
    let config = BasicAuthConfig { username: "scraper".to_owned(), password };
    // Base64 of `user:password`.
    let cases = [
        ("Basic c2NyYXBlcjpzZTpjcmV0", true),
        ("basic c2NyYXBlcjpzZTpjcmV0", true),
        ("Basic c2NyYXBlcjp3cm9uZw==", false),
        ("Basic b3RoZXI6c2U6Y3JldA==", false),
        ("Basic c2NyYXBlcjo=", false),
        ("Basic", false),
        ("Basic ?", false),
        ("Bearer c2NyYXBlcjpzZTpjcmV0", false),
    ];
    for (header, expected) in cases {
        let headers = HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static(header))]);
        assert_eq!(config.accepts(&headers), expected, "{header}");
    }
    assert!(!config.accepts(&HeaderMap::new()));
}

/// *Scenario*: addresses and files that cannot be used.
/// *Guarantees*: each error names the setting, what is wrong and what to do.
#[tokio::test]
async fn bind_errors_are_explained() {
    let files = Files::new();
    files.write("empty.pem", "");
    files.write("broken.pem", "-----BEGIN CERTIFICATE-----\n?\n-----END CERTIFICATE-----\n");
    let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let taken = other.local_addr().unwrap().to_string();
    let good = files.server(None);
    let with = |cert: &str, key: &str, client_ca: Option<&str>| ServerTlsConfig {
        cert_file: files.text(cert),
        key_file: files.text(key),
        client_ca_file: client_ca.map(|name| files.text(name)),
        ..ServerTlsConfig::default()
    };
    let cases = [
        (taken.as_str(), None),
        ("localhost", None),
        ("192.0.2.1:80", None),
        ("127.0.0.1:0", Some(with("missing.pem", "ours.server.key", None))),
        ("127.0.0.1:0", Some(with("empty.pem", "ours.server.key", None))),
        ("127.0.0.1:0", Some(with("broken.pem", "ours.server.key", None))),
        ("127.0.0.1:0", Some(with("ours.server.pem", "missing.key", None))),
        ("127.0.0.1:0", Some(with("ours.server.pem", "ours.server.pem", None))),
        ("127.0.0.1:0", Some(with("ours.server.pem", "other.server.key", None))),
        ("127.0.0.1:0", Some(ServerTlsConfig { client_ca_file: Some(files.text("empty.pem")), ..good })),
    ];
    let mut errors = Vec::new();
    for (address, tls) in cases {
        let error = HttpServer::bind(PLACE, address, tls.as_ref()).await.err().unwrap();
        let text = with_causes(&error).replace(&taken, "TAKEN");
        errors.push(text.replace(&files.folder.path().display().to_string(), "FOLDER"));
    }
    insta::assert_snapshot!(errors.join("\n"));
}
