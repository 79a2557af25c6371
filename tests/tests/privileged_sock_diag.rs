//! The receiver `sock_diag`: exactness, the same totals as `bpf`, and Longwave without privileges.
#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use longwave_testing::netns::VethPair;
use longwave_testing::{gate, harness, tests};
use longwave_tests::longwave::{Options, free_address};
use longwave_tests::scenario::{ANYWHERE, UNDER_LOSS, play};
use longwave_tests::verdict::{Within, check_within_one, finals};
use longwave_tests::{Family, Longwave, Network, PlayedConnection, Record, balance, binary, config, peer};
use serde_json::{Value, json};

/// Maximum wait for the last close.
const LIMIT: Duration = Duration::from_secs(60);

const LOST: &str = "longwave_receiver_kernel_lost_records_total";

/// Returns the configuration sock_diag → stdout.
fn logs(receiver: Value) -> Value {
    config::logs_of("sock_diag", receiver)
}

/// Returns the connections that `sock_diag` reports even if no list has them: the kernel keeps their peer and their counts.
fn reported(connections: &[PlayedConnection]) -> Vec<(u64, usize)> {
    let is_kept = |connection: &&PlayedConnection| {
        !["linger", "reconnect", "refused", "syn_timeout", "kill9"]
            .iter()
            .any(|name| connection.name.contains(name))
    };
    finals(&connections.iter().filter(is_kept).cloned().collect::<Vec<_>>())
}

/// Runs Longwave with an interval of 1 s while `connections` opens connections. Checks every end.
fn exact(connections: impl FnOnce() -> Vec<PlayedConnection>) {
    let longwave = Longwave::start(logs(json!({"interval": "1s"})));
    // The kernel resets a socket that is connected again, and reports only the end of its last connection.
    let is_reset = |connection: &PlayedConnection| connection.name.contains("reconnect first");
    let connections: Vec<PlayedConnection> =
        connections().into_iter().filter(|connection| !is_reset(connection)).collect();
    let all = longwave.await_finals(&reported(&connections), LIMIT);
    balance::assert_balances(&longwave);
    let lost = longwave.telemetry();
    let (disconnected, overflown) =
        (lost.sum(LOST, &[("reason", "disconnected")]), lost.sum(LOST, &[("reason", "receive_buffer_full")]));
    let finished = longwave.stop();
    assert!(all, "some connections were not reported as ended:\n{}", finished.stderr);
    let Within { problems, marked, off, unreported, without_counters, ends } =
        check_within_one(&connections, &finished.records);
    eprintln!(
        "{ends} ends: {marked} marked, of which {off} are off by one byte; {without_counters} closed without counters, {unreported} not reported"
    );
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    assert_eq!(overflown, 0);
    assert!(
        unreported as u64 <= disconnected,
        "{unreported} ends are not reported, {disconnected} are counted"
    );
}

/// *Scenario*: every scenario on loopback with each address family. Lists are made every second, so that most connections are in none.
/// *Guarantees*: the bytes in the last record of each end equal the counts of the application, or are off by the one byte that is marked.
/// Deltas sum to totals. Ends that are not reported are counted.
fn every_scenario_on_loopback() {
    let _turn = gate::alone();
    exact(|| Family::ALL.into_iter().flat_map(|family| play(ANYWHERE, &Network::loopback(family))).collect());
}

/// *Scenario*: the scenarios that survive losses, between two other network namespaces that exist before the start.
/// *Guarantees*: the same.
fn every_scenario_across_namespaces() {
    let _turn = gate::privileged();
    let veth = VethPair::new();
    exact(|| play(UNDER_LOSS, &Network::across(&veth, Family::V4)));
}

/// *Scenario*: both receivers, each in a process of its own, report the same connections.
/// *Guarantees*: for each end that `sock_diag` reports with its counts, sent and received bytes and segments are those of `bpf`, or off by the
/// one byte that is marked.
fn both_receivers_report_the_same() {
    let _turn = gate::privileged();
    let bpf = Longwave::start(config::logs(json!({"interval": "1s"})));
    let diag = Longwave::start(logs(json!({"interval": "1s"})));
    let connections = play(ANYWHERE, &Network::loopback(Family::V4));
    assert!(
        diag.await_finals(&reported(&connections), LIMIT) && bpf.await_finals(&reported(&connections), LIMIT)
    );
    let by_cookie = |records: Vec<Record>| -> HashMap<u64, Record> {
        let ended = records.into_iter().filter(|record| record.event() == "close");
        ended.map(|record| (record.cookie(), record)).collect()
    };
    let (bpf, diag) = (by_cookie(bpf.stop().records), by_cookie(diag.stop().records));
    let (mut compared, mut marked) = (0, 0);
    for (cookie, _) in reported(&connections) {
        let (one, other) = (&bpf[&cookie], &diag[&cookie]);
        assert_eq!(one.sent_bytes, other.sent_bytes, "{one:?}\n{other:?}");
        let off = one.received_bytes.abs_diff(other.received_bytes);
        assert!(off == 0 || (off == 1 && !other.exact), "{one:?}\n{other:?}");
        assert_eq!(
            (one.sent_segments, one.retransmits),
            (other.sent_segments, other.retransmits),
            "{one:?}\n{other:?}"
        );
        compared += 1;
        marked += usize::from(!other.exact);
    }
    eprintln!("{compared} ends compared, {marked} marked");
    assert!(compared > 20);
}

/// *Scenario*: `longwave` without `--config`, as an ordinary user without capabilities.
/// *Guarantees*: it prints a table with the connections of this user's network namespace. One line of the log says what is less exact, and how
/// to get the rest.
fn an_ordinary_user_gets_the_table() {
    let _turn = gate::privileged();
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let copy = folder.path().join("longwave");
    std::fs::copy(binary::longwave(), &copy).unwrap();
    let address = format!("service.telemetry.metrics.address={}", free_address());
    let pair = Network::loopback(Family::V4).pair().unwrap();
    let mut child = Command::new("setpriv")
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "--no-new-privs"])
        .arg(copy)
        .args(["--set", &address, "--set", "receivers.sock_diag.interval=200ms"])
        .args(["--set", "processors.window.interval=200ms", "--set", "exporters.stdout.format=table"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stdout = std::io::BufReader::new(child.stdout.take().unwrap());
    let table = std::io::BufRead::lines(stdout).map_while(Result::ok).find(|line| line.starts_with("SOURCE"));
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(table.is_some(), "{stderr}");
    let line = stderr.lines().find(|line| line.contains("sock_diag reports the connections"));
    let line = line.unwrap_or_else(|| panic!("{stderr}"));
    assert!(
        line.contains("less exact") && line.contains("CAP_BPF") && line.contains("run as root"),
        "{line}"
    );
    drop(pair);
}

/// *Scenario*: a configuration that names `bpf`, as an ordinary user.
/// *Guarantees*: Longwave does not start. The error names what is missing, and the receiver that does without it.
fn a_configured_bpf_is_not_replaced() {
    let _turn = gate::privileged();
    let wrapper =
        ["setpriv", "--inh-caps=-all", "--bounding-set=-all", "--no-new-privs"].map(str::to_owned).to_vec();
    let options = Options { wrapper, ..Options::default() };
    let ended = Longwave::spawn(config::logs(json!({"interval": "1s"})), options).wait();
    assert!(!ended.status.success());
    assert!(ended.stderr.contains("CAP_BPF") && ended.stderr.contains("`sock_diag`"), "{}", ended.stderr);
}

fn main() -> ExitCode {
    if harness::started_as(peer::ROLE) {
        peer::main();
        return ExitCode::SUCCESS;
    }
    harness::run(tests![
        every_scenario_on_loopback,
        every_scenario_across_namespaces,
        both_receivers_report_the_same,
        an_ordinary_user_gets_the_table,
        a_configured_bpf_is_not_replaced,
    ])
}
