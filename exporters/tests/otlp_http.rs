//! `otlp_http` against HTTP servers in this process.
#![allow(clippy::unwrap_used)]

mod common;

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::certificates::Certificates;
use common::http_server::{HttpServer, Reply, tls_once};
use common::rotating_token::{self, RotatingToken};
use common::{any_payload, exporter, payload, permanent, records, retryable, try_authenticated, window};
use longwave_pipeline::component::{PushError, Pushed, Pusher, Signal};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsPartialSuccess, ExportMetricsServiceResponse,
};
use prost::Message;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;

fn reply(status: u16, headers: &[(&str, &str)], body: Vec<u8>) -> Reply {
    let mut builder = axum::http::Response::builder().status(status);
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    builder.body(body).unwrap()
}

fn base(server: &HttpServer) -> serde_json::Value {
    json!({"endpoint": format!("http://{}/otlp", server.address)})
}

/// *Scenario*: small and large requests with metrics and logs, with every compression and without, a token in a header, and a
/// `logs_endpoint`.
/// *Guarantees*: the server receives a POST of exactly the encoded request at the right path, with type, encoding, token and user agent.
#[tokio::test]
async fn requests_arrive() {
    let server = HttpServer::start(Vec::new()).await;
    for compression in ["gzip", "zstd", "zlib", "deflate", "snappy", "none", ""] {
        let mut section = base(&server);
        section["compression"] = compression.into();
        section["headers"] = json!({"Authorization": "Bearer t0ken"});
        section["logs_endpoint"] = format!("http://{}/elsewhere", server.address).into();
        for (signal, batch, path) in [
            (Signal::Metrics, window(77), "/otlp/v1/metrics"),
            (Signal::Logs, records(1), "/elsewhere"),
            (Signal::Logs, records(1000), "/elsewhere"),
        ] {
            let mut exporter = exporter("otlp_http", section.clone(), signal);
            exporter.pusher().start().await.unwrap();
            let payload = payload(&mut *exporter, &batch);
            assert_eq!(exporter.pusher().push(&payload).await, Ok(Pushed::default()));
            let (parts, body) = server.received.lock().unwrap().requests.pop().unwrap();
            let header = |name: &str| parts.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
            assert_eq!((parts.method.as_str(), parts.uri.path()), ("POST", path));
            assert_eq!(header("content-type").unwrap(), "application/x-protobuf");
            assert_eq!(header("authorization").unwrap(), "Bearer t0ken");
            assert!(header("user-agent").unwrap().starts_with("longwave/"));
            let encoding = Some(compression).filter(|name| !["none", ""].contains(name)).map(str::to_owned);
            assert_eq!(header("content-encoding"), encoding);
            let mut plain = Vec::new();
            match compression {
                "gzip" => {
                    flate2::read::GzDecoder::new(&*body).read_to_end(&mut plain).unwrap();
                }
                "zlib" | "deflate" => {
                    flate2::read::ZlibDecoder::new(&*body).read_to_end(&mut plain).unwrap();
                }
                "zstd" => plain = zstd::decode_all(&*body).unwrap(),
                "snappy" => plain = snap::raw::Decoder::new().decompress_vec(&body).unwrap(),
                _ => plain = body,
            }
            assert_eq!(plain, payload.bytes);
        }
    }
}

/// *Scenario*: an authenticator whose token changes between two requests; a header of the configuration beside it; the same header in both; an
/// extension that is no authenticator.
/// *Guarantees*: each request has the current token once, and the other headers. The contradiction and the extension are refused with an error that
/// names the setting.
#[tokio::test]
async fn authenticated_requests() {
    let server = HttpServer::start(Vec::new()).await;
    let (token, authenticators) = RotatingToken::new(http::header::AUTHORIZATION);
    let mut section = base(&server);
    section["auth"] = json!({"authenticator": rotating_token::ID});
    section["headers"] = json!({"X-Tenant": "a"});
    let create = |section: &serde_json::Value, authenticators| {
        try_authenticated("otlp_http", section.clone(), Signal::Logs, authenticators)
    };
    let pusher = create(&section, authenticators.clone()).ok().unwrap().pusher();
    for now in ["one", "two"] {
        *token.token.lock().unwrap() = now;
        assert_eq!(pusher.push(&any_payload()).await, Ok(Pushed::default()));
        let (parts, _) = server.received.lock().unwrap().requests.pop().unwrap();
        let values: Vec<_> = parts.headers.get_all("authorization").iter().collect();
        assert_eq!(values, [&format!("Bearer {now}")]);
        assert_eq!(parts.headers["x-tenant"], "a");
    }
    let error = create(&section, Default::default()).err().unwrap();
    assert!(
        error.starts_with(
            "exporters::otlp_http: auth::authenticator: requested authenticator is not a client authenticator"
        ),
        "{error}"
    );
    section["headers"] = json!({"Authorization": "Bearer hunter2"});
    let error = create(&section, authenticators).err().unwrap();
    assert_eq!(
        error,
        "exporters::otlp_http: headers::authorization: cannot be combined with auth, because extensions::bearertokenauth sets this header: remove one of them"
    );
}

/// *Scenario*: the server replies with partial success, then 200 with an HTML page, and 202 with invalid protobuf.
/// *Guarantees*: the push returns the rejected items and the server's reason. An accepted request is no error, whatever its body is.
#[tokio::test]
async fn success_and_partial_success() {
    let partial = ExportMetricsPartialSuccess { rejected_data_points: 4, error_message: "too old".into() };
    let body = ExportMetricsServiceResponse { partial_success: Some(partial) }.encode_to_vec();
    let protobuf = [("content-type", "application/x-protobuf")];
    let replies = vec![
        reply(200, &protobuf, body.clone()),
        reply(200, &[("content-type", "text/html")], body),
        reply(202, &protobuf, vec![0xff; 40]),
    ];
    let server = HttpServer::start(replies).await;
    let pusher = exporter("otlphttp", base(&server), Signal::Metrics).pusher();
    let expected = Pushed { rejected_items: 4, message: Some("too old".into()) };
    assert_eq!(pusher.push(&any_payload()).await, Ok(expected));
    assert_eq!(pusher.push(&any_payload()).await, Ok(Pushed::default()));
    assert_eq!(pusher.push(&any_payload()).await, Ok(Pushed::default()));
}

/// *Scenario*: `encoding: json`; the server replies with partial success for metrics and for logs, with the count as a text and as a number, and then
/// with an error in JSON.
/// *Guarantees*: the request is OTLP's JSON. Rejected items, their reason, and the reason of the error are those of the server.
#[tokio::test]
async fn json() {
    let as_json = [("content-type", "application/json")];
    let partial = |key: &str, count: serde_json::Value| {
        let body = json!({"partialSuccess": {key: count, "errorMessage": "too old"}});
        reply(200, &as_json, body.to_string().into_bytes())
    };
    let replies = vec![
        partial("rejectedDataPoints", json!("4")),
        partial("rejectedLogRecords", json!(1)),
        reply(400, &as_json, json!({"code": 3, "message": "bad point"}).to_string().into_bytes()),
    ];
    let server = HttpServer::start(replies).await;
    let mut section = base(&server);
    section["encoding"] = "json".into();
    section["compression"] = "none".into();
    let mut metrics = exporter("otlp_http", section.clone(), Signal::Metrics);
    let mut logs = exporter("otlp_http", section, Signal::Logs);
    let request = payload(&mut *metrics, &window(77));
    let rejected = |rejected_items| Ok(Pushed { rejected_items, message: Some("too old".into()) });
    assert_eq!(metrics.pusher().push(&request).await, rejected(4.min(request.items)));
    assert_eq!(logs.pusher().push(&payload(&mut *logs, &records(1))).await, rejected(1));
    let message = permanent(metrics.pusher().push(&request).await.unwrap_err());
    assert!(message.contains("HTTP 400 Bad Request: bad point"), "{message}");
    let received = server.received.lock().unwrap();
    let (parts, body) = &received.requests[0];
    assert_eq!(parts.headers["content-type"], "application/json");
    let body: serde_json::Value = serde_json::from_slice(body).unwrap();
    let point = &body["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][0]["sum"]["dataPoints"][0];
    assert_eq!((&point["asInt"], &point["timeUnixNano"]), (&json!("77"), &json!("2")));
}

/// *Scenario*: the server replies 503 with Retry-After, 429 without it, success, 400, and a redirect to a path that would reply 200 to a
/// GET.
/// *Guarantees*: the first error has the server's delay. The last two are permanent, with the server's reason. No redirect is followed.
#[tokio::test]
async fn refusals() {
    let replies = vec![
        reply(503, &[("retry-after", "7")], Vec::new()),
        reply(429, &[], b"too many".to_vec()),
        reply(200, &[], Vec::new()),
        reply(400, &[], b"bad point".to_vec()),
        reply(302, &[("location", "/elsewhere")], Vec::new()),
    ];
    let server = HttpServer::start(replies).await;
    let pusher = exporter("otlp_http", base(&server), Signal::Metrics).pusher();
    match pusher.push(&any_payload()).await {
        Err(PushError::Retryable { after, .. }) => assert_eq!(after, Some(Duration::from_secs(7))),
        other => panic!("{other:?}"),
    }
    let url = format!("http://{}/otlp/v1/metrics", server.address);
    let message = retryable(pusher.push(&any_payload()).await.unwrap_err());
    assert_eq!(message, format!("{url}: HTTP 429 Too Many Requests: too many"));
    assert_eq!(pusher.push(&any_payload()).await, Ok(Pushed::default()));
    let message = permanent(pusher.push(&any_payload()).await.unwrap_err());
    assert!(message.starts_with(&format!("{url}: HTTP 400 Bad Request: bad point")), "{message}");
    let message = permanent(pusher.push(&any_payload()).await.unwrap_err());
    assert!(message.contains("redirected to \"/elsewhere\""), "{message}");
    assert_eq!(server.received.lock().unwrap().requests.len(), 5);
}

/// *Scenario*: no process listens, a name does not resolve, and a TLS client connects to a server without TLS.
/// *Guarantees*: the errors are retryable and name the URL and the likely cause.
#[tokio::test]
async fn servers_that_cannot_be_reached() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let fails_with = async |section: serde_json::Value, expected: &str| {
        let pusher = exporter("otlp_http", section.clone(), Signal::Metrics).pusher();
        pusher.start().await.unwrap();
        let message = retryable(pusher.push(&any_payload()).await.unwrap_err());
        let endpoint = section["endpoint"].as_str().unwrap();
        assert!(
            message.starts_with(&format!("{endpoint}/v1/metrics: ")) && message.contains(expected),
            "{message}"
        );
    };
    fails_with(json!({"endpoint": format!("http://{address}")}), "is the collector running?").await;
    fails_with(json!({"endpoint": "http://collector.invalid:4318"}), "").await;
    let server = HttpServer::start(Vec::new()).await;
    let tls = json!({"insecure_skip_verify": true});
    fails_with(json!({"endpoint": format!("https://{}", server.address), "tls": tls}), "does not speak TLS")
        .await;
}

/// Returns the TLS settings of a server with the certificate for `collector.test`.
fn server_config(certificates: &Certificates) -> rustls::ServerConfig {
    let (certificate, key) = &certificates.server;
    let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap()
}

/// *Scenario*: a client connects by address to a TLS server with a certificate for `collector.test`, with `server_name_override` and
/// without.
/// *Guarantees*: with it the certificate is verified for that name, SNI has the name, and `Host` is the endpoint's. Without it the message
/// names the setting.
#[tokio::test]
async fn another_server_name() {
    let certificates = Certificates::new();
    let ca = certificates.file("ca.pem", &certificates.ca);
    let (address, served) = tls_once(server_config(&certificates)).await;
    let tls = json!({"ca_file": ca, "server_name_override": "collector.test"});
    let section = json!({"endpoint": format!("https://{address}"), "tls": tls});
    let pusher = exporter("otlp_http", section, Signal::Metrics).pusher();
    assert_eq!(pusher.push(&any_payload()).await, Ok(Pushed::default()));
    let (name, head) = served.await.unwrap();
    assert_eq!(name.as_deref(), Some("collector.test"));
    assert!(head.to_lowercase().contains(&format!("host: {address}\r\n")), "{head}");

    let (address, served) = tls_once(server_config(&certificates)).await;
    let section = json!({"endpoint": format!("https://{address}"), "tls": {"ca_file": ca}});
    let pusher = exporter("otlp_http", section, Signal::Metrics).pusher();
    let message = retryable(pusher.push(&any_payload()).await.unwrap_err());
    assert!(message.contains("set tls::server_name_override"), "{message}");
    assert!(served.await.is_err());
}

/// A proxy for one tunnel, which leads to `server` whatever the request names. Returns its address and the request.
async fn tunnel_to(server: std::net::SocketAddr) -> (std::net::SocketAddr, tokio::task::JoinHandle<String>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(client.read_u8().await.unwrap());
        }
        let mut server = tokio::net::TcpStream::connect(server).await.unwrap();
        client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        // A side that closes early ends the tunnel.
        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
        String::from_utf8(head).unwrap()
    });
    (address, task)
}

/// *Scenario*: a TLS server with a certificate for `collector.test` behind a proxy, with `server_name_override` and an endpoint of another name.
/// Then the override is a name that the certificate does not contain.
/// *Guarantees*: the proxy connects to the endpoint, `Host` has the endpoint, and SNI has the override. The certificate is verified for the
/// override. The failure names it and the endpoint.
#[tokio::test]
async fn another_server_name_behind_a_proxy() {
    let certificates = Certificates::new();
    let ca = certificates.file("ca.pem", &certificates.ca);
    for name in ["collector.test", "other.test"] {
        let (server, served) = tls_once(server_config(&certificates)).await;
        let (proxy, asked) = tunnel_to(server).await;
        let section = json!({
            "endpoint": "https://endpoint.test:4318",
            "proxy_url": format!("http://{proxy}"),
            "headers": {"x-key": "a"},
            "tls": {"ca_file": ca, "server_name_override": name},
        });
        let pusher = exporter("otlp_http", section, Signal::Metrics).pusher();
        let pushed = pusher.push(&any_payload()).await;
        if name == "other.test" {
            let Err(PushError::Retryable { message, may_have_arrived: false, .. }) = pushed else {
                panic!("{pushed:?}");
            };
            assert!(message.starts_with("https://endpoint.test:4318/"), "{message}");
            assert!(message.contains("other.test"), "{message}");
            continue;
        }
        assert_eq!(pushed, Ok(Pushed::default()));
        let (sni, head) = served.await.unwrap();
        assert_eq!(sni.as_deref(), Some(name));
        let head = head.to_lowercase();
        assert!(head.starts_with("post /v1/metrics http/1.1\r\n"), "{head}");
        for expected in ["host: endpoint.test:4318\r\n", "x-key: a\r\n", "user-agent: longwave/"] {
            assert!(head.contains(expected), "{expected}: {head}");
        }
        drop(pusher);
        let asked = asked.await.unwrap();
        assert!(asked.starts_with("CONNECT endpoint.test:4318 HTTP/1.1\r\n"), "{asked}");
    }
}

/// A server that counts its connections. It responds to a request only after `release` has been notified.
struct CountedServer {
    address: std::net::SocketAddr,
    opened: Arc<AtomicUsize>,
    waiting: Arc<Notify>,
    release: Arc<Notify>,
}

impl CountedServer {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server =
            Self { address, opened: Arc::default(), waiting: Arc::default(), release: Arc::default() };
        let (opened, waiting, release) =
            (Arc::clone(&server.opened), Arc::clone(&server.waiting), Arc::clone(&server.release));
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                opened.fetch_add(1, Ordering::Relaxed);
                let (waiting, release) = (Arc::clone(&waiting), Arc::clone(&release));
                tokio::spawn(async move {
                    // Payloads of these tests are empty, so that a request is its head.
                    loop {
                        let mut head = Vec::new();
                        while !head.ends_with(b"\r\n\r\n") {
                            let Ok(byte) = stream.read_u8().await else { return };
                            head.push(byte);
                        }
                        waiting.notify_one();
                        release.notified().await;
                        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
                    }
                });
            }
        });
        server
    }

    fn pusher(&self, settings: serde_json::Value) -> Arc<dyn Pusher> {
        let mut section = json!({"endpoint": format!("http://{}", self.address), "compression": "none"});
        section.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
        exporter("otlp_http", section, Signal::Metrics).pusher()
    }
}

/// *Scenario*: three requests one after the other, with keep-alive, without it by the current and the older setting, and with no idle time.
/// *Guarantees*: with keep-alive there is one connection, otherwise one for each request.
#[tokio::test]
async fn connections_are_kept_or_not() {
    let cases = [
        (json!({}), 1),
        (json!({"max_conns_per_host": 1, "keepalive": {"max_idle_conns": 1, "idle_conn_timeout": "0s"}}), 1),
        (json!({"keepalive": {"enabled": false}}), 3),
        (json!({"disable_keep_alives": true}), 3),
        (json!({"idle_conn_timeout": "1ns"}), 3),
    ];
    for (settings, expected) in cases {
        let server = CountedServer::start().await;
        let pusher = server.pusher(settings.clone());
        for _ in 0..3 {
            server.release.notify_one();
            assert_eq!(pusher.push(&any_payload()).await, Ok(Pushed::default()));
        }
        assert_eq!(server.opened.load(Ordering::Relaxed), expected, "{settings}");
    }
}

/// *Scenario*: three requests at the same time, with a limit of two connections.
/// *Guarantees*: the third one waits until another one is done, and then uses its connection.
#[tokio::test]
async fn connections_are_limited() {
    let server = CountedServer::start().await;
    let pusher = server.pusher(json!({"max_conns_per_host": 2}));
    let requests: Vec<_> = (0..3)
        .map(|_| {
            let pusher = Arc::clone(&pusher);
            tokio::spawn(async move { pusher.push(&any_payload()).await })
        })
        .collect();
    for _ in 0..3 {
        server.waiting.notified().await;
        assert!(server.opened.load(Ordering::Relaxed) <= 2);
        server.release.notify_one();
    }
    for request in requests {
        assert_eq!(request.await.unwrap(), Ok(Pushed::default()));
    }
    assert_eq!(server.opened.load(Ordering::Relaxed), 2);
}

/// *Scenario*: requests with the lowest and the highest level of each compression.
/// *Guarantees*: the server can decode them, and the highest level is smaller.
#[tokio::test]
async fn levels_of_compression() {
    for (compression, highest) in [("gzip", 9), ("zlib", 9), ("deflate", 9), ("zstd", 19)] {
        let server = HttpServer::start(Vec::new()).await;
        for level in [1, highest] {
            let section = json!({
                "endpoint": format!("http://{}", server.address),
                "compression": compression,
                "compression_params": {"level": level},
            });
            let mut logs = exporter("otlp_http", section, Signal::Logs);
            let payload = payload(&mut *logs, &records(500));
            assert_eq!(logs.pusher().push(&payload).await, Ok(Pushed::default()));
            let (_, body) = server.received.lock().unwrap().requests.last().cloned().unwrap();
            let mut plain = Vec::new();
            match compression {
                "gzip" => drop(flate2::read::GzDecoder::new(&body[..]).read_to_end(&mut plain).unwrap()),
                "zstd" => plain = zstd::decode_all(&body[..]).unwrap(),
                _ => drop(flate2::read::ZlibDecoder::new(&body[..]).read_to_end(&mut plain).unwrap()),
            }
            assert_eq!(plain, payload.bytes);
        }
        let received = server.received.lock().unwrap();
        let sizes: Vec<_> = received.requests.iter().map(|(_, body)| body.len()).collect();
        assert!(sizes[1] < sizes[0], "{compression}: {sizes:?}");
    }
}
