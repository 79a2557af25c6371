//! The system's resolver, with a DNS server whose answer changes.
//!
//! The test runs itself again in a network namespace, where it can serve port 53, and in a mount namespace with its own `/etc/resolv.conf`.
#![allow(clippy::unwrap_used)]

mod common;

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::grpc_server::GrpcServer;
use common::http_server::{HttpServer, Reply};
use common::{any_payload, exporter};
use longwave_pipeline::component::{PushError, Pushed, Pusher, Signal};
use longwave_testing::{gate, harness, tests};
use serde_json::json;

/// Set in the namespaces.
const INSIDE: &str = "LONGWAVE_TEST_DNS_INSIDE";
/// Time after which the test fails.
const LIMIT: Duration = Duration::from_secs(60);
const NAME: &str = "collector.test";
const FIRST: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const SECOND: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);

/// A DNS server with one name. Its thread ends with the process.
struct DnsServer {
    answer: Arc<Mutex<Ipv4Addr>>,
    queries: Arc<AtomicU32>,
}

// === impl DnsServer ===

impl DnsServer {
    fn start(answer: Ipv4Addr) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:53").unwrap();
        let server = Self { answer: Arc::new(Mutex::new(answer)), queries: Arc::default() };
        let (answer, queries) = (Arc::clone(&server.answer), Arc::clone(&server.queries));
        std::thread::spawn(move || {
            let mut query = [0; 512];
            while let Ok((len, client)) = socket.recv_from(&mut query) {
                let answer = *answer.lock().unwrap();
                socket.send_to(&respond(&query[..len], answer, &queries), client).unwrap();
            }
        });
        server
    }

    fn set(&self, answer: Ipv4Addr) {
        *self.answer.lock().unwrap() = answer;
    }

    /// Returns the number of queries of the address.
    fn queries(&self) -> u32 {
        self.queries.load(Ordering::SeqCst)
    }
}

/// Answers a query of [`NAME`] with one address that may not be cached. Any other name does not exist, and there are no IPv6 addresses.
fn respond(query: &[u8], answer: Ipv4Addr, queries: &AtomicU32) -> Vec<u8> {
    let mut name = Vec::new();
    let mut rest = &query[12..];
    while let [len, after @ ..] = rest
        && *len > 0
    {
        let (label, next) = after.split_at(usize::from(*len));
        name.push(String::from_utf8(label.to_vec()).unwrap());
        rest = next;
    }
    // The root label, the type and the class.
    let question = &query[12..query.len() - rest.len() + 5];
    let (is_known, is_address) = (name.join(".").eq_ignore_ascii_case(NAME), rest[1..3] == [0, 1]);
    let has_answer = is_known && is_address;
    queries.fetch_add(u32::from(has_answer), Ordering::SeqCst);
    let code = if is_known { 0x80 } else { 0x83 };
    let mut response =
        [&query[..2], &[0x81, code, 0, 1, 0, u8::from(has_answer), 0, 0, 0, 0], question].concat();
    if has_answer {
        // The name of the question, type A, class IN, no time to live, four bytes.
        response.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4]);
        response.extend(answer.octets());
    }
    response
}

/// Pushes until a push succeeds.
async fn delivered(pusher: &Arc<dyn Pusher>) {
    let started = Instant::now();
    loop {
        match pusher.push(&any_payload()).await {
            Ok(pushed) => return assert_eq!(pushed, Pushed::default()),
            Err(PushError::Retryable { message, .. }) => assert!(started.elapsed() < LIMIT, "{message}"),
            Err(error) => panic!("{error}"),
        }
        tokio::task::yield_now().await;
    }
}

/// *Scenario*: the DNS answer for the name of an endpoint changes to another server. Over gRPC (`dns:///`) the first server then ends; over HTTP it
/// closes the connection after a response, and goes on. Both in namespaces with a DNS server of the test.
/// *Guarantees*: the name is queried again by the system's resolver, and requests reach the second server. Before the change the name is not
/// queried for each request.
fn endpoints_follow_dns() {
    let _turn = gate::privileged();
    if std::env::var_os(INSIDE).is_some() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let dns = DnsServer::start(FIRST);
        return runtime.unwrap().block_on(async {
            grpc_follows(&dns).await;
            http_follows(&dns).await;
        });
    }
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [("resolv.conf", "nameserver 127.0.0.1\n"), ("nsswitch.conf", "hosts: files dns\n")] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let script = "mount --make-rprivate / && ip link set lo up && for name in resolv.conf nsswitch.conf; do \
                  [ -e /etc/$name ] || touch /etc/$name; mount --bind \"$1/$name\" /etc/$name; done && shift && exec \"$@\"";
    let status = Command::new("unshare")
        .args(["--mount", "--net", "sh", "-ec", script, "sh"])
        .arg(folder.path())
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "endpoints_follow_dns"])
        .env(INSIDE, "1")
        .status()
        .unwrap();
    assert!(status.success(), "{status}");
}

async fn grpc_follows(dns: &DnsServer) {
    let server = GrpcServer::start_at(&SocketAddr::from((FIRST, 4317)).to_string(), Vec::new(), None).await;
    let section = json!({"endpoint": format!("dns:///{NAME}:4317"), "tls": {"insecure": true}});
    let pusher = exporter("otlp_grpc", section, Signal::Metrics).pusher();
    for _ in 0..5 {
        delivered(&pusher).await;
    }
    assert_eq!((server.requests(), dns.queries()), (5, 1));
    let second = GrpcServer::start_at(&SocketAddr::from((SECOND, 4317)).to_string(), Vec::new(), None).await;
    dns.set(SECOND);
    server.stop().await;
    delivered(&pusher).await;
    assert_eq!(second.requests(), 1);
    second.stop().await;
}

async fn http_follows(dns: &DnsServer) {
    dns.set(FIRST);
    let before = dns.queries();
    let mut last = Reply::default();
    last.headers_mut().insert("connection", "close".parse().unwrap());
    let replies = vec![Reply::default(), Reply::default(), last];
    let server = HttpServer::start_at(SocketAddr::from((FIRST, 4318)), replies).await;
    let second = HttpServer::start_at(SocketAddr::from((SECOND, 4318)), Vec::new()).await;
    let section = json!({"endpoint": format!("http://{NAME}:4318")});
    let pusher = exporter("otlp_http", section, Signal::Metrics).pusher();
    for _ in 0..3 {
        delivered(&pusher).await;
    }
    let requests = |server: &HttpServer| server.received.lock().unwrap().requests.len();
    assert_eq!((requests(&server), requests(&second), dns.queries() - before), (3, 0, 1));
    dns.set(SECOND);
    delivered(&pusher).await;
    assert_eq!((requests(&server), requests(&second), dns.queries() - before), (3, 1, 2));
}

fn main() -> ExitCode {
    harness::run(tests![endpoints_follow_dns])
}
