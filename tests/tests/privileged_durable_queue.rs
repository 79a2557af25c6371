//! A sending queue with a storage: nothing is lost and nothing is sent twice when Longwave is killed while its server is down.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc::{self, TryRecvError};
use std::time::{Duration, Instant};

use longwave_testing::{gate, harness, tests};
use longwave_tests::http_sink::HttpSink;
use longwave_tests::longwave::{Options, command, free_address, write_config};
use longwave_tests::{Family, Longwave, Network, config, otlp_json};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(60);
const CONNECTIONS: usize = 200;

/// Returns the configuration bpf → stdout and otlp_http, whose queue is stored in `directory`.
fn config(directory: &Path, exporter: Value) -> Value {
    let base = json!({
        "extensions": {"file_storage": {"directory": directory}},
        "exporters": {"otlp_http": {
            "retry_on_failure": {"initial_interval": "100ms", "max_interval": "500ms", "max_elapsed_time": "0s"},
            "sending_queue": {"storage": "file_storage", "batch": {"enabled": false}},
        }},
        "service": {
            "extensions": ["file_storage"],
            "pipelines": {"logs": {"exporters": ["stdout", "otlp_http"]}},
        },
    });
    let base = config::merged(config::logs(json!({"interval": "1s", "idle_records": false})), base);
    config::merged(base, json!({"exporters": {"otlp_http": exporter}}))
}

/// Opens and closes connections. Returns the cookies of both their sockets.
fn traffic(network: &Network, connections: usize) -> Vec<u64> {
    let pairs = (0..connections).map(|_| network.pair().unwrap());
    pairs.flat_map(|(client, server)| [client.close().cookie, server.close().cookie]).collect()
}

/// Waits until a value of the exporter or of the extension is greater than `than`. Returns it.
fn await_more(longwave: &Longwave, name: &str, than: u64) -> u64 {
    let component = name.split('_').nth(1).unwrap();
    let id = if component == "exporter" { "otlp_http" } else { "file_storage" };
    let end = Instant::now() + LIMIT;
    loop {
        let value = longwave.telemetry().sum(name, &[(component, id)]);
        if value > than {
            return value;
        }
        assert!(Instant::now() < end, "{name} is {value}\n{}", longwave.stderr());
        std::thread::sleep(Duration::from_millis(20)); // the page is a snapshot: there is no event to wait for
    }
}

const RECEIVED: &str = "longwave_exporter_incoming_log_records";

/// Returns the number of records that the exporter has received.
fn received(longwave: &Longwave) -> u64 {
    longwave.telemetry().sum(RECEIVED, &[("exporter", "otlp_http")])
}

/// Runs `check` with a configuration. Returns the numbers of stored requests and items.
fn stored(folder: &Path, config: &Value) -> (u64, u64) {
    let path = write_config(folder, config);
    let output = command(&[]).arg("check").arg("--config").arg(path).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find(|line| line.contains("file_storage")).unwrap_or_else(|| panic!("{text}"));
    assert!(line.starts_with("ok ") && line.contains("not damaged"), "{text}");
    let before = |word: &str| {
        let (front, _) = line.split_once(word).unwrap();
        front.rsplit([' ', '(']).next().unwrap().parse().unwrap()
    };
    (before(" requests"), before(" items"))
}

/// Returns how often each log record arrived, by its uid, and how many of final records by the cookie of the connection.
fn arrived(requests: &[(String, Value)]) -> (BTreeMap<String, usize>, BTreeMap<u64, usize>) {
    let (mut uids, mut finals) = (BTreeMap::new(), BTreeMap::new());
    for (_, body) in requests {
        for (_, event, attributes) in otlp_json::logs(body) {
            *uids.entry(attributes["log.record.uid"].clone()).or_default() += 1;
            if event.ends_with(".close") {
                let id = &attributes["longwave.connection.id"];
                *finals.entry(cookie(id)).or_default() += 1;
            }
        }
    }
    (uids, finals)
}

/// Returns the cookie of a connection's id.
fn cookie(id: &str) -> u64 {
    u64::from_str_radix(id.split('-').nth(1).unwrap(), 16).unwrap()
}

/// *Scenario*: connections open and close while the server is down. Longwave is killed (SIGKILL) and starts again with another server, encoding and
/// compression.
/// *Guarantees*: every close that Longwave had queued arrives exactly once, as does everything in the store, which `check` had counted before and while
/// Longwave ran. Afterwards the store is empty, and the counters balance.
fn a_killed_longwave_loses_nothing() {
    let _turn = gate::privileged();
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("store");
    let network = Network::loopback(Family::V4);
    let down = format!("http://{}", free_address());
    let first = config(&directory, json!({"endpoint": down, "encoding": "proto", "compression": "gzip"}));
    let longwave = Longwave::start_with(first.clone(), Options::default());
    let cookies = traffic(&network, CONNECTIONS);
    let expected: Vec<(u64, usize)> = cookies.iter().map(|cookie| (*cookie, 1)).collect();
    assert!(longwave.await_finals(&expected, LIMIT), "closes are missing");
    let received = received(&longwave);
    traffic(&network, 1);
    // An exporter stores one batch after the other. When it receives a later one, the earlier ones are stored.
    await_more(&longwave, RECEIVED, received);
    let (requests, _) = stored(folder.path(), &first);
    assert!(requests > 0);
    // It is killed when dropped.
    drop(longwave);
    let (requests, items) = stored(folder.path(), &first);
    assert!(requests > 0 && items >= cookies.len() as u64);

    let sink = HttpSink::start();
    let up = format!("http://{}", sink.address);
    let second = config(&directory, json!({"endpoint": up, "encoding": "json", "compression": "none"}));
    let longwave = Longwave::start_with(second.clone(), Options::default());
    let restored = await_more(&longwave, "longwave_exporter_restored_log_records", items - 1);
    assert_eq!(restored, items);
    await_more(&longwave, "longwave_exporter_sent_log_records", items - 1);
    longwave_tests::balance::assert_balances(&longwave);
    longwave.stop();
    let (uids, finals) = arrived(&sink.bodies());
    let twice: Vec<_> = uids.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
    assert!(uids.len() as u64 >= items, "{} of {items}", uids.len());
    let missing: Vec<_> = cookies.iter().filter(|cookie| finals.get(cookie) != Some(&1)).collect();
    assert!(missing.is_empty(), "{} of {} closes are missing", missing.len(), cookies.len());
    assert_eq!(stored(folder.path(), &second), (0, 0));
}

/// Number of requests that are sent at the same time.
const CONSUMERS: usize = 2;

/// *Scenario*: connections open and close all the time, and the server responds. Then it stores requests without a response, and Longwave is killed
/// (SIGKILL). It starts again with the same server, which responds.
/// *Guarantees*: every record that the exporter had received arrives. The requests whose responses were outstanding at the kill, one for each
/// consumer, arrive twice, as docs/EXPORTING.md says, and everything else once. Nothing is dropped.
fn killed_in_the_middle() {
    let _turn = gate::privileged();
    let (folder, sink) = (tempfile::tempdir().unwrap(), HttpSink::start());
    let network = Network::loopback(Family::V4);
    let config = config(
        &folder.path().join("store"),
        json!({
            "endpoint": format!("http://{}", sink.address), "encoding": "json", "compression": "none",
            // No attempt ends while the server is silent.
            "timeout": "5m",
            "sending_queue": {"num_consumers": CONSUMERS},
        }),
    );
    let longwave = Longwave::start_with(config.clone(), Options::default());
    let cookies = traffic(&network, CONNECTIONS);
    let all_closed = |requests: &[(String, Value)]| {
        let (_, finals) = arrived(requests);
        cookies.iter().all(|cookie| finals.contains_key(cookie))
    };
    assert!(sink.wait(LIMIT, all_closed), "closes are missing");
    let (running, ended) = mpsc::channel::<()>();
    let received = std::thread::scope(|scope| {
        let network = &network;
        scope.spawn(move || {
            while ended.try_recv() == Err(TryRecvError::Empty) {
                traffic(network, 5);
            }
        });
        sink.silence();
        assert!(sink.wait_unanswered(CONSUMERS, LIMIT), "no requests");
        await_more(&longwave, "longwave_extension_file_storage_requests", 2 * CONSUMERS as u64);
        let received = received(&longwave);
        // When it receives a later batch, these are stored.
        await_more(&longwave, RECEIVED, received);
        // It is killed when dropped.
        drop(longwave);
        drop(running);
        received
    });
    let unanswered = sink.unanswered();
    assert_eq!(unanswered.len(), CONSUMERS);
    let (uncertain, _) = arrived(&unanswered);
    let (before, _) = arrived(&sink.bodies());
    assert!(before.values().all(|times| *times == 1));
    let answered = (before.len() - uncertain.len()) as u64;
    let (_, items) = stored(folder.path(), &config);
    assert!(answered + items >= received, "{received} received, {answered} sent, {items} stored");

    sink.respond();
    let longwave = Longwave::start_with(config.clone(), Options::default());
    assert_eq!(await_more(&longwave, "longwave_exporter_restored_log_records", items - 1), items);
    await_more(&longwave, "longwave_exporter_sent_log_records", items - 1);
    longwave_tests::balance::assert_balances(&longwave);
    longwave.stop();
    let (uids, finals) = arrived(&sink.bodies());
    let twice: BTreeSet<_> = uids.iter().filter(|(_, times)| **times == 2).map(|(uid, _)| uid).collect();
    assert_eq!(twice, uncertain.keys().collect());
    assert!(uids.values().all(|times| *times <= 2));
    assert!(uids.len() as u64 >= answered + items, "{} of {answered} + {items}", uids.len());
    assert!(cookies.iter().all(|cookie| finals.get(cookie) == Some(&1)));
    assert_eq!(stored(folder.path(), &config), (0, 0));
}

/// Number of times that Longwave is killed. `LONGWAVE_KILLS` sets it.
fn kills() -> usize {
    std::env::var("LONGWAVE_KILLS").ok().and_then(|count| count.parse().ok()).unwrap_or(5)
}

/// *Scenario*: Longwave is killed again and again under traffic, while its server is down. Then the server is up.
/// *Guarantees*: what is in the store after each kill is undamaged and stays, and in the end everything in it arrives exactly once.
fn killed_again_and_again() {
    let _turn = gate::privileged();
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("store");
    let network = Network::loopback(Family::V4);
    let down = config(&directory, json!({"endpoint": format!("http://{}", free_address())}));
    let mut items = 0;
    for _ in 0..kills() {
        let longwave = Longwave::start_with(down.clone(), Options::default());
        await_more(&longwave, "longwave_extension_file_storage_requests", 0);
        traffic(&network, 20);
        drop(longwave);
        let (_, now) = stored(folder.path(), &down);
        assert!(now >= items, "{now} of {items}");
        items = now;
    }
    assert!(items > 0);
    let sink = HttpSink::start();
    let up =
        json!({"endpoint": format!("http://{}", sink.address), "encoding": "json", "compression": "none"});
    let longwave = Longwave::start_with(config(&directory, up), Options::default());
    await_more(&longwave, "longwave_exporter_sent_log_records", items - 1);
    longwave.stop();
    let (uids, _) = arrived(&sink.bodies());
    assert!(uids.len() as u64 >= items, "{} of {items}", uids.len());
    assert!(uids.values().all(|times| *times == 1));
}

fn main() -> ExitCode {
    harness::run(tests![a_killed_longwave_loses_nothing, killed_in_the_middle, killed_again_and_again])
}
