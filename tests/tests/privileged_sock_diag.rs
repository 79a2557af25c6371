//! The receiver `sock_diag`: exactness, the same totals as `bpf`, and Longwave without privileges.
#![allow(clippy::unwrap_used)]

use std::collections::{HashMap, HashSet};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use longwave_testing::netns::{Netns, VethPair};
use longwave_testing::{gate, harness, tests};
use longwave_tests::churn::Churn;
use longwave_tests::longwave::{Options, free_address};
use longwave_tests::losses::KERNEL_LOST;
use longwave_tests::scenario::{ANYWHERE, UNDER_LOSS, play};
use longwave_tests::telemetry::Metrics;
use longwave_tests::verdict::{Within, check_within_one, finals};
use longwave_tests::{Family, Longwave, Network, PlayedConnection, Record, balance, binary, config, peer};
use rustix::process::{Pid, Signal};
use serde_json::{Value, json};
use socket2::{Domain, SockRef, Socket, Type};

/// Maximum wait for the last close.
const LIMIT: Duration = Duration::from_secs(60);

/// Returns the configuration sock_diag → stdout.
fn logs(receiver: Value) -> Value {
    config::logs_of("sock_diag", receiver)
}

/// Returns what the receiver lost for `reason`.
fn lost_for(page: &Metrics, reason: &str) -> u64 {
    page.sum(KERNEL_LOST, &[("reason", reason)])
}

/// Returns the connections that `sock_diag` reports even if no list has them: the kernel keeps their peer and their counts.
fn reported(connections: &[PlayedConnection]) -> Vec<(u64, usize)> {
    let is_kept = |connection: &&PlayedConnection| {
        !["linger", "reconnect first", "refused", "syn_timeout", "kill9"]
            .iter()
            .any(|name| connection.name.contains(name))
    };
    finals(&connections.iter().filter(is_kept).cloned().collect::<Vec<_>>())
}

/// Waits until all of these connections that lists had are reported as ended.
fn await_listed(longwave: &Longwave, connections: &[PlayedConnection]) {
    let cookies: HashSet<u64> =
        connections.iter().flat_map(|connection| &connection.ends).map(|end| end.cookie).collect();
    let is_over = |records: &[Record]| {
        let mut open = HashSet::new();
        for record in records.iter().filter(|record| cookies.contains(&record.cookie())) {
            if record.is_final() {
                open.remove(&record.cookie());
            } else {
                open.insert(record.cookie());
            }
        }
        open.is_empty()
    };
    let deadline = Instant::now() + LIMIT;
    while !longwave.records(is_over) {
        assert!(Instant::now() < deadline, "some connections stay open:\n{}", longwave.stderr());
        longwave.await_count(longwave.records_seen() + 1, Duration::from_secs(1));
    }
}

/// Runs Longwave with an interval of 1 s while `connections` opens connections. Checks every end.
fn exact(connections: impl FnOnce() -> Vec<PlayedConnection>) {
    let longwave = Longwave::start(logs(json!({"interval": "1s"})));
    let connections = connections();
    let all = longwave.await_finals(&reported(&connections), LIMIT);
    assert!(all, "some connections were not reported as ended:\n{}", longwave.stderr());
    await_listed(&longwave, &connections);
    balance::assert_balances(&longwave);
    let lost = longwave.telemetry();
    let (disconnected, overflown) = (lost_for(&lost, "disconnected"), lost_for(&lost, "receive_buffer_full"));
    let finished = longwave.stop();
    let Within { problems, marked, off, unreported, without_counters, connected_again, ends } =
        check_within_one(&connections, &finished.records);
    eprintln!(
        "{ends} ends: {marked} marked, of which {off} are off by one byte; {without_counters} closed without counters, \
         {connected_again} connected again, {unreported} not reported"
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

/// What was reported of a connection.
#[derive(Clone, Copy, Debug, Default)]
struct Reported {
    opened: u32,
    closed: u32,
    failed: u32,
    vanished: u32,
    /// Vanished before a list showed it established.
    unestablished: u32,
}

/// Counts the records of each cookie in `ends`.
fn reported_of(ends: &HashSet<u64>, records: &[Record]) -> HashMap<u64, Reported> {
    let mut reported: HashMap<u64, Reported> = HashMap::new();
    for record in records.iter().filter(|record| ends.contains(&record.cookie())) {
        let of = reported.entry(record.cookie()).or_default();
        match record.event() {
            "open" => of.opened += 1,
            "close" => of.closed += 1,
            "fail" => of.failed += 1,
            "vanished" if record.state.as_deref() == Some("syn_sent") => of.unestablished += 1,
            "vanished" => of.vanished += 1,
            _ => {}
        }
    }
    reported
}

/// Connects to a port of this namespace on which no process listens, without waiting. Returns the cookies of the sockets.
fn refused(count: usize) -> Vec<u64> {
    let closed = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
    let connect = |_| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_nonblocking(true).unwrap();
        let _ = socket.connect(&closed.into());
        socket.cookie().unwrap()
    };
    (0..count).map(connect).collect()
}

/// Opens connections in the namespace of the calling thread.
fn open(count: usize) -> Vec<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let connect = |_| {
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (client, listener.accept().unwrap().0)
    };
    (0..count).map(connect).collect()
}

/// *Scenario*: 5,000 connections and 500 refused connects a second, for four seconds, in two network namespaces together. The receive buffer
/// has the smallest size, so that most messages are lost. Lists are made every 200 ms. 100 more connections, which lists have shown, close at the
/// same time.
/// *Guarantees*: each connection that is reported as opened is reported once as closed or vanished. A failure is reported once, without an
/// open. Each end that is not reported as closed or failed is a lost message, and lost messages are counted.
fn losses_are_counted_and_healed() {
    let _turn = gate::privileged();
    let namespaces = [Netns::new(), Netns::new()];
    let longwave = Longwave::start(logs(json!({"interval": "200ms", "receive_buffer": 1, "owners": false})));
    let held: Vec<_> = namespaces.iter().flat_map(|netns| netns.enter(|| open(50))).collect();
    let cookie = |socket: &TcpStream| SockRef::from(socket).cookie().unwrap();
    let listed: HashSet<u64> =
        held.iter().flat_map(|(client, server)| [cookie(client), cookie(server)]).collect();
    let mut opened = 0;
    longwave.await_records("the open connections", LIMIT, |record| {
        opened += usize::from(record.event() == "open" && listed.contains(&record.cookie()));
        opened == listed.len()
    });
    let start = Instant::now();
    let mut ends: HashSet<u64> = std::thread::scope(|scope| {
        let threads: Vec<_> = namespaces
            .iter()
            .map(|netns| {
                let churn =
                    || Churn::new(1).run(10_000, Some(2_500)).into_iter().map(|end| end.cookie).collect();
                [scope.spawn(move || netns.enter(churn)), scope.spawn(move || netns.enter(|| refused(1_000)))]
            })
            .collect();
        drop(held);
        threads.into_iter().flatten().flat_map(|thread| -> Vec<u64> { thread.join().unwrap() }).collect()
    });
    let rate = ends.len() as f64 / start.elapsed().as_secs_f64();
    ends.extend(listed);

    // Two lists without a connection are needed, and the current one may have begun before the last close.
    let passes = |page: &Metrics| page.sum("longwave_receiver_passes", &[]);
    let (wanted, deadline) = (passes(&longwave.telemetry()) + 4, Instant::now() + LIMIT);
    let is_complete = || {
        let reported = longwave.records(|records| reported_of(&ends, records));
        let open = reported.values().filter(|of| of.opened > of.closed + of.vanished).count();
        passes(&longwave.telemetry()) >= wanted && open == 0
    };
    while !is_complete() {
        assert!(Instant::now() < deadline, "connections stay open: {}", longwave.telemetry().show());
        longwave.await_count(longwave.records_seen() + 1, Duration::from_secs(1));
    }
    balance::assert_balances(&longwave);
    let page = longwave.telemetry();
    let reported = reported_of(&ends, &longwave.stop().records);
    let sum = |count: fn(&Reported) -> u32| reported.values().map(|of| u64::from(count(of))).sum::<u64>();
    let (opened, closed) = (sum(|of| of.opened), sum(|of| of.closed));
    let (failed, vanished) = (sum(|of| of.failed), sum(|of| of.vanished));
    let lost = lost_for(&page, "receive_buffer_full");
    let late = page.sum("longwave_receiver_kernel_events", &[("kind", "late_end")]);
    eprintln!(
        "{} ends, {rate:.0} a second: {opened} opened, {closed} closed, {failed} failed, {vanished} vanished; {lost} messages lost, {late} late",
        ends.len()
    );
    for (cookie, of) in &reported {
        let ended = of.closed + of.failed + of.vanished + of.unestablished;
        assert!(ended == 1 && of.opened == of.closed + of.vanished, "{cookie:x}: {of:?}");
    }
    assert_eq!(opened, closed + vanished);
    assert!(closed > 0 && vanished > 0 && lost > 0);
    assert!(ends.len() as u64 <= closed + failed + late + lost, "ends are missing that are not counted");
}

/// *Scenario*: both receivers, each in a process of its own, report the same connections.
/// *Guarantees*: for each end that `sock_diag` reports with its counts, sent and received bytes and segments are those of `bpf`, or off by the
/// one byte that is marked. A reset that was sent is one more segment.
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
        // The kernel sends the reset after the event that `bpf` reports.
        let resets = u64::from(one.close_reason.as_deref() == Some("reset_sent"));
        assert_eq!(
            (one.sent_segments + resets, one.retransmits),
            (other.sent_segments, other.retransmits),
            "{one:?}\n{other:?}"
        );
        compared += 1;
        marked += usize::from(!other.exact);
    }
    eprintln!("{compared} ends compared, {marked} marked");
    assert!(compared > 20);
}

/// Skips the test where the programs are those of BusyBox, as in a virtual machine: they cannot drop privileges.
fn require_util_linux() {
    let version = Command::new("setpriv").arg("--version").output();
    if !version.is_ok_and(|output| output.status.success()) {
        gate::missing("no setpriv of util-linux", "LONGWAVE_REQUIRE_PEERS");
    }
}

/// Runs `longwave` without `--config` by the command `wrapper`, until it has printed a table. Returns its stderr. `receiver` is the one that is
/// expected.
fn log_of_the_table(wrapper: &[&str], receiver: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let copy = folder.path().join("longwave");
    std::fs::copy(binary::longwave(), &copy).unwrap();
    let address = format!("service.telemetry.metrics.address={}", free_address());
    let interval = format!("receivers.{receiver}.interval=200ms");
    let mut child = Command::new("env")
        .args(wrapper)
        .arg(copy)
        .args(["--set", &address, "--set", &interval])
        .args(["--set", "processors.window.interval=200ms", "--set", "exporters.stdout.format=table"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stdout = std::io::BufReader::new(child.stdout.take().unwrap());
    let table = std::io::BufRead::lines(stdout).map_while(Result::ok).find(|line| line.starts_with("SOURCE"));
    // Programs that replace themselves, such as setpriv, have the process of Longwave.
    let _ = rustix::process::kill_process(Pid::from_child(&child), Signal::TERM);
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(table.is_some(), "{stderr}");
    stderr
}

/// Checks that one line of the log says what is less exact, and how to get the rest.
fn assert_says_how_to_get_the_rest(stderr: &str) {
    let lines: Vec<&str> =
        stderr.lines().filter(|line| line.contains("sock_diag reports the connections")).collect();
    let [line] = lines.as_slice() else { panic!("{stderr}") };
    for part in ["less exact", "To get the rest", "CAP_BPF", "run as root"] {
        assert!(line.contains(part), "{part}: {line}");
    }
}

/// *Scenario*: `longwave` without `--config`, as an ordinary user without capabilities.
/// *Guarantees*: it prints a table with the connections of this user's network namespace. One line of the log says what is less exact, and how
/// to get the rest.
fn an_ordinary_user_gets_the_table() {
    require_util_linux();
    let _turn = gate::privileged();
    let _pair = Network::loopback(Family::V4).pair().unwrap();
    let user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs"];
    assert_says_how_to_get_the_rest(&log_of_the_table(&user, "sock_diag"));
}

/// *Scenario*: `longwave` without `--config`, as root without any capability in namespaces of its own, as in a container.
/// *Guarantees*: the same.
fn a_container_without_capabilities_gets_the_table() {
    require_util_linux();
    let _turn = gate::privileged();
    let netns = Netns::new();
    let _pair = Network::inside(&netns, Family::V4).pair().unwrap();
    let inside = ["ip", "netns", "exec", netns.name(), "unshare", "--ipc", "--uts", "--cgroup"];
    let nothing = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"];
    assert_says_how_to_get_the_rest(&log_of_the_table(&[&inside[..], &nothing].concat(), "sock_diag"));
}

/// *Scenario*: `longwave` without `--config`, as root.
/// *Guarantees*: it prints a table by BPF, and no line says that anything is less exact.
fn root_gets_the_table_by_bpf() {
    let _turn = gate::privileged();
    let _pair = Network::loopback(Family::V4).pair().unwrap();
    let stderr = log_of_the_table(&[], "bpf");
    assert!(!stderr.contains("less exact"), "{stderr}");
}

/// *Scenario*: a configuration that names `bpf`, as an ordinary user.
/// *Guarantees*: Longwave does not start. The error names what is missing, and the receiver that does without it.
fn a_configured_bpf_is_not_replaced() {
    require_util_linux();
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
        losses_are_counted_and_healed,
        both_receivers_report_the_same,
        an_ordinary_user_gets_the_table,
        a_container_without_capabilities_gets_the_table,
        root_gets_the_table_by_bpf,
        a_configured_bpf_is_not_replaced,
    ])
}
