//! The purpose of each capability. Tests each row of the table in docs/DEPLOYMENT.md, with connections that are older than Longwave.
#![allow(clippy::unwrap_used)]

use std::collections::HashSet;
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use longwave_testing::netns::{Netns, run};
use longwave_testing::{gate, harness, tests};
use longwave_tests::check::{check, fact};
use longwave_tests::end::End;
use longwave_tests::longwave::{Options, command, free_address, write_config};
use longwave_tests::{Family, Longwave, Network, Record, binary, config};
use serde_json::json;

const LIMIT: Duration = Duration::from_secs(60);
/// The capabilities that every manifest grants.
const ALL: [&str; 5] = ["bpf", "perfmon", "net_admin", "sys_ptrace", "sys_admin"];

/// Connections that are older than Longwave, by the cookie of the client's socket. Longwave finds each in a different way.
struct OlderConnections {
    /// In this network namespace. A process has both ends open.
    own_open: u64,
    /// In this network namespace. No process has the client's end open.
    own_orphan: u64,
    /// In a namespace that a mount keeps (`ip netns`).
    mounted_open: u64,
    mounted_orphan: u64,
    /// In a namespace that only a process keeps, as for a container.
    hidden_open: u64,
    hidden_orphan: u64,
    _ends: Vec<End>,
    _mounted: Netns,
    keeper: Child,
}

// === impl OlderConnections ===

impl OlderConnections {
    fn new() -> Self {
        let (mounted, hidden) = (Netns::new(), Netns::new());
        let mut ends = Vec::new();
        let mut make = |network: Network| {
            let (open, server) = network.pair().unwrap();
            let (mut orphan, unread) = network.pair().unwrap();
            // The kernel keeps the connection after its process has closed it, because the peer has not read all data.
            orphan.write_until_full().unwrap();
            let cookies = (open.account().cookie, orphan.close().cookie);
            ends.extend([open, server, unread]);
            cookies
        };
        let (own_open, own_orphan) = make(Network::loopback(Family::V4));
        let (mounted_open, mounted_orphan) = make(Network::inside(&mounted, Family::V4));
        let (hidden_open, hidden_orphan) = make(Network::inside(&hidden, Family::V4));
        let keeper = hidden.enter(|| Command::new("sleep").arg("infinity").spawn().unwrap());
        drop(hidden);
        Self {
            own_open,
            own_orphan,
            mounted_open,
            mounted_orphan,
            hidden_open,
            hidden_orphan,
            _ends: ends,
            _mounted: mounted,
            keeper,
        }
    }

    /// Returns the connections whose cookies are not in `seen`.
    fn not_in(&self, seen: &HashSet<u64>) -> Vec<&'static str> {
        let all = [
            ("own_open", self.own_open),
            ("own_orphan", self.own_orphan),
            ("mounted_open", self.mounted_open),
            ("mounted_orphan", self.mounted_orphan),
            ("hidden_open", self.hidden_open),
            ("hidden_orphan", self.hidden_orphan),
        ];
        all.into_iter().filter(|(_, cookie)| !seen.contains(cookie)).map(|(name, _)| name).collect()
    }

    /// Runs Longwave with `wrapper` and returns the connections that it does not report.
    fn lost(&self, wrapper: Vec<String>) -> Vec<&'static str> {
        let longwave = Longwave::start_with(
            config::logs(json!({"interval": "1s"})),
            Options { wrapper, ..Options::default() },
        );
        // Older connections are seeded before the first pass. So when one of them has a second record, all have a first one.
        let mut passes = 0;
        let mut seen = HashSet::new();
        longwave.await_records("two passes", LIMIT, |record: &Record| {
            seen.insert(record.cookie());
            passes += usize::from(record.cookie() == self.own_open);
            passes >= 2
        });
        longwave.stop();
        self.not_in(&seen)
    }
}

impl Drop for OlderConnections {
    fn drop(&mut self) {
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}

/// Returns a wrapper that runs a command as root with only these capabilities.
fn root_with(capabilities: &[&str]) -> Vec<String> {
    let set: String = capabilities.iter().map(|name| format!(",+{name}")).collect();
    let words = ["setpriv", "--no-new-privs", &format!("--bounding-set=-all{set}"), "--inh-caps=-all"];
    words.map(str::to_owned).to_vec()
}

fn without(capability: &str) -> Vec<String> {
    let rest: Vec<&str> = ALL.into_iter().filter(|name| *name != capability).collect();
    root_with(&rest)
}

/// *Scenario*: root with the five capabilities that the manifests grant, and no other (not even DAC_OVERRIDE).
/// *Guarantees*: `check` reports no problem with them, and every older connection is reported.
fn with_the_five_nothing_is_lost() {
    let _turn = gate::privileged();
    let (text, content) = check(&root_with(&ALL));
    assert!(content, "{text}");
    for name in ["capabilities to load programs", "network namespaces", "processes", "connection tracking"] {
        assert!(fact(&text, name).starts_with("ok "), "{text}");
    }
    assert_eq!(OlderConnections::new().lost(root_with(&ALL)), [""; 0]);
}

/// *Scenario*: `check` and `run` without CAP_BPF, and without CAP_PERFMON, in both cases without CAP_SYS_ADMIN. Then with CAP_SYS_ADMIN
/// instead of the two.
/// *Guarantees*: without one of them, both commands fail and name it. With CAP_SYS_ADMIN, Longwave runs.
fn without_bpf_or_perfmon_it_does_not_run() {
    let _turn = gate::privileged();
    for (missing, name) in [("bpf", "CAP_BPF"), ("perfmon", "CAP_PERFMON")] {
        let rest: Vec<&str> =
            ALL.into_iter().filter(|other| ![missing, "sys_admin"].contains(other)).collect();
        let (text, content) = check(&root_with(&rest));
        let fact = fact(&text, "capabilities to load programs");
        assert!(!content && fact.starts_with("missing ") && fact.contains(name), "{text}");
        let folder = tempfile::tempdir().unwrap();
        let path = write_config(folder.path(), &config::logs(json!({"interval": "1s"})));
        let output = command(&root_with(&rest)).arg("--config").arg(path).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && stderr.contains(&format!("missing {name}:")), "{stderr}");
    }
    assert_eq!(OlderConnections::new().lost(root_with(&["sys_admin", "sys_ptrace"])), [""; 0]);
}

/// *Scenario*: all five except CAP_SYS_ADMIN.
/// *Guarantees*: `check` reports it as missing. All older connections are reported, except those in other network namespaces that no
/// process has open.
fn without_sys_admin_other_namespaces_orphans_are_lost() {
    let _turn = gate::privileged();
    let (text, content) = check(&without("sys_admin"));
    let fact = fact(&text, "network namespaces");
    assert!(content && fact.starts_with("degraded ") && fact.contains("grant CAP_SYS_ADMIN"), "{text}");
    assert_eq!(OlderConnections::new().lost(without("sys_admin")), ["mounted_orphan", "hidden_orphan"]);
}

/// *Scenario*: all five except CAP_SYS_PTRACE.
/// *Guarantees*: `check` reports it as missing. All older connections are reported, except those in namespaces without a mount that no
/// process has open.
fn without_sys_ptrace_hidden_namespaces_orphans_are_lost() {
    let _turn = gate::privileged();
    let (text, content) = check(&without("sys_ptrace"));
    let fact = fact(&text, "processes");
    assert!(content && fact.starts_with("degraded ") && fact.contains("grant CAP_SYS_PTRACE"), "{text}");
    assert_eq!(OlderConnections::new().lost(without("sys_ptrace")), ["hidden_orphan"]);
}

/// Redirects port 80 of an address of this host until dropped, as kube-proxy and Docker do.
struct Redirect;

// === impl Redirect ===

impl Redirect {
    const ADDRESS: &'static str = "198.18.77.1";
    const NAMES: &'static str =
        "rules: [{cidrs: [198.18.77.1/32], ports: [80], service: {name: web, namespace: shop}}]";

    fn to(port: u16) -> Self {
        let redirect = Self;
        run("ip", &["address", "replace", &format!("{}/32", Self::ADDRESS), "dev", "lo"]);
        let rule = format!("ip daddr {} tcp dport 80 redirect to :{port}", Self::ADDRESS);
        run(
            "nft",
            &[&format!(
                "table inet longwave_capability {{ chain output {{ type nat hook output priority -100; {rule}; }}; }}"
            )],
        );
        redirect
    }
}

impl Drop for Redirect {
    fn drop(&mut self) {
        let _ = Command::new("nft").args(["delete", "table", "inet", "longwave_capability"]).status();
        let address = format!("{}/32", Self::ADDRESS);
        let _ = Command::new("ip").args(["address", "del", &address, "dev", "lo"]).status();
    }
}

/// Runs Longwave with `wrapper` and returns the service that it reports for the server's end of a redirected connection.
fn service_of_a_redirect(wrapper: Vec<String>) -> Option<String> {
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let _redirect = Redirect::to(listener.local_addr().unwrap().port());
    let folder = tempfile::tempdir().unwrap();
    let names = folder.path().join("names.yaml");
    std::fs::write(&names, Redirect::NAMES).unwrap();
    let config = config::merged(
        config::logs(json!({"interval": "1s"})),
        json!({
            "extensions": {"static": {"file": names}},
            "processors": {"service": {"sources": ["static"]}},
            "service": {"extensions": ["static"], "pipelines": {"logs": {"processors": ["service"]}}},
        }),
    );
    let longwave = Longwave::start_with(config, Options { wrapper, ..Options::default() });
    let client = TcpStream::connect((Redirect::ADDRESS, 80)).unwrap();
    let (server, _) = listener.accept().unwrap();
    let cookie = rustix::net::sockopt::socket_cookie(&server).unwrap();
    drop((client, server));
    assert!(longwave.await_finals(&[(cookie, 1)], LIMIT), "the server's end is missing");
    let finished = longwave.stop();
    let end = finished.records.iter().find(|record| record.cookie() == cookie && record.is_final()).unwrap();
    end.service.clone()
}

/// *Scenario*: a connection to an address that is redirected to a local server, with all five, and with all except CAP_NET_ADMIN.
/// *Guarantees*: with it, the record of the server's end names the service. Without it, the service is unknown, and `check` reports the
/// capability as missing.
fn without_net_admin_translated_services_are_lost() {
    let _turn = gate::privileged();
    assert_eq!(service_of_a_redirect(root_with(&ALL)).as_deref(), Some("web"));
    assert_eq!(service_of_a_redirect(without("net_admin")).as_deref(), Some("unknown"));
    let (text, content) = check(&without("net_admin"));
    let fact = fact(&text, "connection tracking");
    assert!(content && fact.starts_with("degraded ") && fact.contains("grant CAP_NET_ADMIN"), "{text}");
}

/// *Scenario*: all five in another process namespace, as in a container without `hostPID`.
/// *Guarantees*: `check` reports the process namespace as degraded. Older connections in namespaces without a mount are not reported.
fn without_the_hosts_processes_hidden_namespaces_are_lost() {
    let _turn = gate::privileged();
    let wrapper = ["unshare", "--pid", "--fork", "--kill-child=TERM", "--mount-proc"].map(str::to_owned);
    let (text, content) = check(&wrapper);
    let fact = fact(&text, "process namespace");
    assert!(content && fact.starts_with("degraded ") && fact.contains("hostPID: true"), "{text}");
    let older = OlderConnections::new();
    assert_eq!(older.not_in(&seen_as_any_user(&wrapper, &older)), ["hidden_open", "hidden_orphan"]);
}

/// *Scenario*: an ordinary user with the five as ambient capabilities and `no_new_privs`, as the systemd unit runs Longwave.
/// *Guarantees*: every older connection is reported.
fn as_the_systemd_unit_runs_it() {
    let _turn = gate::privileged();
    let set: String = ALL.iter().map(|name| format!(",+{name}")).collect();
    let wrapper = [
        "setpriv".to_owned(),
        "--reuid=65534".to_owned(),
        "--regid=65534".to_owned(),
        "--clear-groups".to_owned(),
        "--no-new-privs".to_owned(),
        format!("--inh-caps=-all{set}"),
        format!("--ambient-caps=-all{set}"),
        format!("--bounding-set=-all{set}"),
    ];
    let older = OlderConnections::new();
    assert_eq!(older.not_in(&seen_as_any_user(&wrapper, &older)), [""; 0]);
}

/// Runs Longwave with `wrapper`, from copies of the binary and the configuration that any user can read. Returns the cookies of all records
/// until the second pass.
fn seen_as_any_user(wrapper: &[String], older: &OlderConnections) -> HashSet<u64> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let copy = folder.path().join("longwave");
    std::fs::copy(binary::longwave(), &copy).unwrap();
    let config = config::merged(
        config::logs(json!({"interval": "1s"})),
        json!({"service": {"telemetry": {"metrics": {"address": free_address().to_string()}}}}),
    );
    let path = write_config(folder.path(), &config);
    let (program, arguments) = wrapper.split_first().unwrap();
    let mut child = Command::new(program)
        .args(arguments)
        .arg(copy)
        .arg("--config")
        .arg(path)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut seen, mut passes) = (HashSet::new(), 0);
    for line in BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok) {
        let record: Record = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        seen.insert(record.cookie());
        passes += usize::from(record.cookie() == older.own_open);
        if passes >= 2 {
            break;
        }
    }
    // Longwave ends because its stdout is closed. SIGTERM ends the wrapper.
    let _ = rustix::process::kill_process(
        rustix::process::Pid::from_child(&child),
        rustix::process::Signal::TERM,
    );
    child.wait().unwrap();
    assert!(passes >= 2, "it ended before its second pass");
    seen
}

fn main() -> ExitCode {
    harness::run(tests![
        with_the_five_nothing_is_lost,
        without_bpf_or_perfmon_it_does_not_run,
        without_sys_admin_other_namespaces_orphans_are_lost,
        without_sys_ptrace_hidden_namespaces_orphans_are_lost,
        without_net_admin_translated_services_are_lost,
        without_the_hosts_processes_hidden_namespaces_are_lost,
        as_the_systemd_unit_runs_it,
    ])
}
