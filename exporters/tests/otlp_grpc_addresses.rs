//! `otlp_grpc` and the addresses of its endpoint: several ones, those that change, and Unix sockets.
#![allow(clippy::unwrap_used)]

mod common;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use common::certificates::Certificates;
use common::grpc_server::GrpcServer;
use common::{any_payload, context, exporter, retryable};
use longwave_exporters::otlp::grpc::{GrpcConfig, GrpcPusher, Resolver};
use longwave_pipeline::component::{Authenticators, PushError, Pushed, Pusher, Signal};
use serde_json::json;
use tokio::sync::Notify;
use tonic::transport::{Identity, ServerTlsConfig};

/// Result of a look-up, which the test changes.
#[derive(Default)]
struct FakeDns {
    /// `None`: look-ups fail.
    addresses: Mutex<Option<Vec<SocketAddr>>>,
    look_ups: AtomicUsize,
    resolved: Notify,
}

impl FakeDns {
    fn new(addresses: impl IntoIterator<Item = SocketAddr>) -> Arc<Self> {
        let dns = Self::default();
        dns.set(Some(addresses.into_iter().collect()));
        Arc::new(dns)
    }

    fn set(&self, addresses: Option<Vec<SocketAddr>>) {
        *self.addresses.lock().unwrap() = addresses;
    }

    /// Returns a pusher for a name with the addresses of this DNS, and with further settings.
    fn pusher(self: &Arc<Self>, settings: serde_json::Value) -> GrpcPusher {
        let mut section = json!({"endpoint": "dns:///collector.test:4317", "tls": {"insecure": true}});
        section.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
        let config: GrpcConfig = serde_json::from_value(section).unwrap();
        let context = context("otlp_grpc", Signal::Metrics, Authenticators::default());
        GrpcPusher::new(&config, &context, Arc::clone(self) as Arc<dyn Resolver>).unwrap()
    }
}

#[async_trait]
impl Resolver for FakeDns {
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        assert_eq!((host, port), ("collector.test", 4317));
        self.look_ups.fetch_add(1, Ordering::Relaxed);
        self.resolved.notify_one();
        self.addresses.lock().unwrap().clone().ok_or_else(|| io::Error::other("server failure"))
    }
}

/// Pushes until a push succeeds. A request that is on its way when its connection is lost fails, and is sent again, as the queue does.
async fn push(pusher: &dyn Pusher) {
    let mut errors = Vec::new();
    for _ in 0..20 {
        match pusher.push(&any_payload()).await {
            Ok(_) => return,
            Err(error) => errors.push(error),
        }
    }
    panic!("{errors:?}");
}

/// Returns an address at which no process listens.
fn unused() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// *Scenario*: a name with three addresses, each with a server, and one with the policy `pick_first`.
/// *Guarantees*: once all connections are open, each server gets every third request. `pick_first` sends all to one server.
#[tokio::test]
async fn requests_are_distributed() {
    let servers = [
        GrpcServer::start(Vec::new()).await,
        GrpcServer::start(Vec::new()).await,
        GrpcServer::start(Vec::new()).await,
    ];
    let dns = FakeDns::new(servers.iter().map(|server| server.address));
    let pusher = dns.pusher(json!({}));
    for _ in 0..1000 {
        assert_eq!(pusher.push(&any_payload()).await, Ok(Pushed::default()));
        if servers.iter().all(|server| server.requests() > 0) {
            break;
        }
    }
    let before = servers.each_ref().map(GrpcServer::requests);
    for _ in 0..12 {
        assert_eq!(pusher.push(&any_payload()).await, Ok(Pushed::default()));
    }
    let after = servers.each_ref().map(GrpcServer::requests);
    assert_eq!(after, before.map(|count| count + 4));
    let one = dns.pusher(json!({"balancer_name": "pick_first"}));
    for _ in 0..12 {
        assert_eq!(one.push(&any_payload()).await, Ok(Pushed::default()));
    }
    let counts: Vec<_> =
        servers.iter().zip(after).map(|(server, before)| server.requests() - before).collect();
    assert_eq!(counts, [12, 0, 0]);
}

/// *Scenario*: of three addresses one has a server. Then that server stops, too.
/// *Guarantees*: every request arrives there, whatever the policy. Without any server the error is retryable, has the cause and the number of
/// addresses, and excludes that the request arrived.
#[tokio::test]
async fn addresses_without_a_server() {
    for policy in ["round_robin", "pick_first"] {
        let server = GrpcServer::start(Vec::new()).await;
        let dns = FakeDns::new([unused(), server.address, unused()]);
        let pusher = dns.pusher(json!({"balancer_name": policy}));
        for _ in 0..5 {
            assert_eq!(pusher.push(&any_payload()).await, Ok(Pushed::default()));
        }
        assert_eq!(server.requests(), 5);
        server.stop().await;
        let mut result = pusher.push(&any_payload()).await;
        // The first error may be that of a request on its way.
        for _ in 0..20 {
            if matches!(result, Err(PushError::Retryable { may_have_arrived: false, .. })) {
                break;
            }
            result = pusher.push(&any_payload()).await;
        }
        let message = retryable(result.unwrap_err());
        assert!(
            message.contains("connection refused") && message.contains("none of the 3 addresses"),
            "{message}"
        );
    }
}

/// *Scenario*: a name moves from one server to another, and then to two, while the previous server stops.
/// *Guarantees*: requests follow the name. The server that the name no longer has gets none.
#[tokio::test]
async fn a_name_that_moves() {
    for policy in ["round_robin", "pick_first"] {
        let first = GrpcServer::start(Vec::new()).await;
        let dns = FakeDns::new([first.address]);
        let pusher = dns.pusher(json!({"balancer_name": policy}));
        push(&pusher).await;
        let second = GrpcServer::start(Vec::new()).await;
        dns.set(Some(vec![second.address]));
        first.stop().await;
        push(&pusher).await;
        assert_eq!(second.requests(), 1);
        let third = GrpcServer::start(Vec::new()).await;
        dns.set(Some(vec![unused(), third.address]));
        second.stop().await;
        push(&pusher).await;
        assert_eq!(third.requests(), 1);
    }
}

/// *Scenario*: look-ups fail at first, then succeed, and fail again when the server stops and starts again at its address.
/// *Guarantees*: the first error names the look-up. After a success the previous addresses stay in use.
#[tokio::test]
async fn look_ups_that_fail() {
    let server = GrpcServer::start(Vec::new()).await;
    let address = server.address;
    let dns = FakeDns::new([]);
    let pusher = dns.pusher(json!({}));
    let message = retryable(pusher.push(&any_payload()).await.unwrap_err());
    assert!(message.contains("the name \"collector.test\" has no address"), "{message}");
    dns.set(None);
    let message = retryable(pusher.push(&any_payload()).await.unwrap_err());
    assert!(message.contains("cannot resolve the name \"collector.test\": server failure"), "{message}");
    dns.set(Some(vec![address]));
    assert_eq!(pusher.push(&any_payload()).await, Ok(Pushed::default()));
    dns.set(None);
    server.stop().await;
    let server = GrpcServer::start_at(&address.to_string(), Vec::new(), None).await;
    push(&pusher).await;
    assert_eq!(server.requests(), 1);
}

/// *Scenario*: 20 requests at the same time, before the name has been resolved.
/// *Guarantees*: all arrive, and the name is resolved only once.
#[tokio::test]
async fn requests_share_look_ups_and_connections() {
    let server = GrpcServer::start(Vec::new()).await;
    let dns = FakeDns::new([server.address]);
    let pusher = Arc::new(dns.pusher(json!({})));
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let pusher = Arc::clone(&pusher);
            tokio::spawn(async move { pusher.push(&any_payload()).await })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap(), Ok(Pushed::default()));
    }
    assert_eq!(server.requests(), 20);
    assert_eq!(dns.look_ups.load(Ordering::Relaxed), 1);
}

/// *Scenario*: no server at first, and one as soon as the name has been resolved. The exporter has `wait_for_ready`.
/// *Guarantees*: one attempt waits for the server and succeeds. Without a server it fails with the cause before its time limit.
#[tokio::test]
async fn an_attempt_waits_for_a_server() {
    let dns = FakeDns::new([unused()]);
    let pusher = Arc::new(dns.pusher(json!({"wait_for_ready": true, "timeout": "1h"})));
    let attempt = {
        let pusher = Arc::clone(&pusher);
        tokio::spawn(async move { pusher.push(&any_payload()).await })
    };
    dns.resolved.notified().await;
    let server = GrpcServer::start(Vec::new()).await;
    dns.set(Some(vec![server.address]));
    assert_eq!(attempt.await.unwrap(), Ok(Pushed::default()));
    let dns = FakeDns::new([unused()]);
    let message = retryable(
        dns.pusher(json!({"wait_for_ready": true, "timeout": "1s"})).push(&any_payload()).await.unwrap_err(),
    );
    assert!(message.contains("connection refused"), "{message}");
}

/// *Scenario*: a server at a Unix socket, by an absolute and a relative path, with and without TLS.
/// *Guarantees*: requests arrive, with the authority `localhost`, as from gRPC for Go.
#[tokio::test]
async fn unix_sockets() {
    let certificates = Certificates::new();
    let ca = certificates.file("ca.pem", &certificates.ca);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("collector.sock");
    let server = GrpcServer::start_unix(&path, None).await;
    let up: PathBuf = std::env::current_dir().unwrap().components().skip(1).map(|_| "..").collect();
    let relative = up.join(path.strip_prefix("/").unwrap());
    assert!(relative.exists() && relative.is_relative());
    let endpoints = [
        format!("unix://{}", path.display()),
        format!("unix:{}", path.display()),
        format!("unix:{}", relative.display()),
    ];
    for endpoint in endpoints {
        let section = json!({"endpoint": endpoint, "tls": {"insecure": true}});
        let pusher = exporter("otlp_grpc", section, Signal::Metrics).pusher();
        pusher.start().await.unwrap();
        assert_eq!(pusher.push(&any_payload()).await, Ok(Pushed::default()));
    }
    assert_eq!(server.received.lock().unwrap().authorities, ["localhost"; 3]);
    let path = directory.path().join("tls.sock");
    let (certificate, key) = &certificates.server;
    let tls = ServerTlsConfig::new().identity(Identity::from_pem(certificate, key));
    let server = GrpcServer::start_unix(&path, Some(tls)).await;
    let section = json!({"endpoint": format!("unix:{}", path.display()), "authority": "collector.test", "tls": {"ca_file": ca}});
    let pusher = exporter("otlp_grpc", section, Signal::Metrics).pusher();
    assert_eq!(pusher.push(&any_payload()).await, Ok(Pushed::default()));
    assert_eq!(server.received.lock().unwrap().authorities, ["collector.test"]);
}

/// *Scenario*: the socket does not exist, is a file at which no process listens, and then has a server.
/// *Guarantees*: the errors are retryable and name the socket and the cause. The same pusher reaches the server.
#[tokio::test]
async fn unix_sockets_without_a_server() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    let section = json!({"endpoint": format!("unix://{}", path.display()), "tls": {"insecure": true}});
    let pusher = exporter("otlp_grpc", section, Signal::Metrics).pusher();
    let fails = async |path: &Path, expected: &str| {
        let message = retryable(pusher.push(&any_payload()).await.unwrap_err());
        assert!(message.contains(expected) && message.contains(path.to_str().unwrap()), "{message}");
    };
    fails(&path, "no such socket").await;
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    fails(&path, "connection refused").await;
    std::fs::remove_file(&path).unwrap();
    let server = GrpcServer::start_unix(&path, None).await;
    assert_eq!(pusher.push(&any_payload()).await, Ok(Pushed::default()));
    assert_eq!(server.requests(), 1);
}

/// *Scenario*: `authority`, `user_agent` and both buffers are set, and a request is larger than the buffers.
/// *Guarantees*: the server receives the authority, the user agent and the request. The certificate has to contain the authority's host.
#[tokio::test]
async fn settings_of_a_connection() {
    let certificates = Certificates::new();
    let ca = certificates.file("ca.pem", &certificates.ca);
    let (certificate, key) = &certificates.server;
    let tls = ServerTlsConfig::new().identity(Identity::from_pem(certificate, key));
    let server = GrpcServer::start_at("127.0.0.1:0", Vec::new(), Some(tls)).await;
    let section = |authority| {
        json!({
            "endpoint": server.address.to_string(),
            "authority": authority,
            "user_agent": "probe/1",
            "read_buffer_size": 512,
            "write_buffer_size": 512,
            "compression": "none",
            "tls": {"ca_file": ca},
        })
    };
    let mut logs = exporter("otlp_grpc", section("collector.test:99"), Signal::Logs);
    let payload = common::payload(&mut *logs, &common::records(100));
    assert!(payload.bytes.len() > 1024);
    assert_eq!(logs.pusher().push(&payload).await, Ok(Pushed::default()));
    {
        let received = server.received.lock().unwrap();
        assert_eq!(received.authorities, ["collector.test:99"]);
        assert!(received.metadata[0].get("user-agent").unwrap().to_str().unwrap().starts_with("probe/1"));
        assert_eq!(received.logs[0].resource_logs[0].scope_logs[0].log_records.len(), 100);
    }
    let other = exporter("otlp_grpc", section("other.test"), Signal::Logs).pusher();
    let message = retryable(other.push(&payload).await.unwrap_err());
    assert!(message.contains("does not contain the server's name"), "{message}");
}

/// *Scenario*: a server accepts the connection and never responds. The pusher has no time limit of its own.
/// *Guarantees*: with `keepalive` the connection is closed after `time` and `timeout`, at least 10 s and 1 s here, and the error is retryable.
/// Without `keepalive::time` the request waits on.
#[tokio::test(start_paused = true)]
async fn a_silent_server_is_found_out() {
    // The kernel accepts connections for it.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let pushed = async |keepalive: serde_json::Value| {
        let dns = FakeDns::new([silent.local_addr().unwrap()]);
        let pusher = dns.pusher(json!({"keepalive": keepalive, "timeout": "0s"}));
        let start = tokio::time::Instant::now();
        let result = tokio::time::timeout(Duration::from_secs(3600), pusher.push(&any_payload())).await;
        (result, start.elapsed())
    };
    let (result, elapsed) = pushed(json!({"time": "1s", "timeout": "1s"})).await;
    let error = result.unwrap().unwrap_err();
    assert!(matches!(error, PushError::Retryable { may_have_arrived: true, .. }), "{error:?}");
    assert!((Duration::from_secs(11)..Duration::from_secs(13)).contains(&elapsed), "{elapsed:?}");
    let (result, _) = pushed(json!({"time": "0s"})).await;
    assert!(result.is_err(), "{result:?}");
}
