//! Runs Longwave with the extension `kubernetes`, and reads its output.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use longwave_testing::gate;
use longwave_tests::cluster::{Cluster, ProxyMode};
use longwave_tests::config;
use longwave_tests::longwave::{Longwave, Options};
use serde_json::{Map, Value, json};

static CLUSTER: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());

/// Starts Longwave. `extra` is merged into the configuration.
pub fn start(kubeconfig: &Path, node: &str, ports: &[u16], extra: Value) -> Longwave {
    let base = json!({
        "extensions": {"kubernetes": {"kubeconfig": kubeconfig, "node": node}},
        "receivers": {"bpf": {"interval": "1s", "ports": ports}},
        "processors": {
            "workload": {"sources": ["kubernetes", "cgroup"]},
            "service": {"sources": ["kubernetes"]},
        },
        "exporters": {"stdout": {"format": "json"}},
        "service": {
            "extensions": ["kubernetes"],
            "pipelines": {"logs": {
                "receivers": ["bpf"],
                "processors": ["workload", "service"],
                "exporters": ["stdout"],
            }},
        },
    });
    Longwave::start_with(config::merged(base, extra), Options { lines: true, ..Options::default() })
}

/// Returns the token of the administrator.
pub fn admin(cluster: &Cluster) -> String {
    std::fs::read_to_string(&cluster.info.token).unwrap().trim().to_owned()
}

/// Returns a value of a line. Empty if it is missing.
pub fn word<'l>(line: &'l Map<String, Value>, key: &str) -> &'l str {
    line.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// Returns whether the line is of this reporter and has this workload as its source.
pub fn is_from(line: &Map<String, Value>, reporter: &str, kind: &str, name: &str) -> bool {
    word(line, "reporter") == reporter
        && word(line, "source.workload.kind") == kind
        && word(line, "source.workload.name") == name
}

/// Returns the number of lines so far.
pub fn seen(longwave: &Longwave) -> usize {
    longwave.lines(<[_]>::len)
}

/// Returns the staleness in seconds that the extension reports.
pub fn staleness(longwave: &Longwave, resource: &str) -> f64 {
    gauge(longwave, "longwave_extension_kubernetes_staleness_seconds", resource)
}

pub fn gauge(longwave: &Longwave, name: &str, resource: &str) -> f64 {
    let metrics = longwave.telemetry();
    let labels = [("resource", resource)];
    // The exporter may append the unit to the name.
    let found = metrics.samples.iter().find(|sample| {
        sample.name.starts_with(name)
            && labels.iter().all(|(key, value)| sample.labels.get(*key).is_some_and(|found| found == value))
    });
    found.unwrap_or_else(|| panic!("no {name} of {resource}: {}", metrics.show())).value
}

pub fn errors(longwave: &Longwave, resource: &str, reason: &str) -> u64 {
    let labels = [("resource", resource), ("reason", reason)];
    longwave.telemetry().sum("longwave_extension_kubernetes_errors", &labels)
}

/// Polls until `done` returns true.
///
/// # Panics
/// If it does not within `limit`, with `what`, the telemetry and stderr.
pub fn until(longwave: &Longwave, what: &str, limit: Duration, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + limit;
    while !done() {
        assert!(
            Instant::now() < end,
            "not within {limit:?}: {what}\n{}\n{}",
            longwave.telemetry().show(),
            longwave.stderr()
        );
        // Telemetry has no event to wait for.
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Runs a part of a test, and prints its duration on stderr, because these tests determine the duration of the end-to-end step.
pub fn timed<T>(part: &str, work: impl FnOnce() -> T) -> T {
    let started = Instant::now();
    let result = work();
    eprintln!("{part}: {:.1} s", started.elapsed().as_secs_f64());
    result
}

/// Returns the cluster that several tests share. It runs as long as one of them uses it.
pub fn cluster() -> Arc<Cluster> {
    gate::require_privileges();
    let mut shared = CLUSTER.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(cluster) = shared.upgrade() {
        return cluster;
    }
    let cluster = Arc::new(Cluster::up(ProxyMode::Nftables));
    *shared = Arc::downgrade(&cluster);
    cluster
}

/// Releases the cluster after a test has passed. The last test that releases it takes it down.
///
/// # Panics
/// If something of it could not be removed.
pub fn release(cluster: Arc<Cluster>) {
    // The lock keeps other tests from getting the cluster meanwhile.
    let _shared = CLUSTER.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(cluster) = Arc::into_inner(cluster) {
        cluster.down();
    }
}
