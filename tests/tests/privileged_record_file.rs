//! `replay` reads exactly what `record_file` has written.
#![allow(clippy::unwrap_used)]

use std::collections::HashSet;
use std::io::BufRead;
use std::path::Path;
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};

use longwave_testing::netns::Netns;
use longwave_testing::{gate, harness, tests};
use longwave_tests::longwave::{Options, command};
use longwave_tests::{Family, Finished, Longwave, Network, Record, balance, config, scenario};
use serde_json::{Value, json};

/// Runs scenarios while Longwave writes the records to `path` and to stdout.
fn record(path: &Path) -> Finished {
    let base = config::logs(json!({"interval": "1s"}));
    let config = config::merged(
        base,
        json!({
            "exporters": {"record_file": {"path": path}},
            "service": {"pipelines": {"logs": {"exporters": ["stdout", "record_file"]}}},
        }),
    );
    let longwave = Longwave::start_with(config, Options { lines: true, ..Options::default() });
    let netns = Netns::new();
    let mut connections = Vec::new();
    let scenarios: &[scenario::Scenario] = &[
        ("nothing", scenario::nothing),
        ("clean_close", scenario::clean_close),
        ("half_close", scenario::half_close),
        ("linger_reset", scenario::linger_reset),
        ("unread_at_close", scenario::unread_at_close),
        ("refused", scenario::refused),
        ("reconnect", scenario::reconnect),
    ];
    let networks = Family::ALL
        .into_iter()
        .flat_map(|family| [Network::loopback(family), Network::inside(&netns, family)]);
    let mut open = Vec::new();
    for network in networks {
        open.push(network.pair().unwrap());
        connections.extend(scenario::play(scenarios, &network));
    }
    let cookie = open[0].0.account().cookie;
    let mut updates = 0;
    longwave.await_records("updates of an open connection", Duration::from_secs(60), |record| {
        updates += u32::from(record.cookie() == cookie && record.event() == "update");
        updates == 6
    });
    drop(open);
    longwave.await_finals(&longwave_tests::verdict::finals(&connections), Duration::from_secs(60));
    balance::assert_balances(&longwave);
    longwave.stop()
}

/// Replays `path`.
fn replay(path: &Path) -> Finished {
    let config = json!({
        "receivers": {"replay": {"path": path, "speed": "fast"}},
        "exporters": {"stdout": {"format": "json"}},
        "service": {"pipelines": {"logs": {"receivers": ["replay"], "exporters": ["stdout"]}}},
    });
    let finished = Longwave::spawn(config, Options { lines: true, ..Options::default() }).wait();
    assert!(finished.status.success(), "{}", finished.stderr);
    finished
}

/// *Scenario*: one run writes the records of different connections to a file and to stdout. Another run replays the file.
/// *Guarantees*: the replay prints the same lines in the same order.
fn replay_shows_what_was_recorded() {
    let _turn = gate::privileged();
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("connections.lwr");
    let recorded = record(&path);
    let replayed = replay(&path);
    assert!(recorded.records.iter().any(Record::is_final));
    assert_eq!(replayed.lines.len(), recorded.lines.len(), "{}", replayed.stderr);
    for (replayed, recorded) in replayed.lines.iter().zip(&recorded.lines) {
        assert_eq!(replayed, recorded);
    }
}

/// *Scenario*: `observe` reads from the socket of a running Longwave while connections close and fail. Then that Longwave stops.
/// *Guarantees*: `observe` prints the end of every connection, as the running Longwave does, and ends without an error.
fn observe_follows_a_running_longwave() {
    let _turn = gate::privileged();
    let folder = tempfile::TempDir::new().unwrap();
    let socket = folder.path().join("live.sock");
    let config = config::merged(
        config::logs(json!({"interval": "1s"})),
        json!({
            "exporters": {"live": {"path": socket}},
            "service": {"pipelines": {"logs": {"exporters": ["stdout", "live"]}}},
        }),
    );
    let longwave = Longwave::start_with(config, Options { lines: true, ..Options::default() });
    let mut observer = command(&[]);
    observer.args(["observe", "-o", "json", "event=close or event=fail", "--file"]).arg(&socket);
    let observer =
        observer.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while longwave.telemetry().sum("longwave_exporter_live_clients", &[]) == 0 {
        assert!(Instant::now() < deadline, "observe does not connect");
    }
    let scenarios: &[scenario::Scenario] = &[
        ("clean_close", scenario::clean_close),
        ("linger_reset", scenario::linger_reset),
        ("refused", scenario::refused),
    ];
    let connections = scenario::play(scenarios, &Network::loopback(Family::ALL[0]));
    let finals = longwave_tests::verdict::finals(&connections);
    longwave.await_finals(&finals, Duration::from_secs(60));
    let finished = longwave.stop();
    let observed = observer.wait_with_output().unwrap();
    assert!(observed.status.success(), "{}", String::from_utf8_lossy(&observed.stderr));
    // Other programs' connections may have ended before `observe` was connected.
    let cookies: HashSet<u64> = finals.iter().map(|(cookie, _)| *cookie).collect();
    let is_end = |line: &Value| {
        let record: Record = serde_json::from_value(line.clone()).unwrap();
        record.is_final() && cookies.contains(&record.cookie())
    };
    let observed = observed.stdout.lines().map(|line| serde_json::from_str(&line.unwrap()).unwrap());
    let observed: Vec<Value> = observed.filter(is_end).collect();
    let reported: Vec<Value> = finished.lines.into_iter().map(Value::Object).filter(is_end).collect();
    assert!(reported.len() >= cookies.len());
    assert_eq!(observed, reported);
}

/// Records `fixtures/connections.lwr` again. It has every event except `vanished`. Needs root.
fn make_fixture() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/connections.lwr");
    let _ = std::fs::remove_file(&path);
    let finished = record(&path);
    for event in ["open", "update", "close", "fail"] {
        assert!(finished.records.iter().any(|record| record.event() == event), "no {event}");
    }
}

fn main() -> ExitCode {
    if harness::started_as("--make-fixture") {
        make_fixture();
        return ExitCode::SUCCESS;
    }
    harness::run(tests![replay_shows_what_was_recorded, observe_follows_a_running_longwave,])
}
