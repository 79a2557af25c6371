//! The rows of "What happens when…" in docs/EXPORTING.md, over both protocols, with real sockets and the real queue.
#![allow(clippy::unwrap_used)]

mod bench;
#[path = "../common/certificates.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod certificates;
mod gate;
mod server;
mod storage;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bench::Bench;
use certificates::Certificates;
use gate::{Gate, Rules, free_address};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use server::{Answer, ServerState};
use tonic::Code;

const PROTOCOLS: [&str; 2] = ["otlp_grpc", "otlp_http"];
/// Batches before and after the fault is over.
const BATCHES: u64 = 5;

/// Returns the section of an exporter that sends in one order, so that the lines of the log are known, and retries soon.
fn section(protocol: &str, address: SocketAddr) -> Value {
    let endpoint = if protocol == "otlp_grpc" { address.to_string() } else { format!("http://{address}") };
    json!({
        "endpoint": endpoint,
        "tls": {"insecure": true},
        "compression": "none",
        "retry_on_failure": {"initial_interval": "20ms", "max_interval": "50ms", "max_elapsed_time": "0s"},
        "sending_queue": {"num_consumers": 1},
    })
}

/// Name, time limit of an attempt, and the answer and the outcome over gRPC and HTTP.
type Row = (&'static str, &'static str, Option<Answer>, Option<Answer>, Outcome, Outcome);

/// What a fault leads to, for each signal.
enum Outcome {
    /// All arrives. The log has nothing.
    Unnoticed,
    /// All arrives, after retries. The log has one line when sending fails and one when it succeeds again.
    Retried,
    /// One request is dropped for this reason. The log has one line.
    Dropped(&'static str),
    /// This many items are rejected. The log has one line.
    Rejected(u64),
}

// === impl Outcome ===

impl Outcome {
    fn assert(&self, row: &str, results: [(Vec<String>, Vec<String>); 2]) {
        for (dropped, lines) in results {
            let (losses, begins): (Vec<&str>, &[&str]) = match self {
                Self::Unnoticed => (vec![], &[]),
                Self::Retried => (vec![], &["sending fails", "sending succeeds again"]),
                Self::Dropped(reason) => (vec![reason], &["dropped data"]),
                Self::Rejected(_) => (vec!["rejected_by_server"], &["the server rejected"]),
            };
            let reasons: Vec<_> = dropped.iter().filter_map(|loss| loss.split(':').next()).collect();
            assert_eq!(reasons, losses, "{row}: {lines:#?}");
            if let Self::Rejected(items) = self {
                assert_eq!(dropped, [format!("rejected_by_server: {items}")], "{row}");
            }
            assert_eq!(lines.len(), begins.len(), "{row}: {lines:#?}");
            for (line, begin) in lines.iter().zip(begins) {
                assert!(line.contains(begin), "{row}: {lines:#?}");
            }
        }
    }
}

/// Runs one row with a server that answers as scripted, first to each signal.
async fn with_answers(row: &str, protocol: &str, timeout: &str, answers: &[Answer], outcome: Outcome) {
    let state = ServerState::new(answers);
    let address = server::start(protocol, Arc::clone(&state)).await;
    let mut section = section(protocol, address);
    section["timeout"] = timeout.into();
    let mut bench = Bench::start(protocol, section).await;
    bench.send(BATCHES);
    bench.wait("all answers", || state.pending() == 0).await;
    bench.send(BATCHES);
    bench.await_all().await;
    outcome.assert(row, bench.finish(&state).await);
}

/// *Scenario*: a server that is slow, silent, overloaded with and without a requested wait, or refuses a request, each over both protocols.
/// *Guarantees*: as in docs/EXPORTING.md: every window and log record arrived exactly once, or is counted under its reason. The log has one line
/// when sending fails and one when it succeeds again, or one for what was dropped, and not one for each request.
#[tokio::test]
async fn answers_of_a_server() {
    use Answer::{Code as Grpc, Partial, Silent, Slow, Status};
    use Outcome::{Dropped, Rejected, Retried, Unnoticed};
    let soon = Some(Duration::from_millis(30));
    let refused = || Dropped("permanent_error");
    let rows: Vec<Row> = vec![
        (
            "slow",
            "30s",
            Some(Slow(Duration::from_millis(300))),
            Some(Slow(Duration::from_millis(300))),
            Unnoticed,
            Unnoticed,
        ),
        ("silent", "2s", Some(Silent), Some(Silent), Retried, Retried),
        (
            "unavailable",
            "30s",
            Some(Grpc(Code::Unavailable, None)),
            Some(Status(503, None)),
            Retried,
            Retried,
        ),
        (
            "unavailable, with a wait",
            "30s",
            Some(Grpc(Code::Unavailable, soon)),
            Some(Status(503, Some(1))),
            Retried,
            Retried,
        ),
        (
            "overloaded",
            "30s",
            Some(Grpc(Code::ResourceExhausted, None)),
            Some(Status(429, None)),
            refused(),
            Retried,
        ),
        (
            "overloaded, with a wait",
            "30s",
            Some(Grpc(Code::ResourceExhausted, soon)),
            Some(Status(429, Some(1))),
            Retried,
            Retried,
        ),
        (
            "wrong credentials",
            "30s",
            Some(Grpc(Code::Unauthenticated, None)),
            Some(Status(401, None)),
            refused(),
            refused(),
        ),
        ("too large", "30s", None, Some(Status(413, None)), refused(), refused()),
        ("partial success", "30s", Some(Partial(1)), Some(Partial(1)), Rejected(1), Rejected(1)),
    ];
    for (row, timeout, grpc, http, grpc_outcome, http_outcome) in rows {
        for (protocol, answer, outcome) in
            [("otlp_grpc", grpc, grpc_outcome), ("otlp_http", http, http_outcome)]
        {
            let Some(answer) = answer else { continue };
            with_answers(&format!("{row}, {protocol}"), protocol, timeout, &[answer], outcome).await;
        }
    }
}

/// *Scenario*: no server listens at the start; a server goes while data is sent, and is back later; and connections close in the middle of requests.
/// *Guarantees*: all arrives exactly once, and the log has two lines for each signal.
#[tokio::test]
async fn connections_that_fail() {
    for protocol in PROTOCOLS {
        let state = ServerState::new(&[]);
        let server = server::start(protocol, Arc::clone(&state)).await;
        let address = free_address().await;
        let mut bench = Bench::start(protocol, section(protocol, address)).await;
        bench.send(BATCHES);
        bench.await_retries().await;
        let _gate = Gate::open(address, server, Rules::default()).await;
        bench.send(BATCHES);
        bench.await_all().await;
        Outcome::Retried.assert(&format!("down at start, {protocol}"), bench.finish(&state).await);

        let state = ServerState::new(&[]);
        let server = server::start(protocol, Arc::clone(&state)).await;
        let address = free_address().await;
        let gate = Gate::open(address, server, Rules::default()).await;
        let mut bench = Bench::start(protocol, section(protocol, address)).await;
        bench.send(BATCHES);
        bench.await_all().await;
        gate.close().await;
        bench.send(BATCHES);
        bench.await_retries().await;
        let _gate = Gate::open(address, server, Rules::default()).await;
        bench.send(BATCHES);
        bench.await_all().await;
        Outcome::Retried.assert(&format!("down under load, {protocol}"), bench.finish(&state).await);

        let state = ServerState::new(&[]);
        let server = server::start(protocol, Arc::clone(&state)).await;
        let address = free_address().await;
        let rules = Rules::default();
        // Both signals have connections of their own, which are opened at the same time.
        rules.cuts.store(2, Ordering::SeqCst);
        let _gate = Gate::open(address, server, rules).await;
        let mut bench = Bench::start(protocol, section(protocol, address)).await;
        bench.send(BATCHES);
        bench.await_all().await;
        Outcome::Retried.assert(&format!("closing, {protocol}"), bench.finish(&state).await);
    }
}

/// *Scenario*: a server is down while more is sent than the queue takes, and is back later.
/// *Guarantees*: what did not fit is counted as `queue_full`, and is the oldest. Everything else arrives exactly once.
#[tokio::test]
async fn a_full_queue() {
    for protocol in PROTOCOLS {
        let state = ServerState::new(&[]);
        let server = server::start(protocol, Arc::clone(&state)).await;
        let address = free_address().await;
        let mut section = section(protocol, address);
        section["sending_queue"]["queue_size"] = 3.into();
        let mut bench = Bench::start(protocol, section).await;
        bench.send(20);
        bench.await_retries().await;
        bench.await_encoded().await;
        let _gate = Gate::open(address, server, Rules::default()).await;
        bench.await_all().await;
        for (dropped, lines) in bench.finish(&state).await {
            assert!(matches!(&dropped[..], [one] if one.starts_with("queue_full: ")), "{dropped:?}");
            assert!(lines.len() <= 3, "{protocol}: {lines:#?}");
        }
        assert_eq!(state.windows.lock().unwrap().len(), 3, "{protocol}");
    }
}

/// *Scenario*: the server gets a certificate of another authority. Later, the file `ca_file` gets that authority.
/// *Guarantees*: all arrives exactly once, without a restart, and the log has two lines for each signal.
#[tokio::test]
async fn a_changed_certificate() {
    for protocol in PROTOCOLS {
        let [before, after] = [Certificates::new(), Certificates::new()];
        let ca_file = before.file("ca.pem", &before.ca);
        let state = ServerState::new(&[]);
        let server = server::start(protocol, Arc::clone(&state)).await;
        let address = free_address().await;
        let gate = Gate::open(address, server, tls(protocol, &before)).await;
        let mut section = section(protocol, address);
        section["endpoint"] = format!("https://{address}").into();
        section["tls"] = json!({
            "ca_file": ca_file, "server_name_override": "collector.test", "reload_interval": "10ms",
        });
        let mut bench = Bench::start(protocol, section).await;
        bench.send(BATCHES);
        bench.await_all().await;
        gate.close().await;
        let _gate = Gate::open(address, server, tls(protocol, &after)).await;
        bench.send(BATCHES);
        bench.await_retries().await;
        std::fs::write(&ca_file, &after.ca).unwrap();
        bench.await_all().await;
        Outcome::Retried.assert(protocol, bench.finish(&state).await);
    }
}

fn tls(protocol: &str, certificates: &Certificates) -> Rules {
    let (certificate, key) = &certificates.server;
    let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    config.alpn_protocols = vec![if protocol == "otlp_grpc" { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
    Rules { tls: Some(Arc::new(config)), ..Rules::default() }
}
