//! Names of cgroups that are gone before they can be read, and the setting `cgroup` of `bpf`.
#![allow(clippy::unwrap_used)]

use std::net::{TcpListener, TcpStream};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use longwave_testing::{gate, harness, tests};
use longwave_tests::cgroup::{self, Cgroup};
use longwave_tests::longwave::Options;
use longwave_tests::{Finished, Longwave, balance, config};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(60);
/// Short-lived clients.
const CLIENTS: usize = 6;

/// Connects from a cgroup of this name, closes both ends, and removes the cgroup. Returns the cgroup's whole name and the client's port.
fn short_client(name: &str, listener: &TcpListener) -> (String, u16) {
    let cgroup = Cgroup::new(name);
    let client = cgroup.within(|| TcpStream::connect(listener.local_addr().unwrap()).unwrap());
    let server = listener.accept().unwrap();
    let port = client.local_addr().unwrap().port();
    drop((client, server));
    (cgroup.name(), port)
}

/// Waits until the closes of the clients with these ports are reported.
fn await_closes(longwave: &Longwave, ports: &[u16]) {
    let mut missing = ports.to_vec();
    longwave.await_records("closes of the clients", LIMIT, |record| {
        if record.is_final() && record.reporter == "source" {
            missing.retain(|port| record.source_port != Some(*port));
        }
        missing.is_empty()
    });
}

/// Returns the lines of the client's ends, by the client's port.
fn lines_of(finished: &Finished, port: u16) -> Vec<&serde_json::Map<String, Value>> {
    let of_client =
        |line: &&serde_json::Map<String, Value>| line["source.port"] == port && line["reporter"] == "source";
    finished.lines.iter().filter(of_client).collect()
}

/// *Scenario*: clients that live for less than a pass, each in a cgroup of its own that is created after the start and removed immediately.
/// *Guarantees*: every record has the name and kind by the cgroup's path, and none is unknown.
fn gone_cgroups_have_their_names() {
    let _turn = gate::privileged();
    let base = config::logs(json!({"interval": "1s"}));
    let workload = json!({
        "processors": {"workload": {"sources": ["cgroup"]}},
        "service": {"pipelines": {"logs": {"processors": ["workload"]}}},
    });
    let longwave =
        Longwave::start_with(config::merged(base, workload), Options { lines: true, ..Options::default() });
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let clients: Vec<_> =
        (0..CLIENTS).map(|number| short_client(&format!("job{number}.service"), &listener)).collect();
    let ports: Vec<u16> = clients.iter().map(|(_, port)| *port).collect();
    await_closes(&longwave, &ports);
    balance::assert_balances(&longwave);
    let finished = longwave.stop();
    for (name, port) in &clients {
        let lines = lines_of(&finished, *port);
        assert!(!lines.is_empty());
        for line in lines {
            assert_eq!(line["source.workload.name"], name.trim_end_matches(".service"), "{line:?}");
            assert_eq!(line["source.workload.kind"], "SystemdUnit", "{line:?}");
        }
    }
}

/// *Scenario*: `cgroup` is a pattern that no cgroup matches at the start. A unit starts, ends and starts again, with one connection each
/// time; another cgroup has connections too.
/// *Guarantees*: a warning says that nothing matches yet. The connections of both runs of the unit are reported, and no others.
fn a_scope_follows_a_restarted_unit() {
    let _turn = gate::privileged();
    let pattern = format!("/longwave-{}-web@*.service", std::process::id());
    let base = config::logs(json!({"interval": "1s", "cgroup": pattern}));
    let longwave = Longwave::start_with(base, Options { lines: true, ..Options::default() });
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut ports = Vec::new();
    for _ in 0..2 {
        short_client("other.service", &listener);
        ports.push(short_client("web@1.service", &listener).1);
        await_closes(&longwave, &ports);
    }
    let finished = longwave.stop();
    assert!(finished.stderr.contains(&format!("matches {pattern} yet")), "{}", finished.stderr);
    let mut seen: Vec<u16> =
        finished.lines.iter().filter_map(|line| line["source.port"].as_u64()?.try_into().ok()).collect();
    seen.dedup();
    assert_eq!(seen, ports);
}

/// *Scenario*: Longwave runs in a cgroup namespace of its own, as in a container, and only the cgroups below its own are mounted. `cgroup`
/// is a pattern below that mount. A cgroup that matches is created after the start.
/// *Guarantees*: connections of the new cgroup are reported from a later interval on, with its name below the mount, and no others.
fn a_part_of_the_tree_is_followed_by_intervals() {
    let _turn = gate::privileged();
    let mount = cgroup::mount_point().unwrap();
    let namespace = Command::new("unshare").args(["--cgroup", "--mount", "true"]).output();
    if !namespace.is_ok_and(|output| output.status.success()) {
        gate::skip("`unshare` has no cgroup namespaces");
    }
    let container = Cgroup::new("box");
    let (own, mount) = (container.path().display().to_string(), mount.display().to_string());
    let inside = "umount -l \"$0\" && mount -t cgroup2 none \"$0\" && exec \"$@\"";
    let enter = "echo 0 > \"$0/cgroup.procs\" && exec unshare --cgroup --mount sh -c \"$@\"";
    let wrapper = ["sh", "-c", enter, &own, inside, &mount].map(str::to_owned).to_vec();
    let base = config::logs(json!({"interval": "1s", "cgroup": "/web*"}));
    let workload = json!({
        "processors": {"workload": {"sources": ["cgroup"]}},
        "service": {"pipelines": {"logs": {"processors": ["workload"]}}},
    });
    let options = Options { lines: true, wrapper, ..Options::default() };
    let longwave = Longwave::start_with(config::merged(base, workload), options);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let web = container.path().join("web.service");
    std::fs::create_dir(&web).unwrap();
    // The next scan is at the next interval: connect until a connection is reported.
    let deadline = Instant::now() + LIMIT;
    while longwave.lines(<[_]>::is_empty) {
        assert!(Instant::now() < deadline, "no connection is reported: {}", longwave.stderr());
        short_client("other.service", &listener);
        let script = "echo 0 > \"$0/cgroup.procs\" && exec 3<>\"/dev/tcp/127.0.0.1/$1\" && cat <&3";
        let port = listener.local_addr().unwrap().port().to_string();
        let mut client = Command::new("bash").args(["-c", script]).arg(&web).arg(port).spawn().unwrap();
        drop(listener.accept().unwrap());
        assert!(client.wait().unwrap().success());
    }
    let finished = longwave.stop();
    std::fs::remove_dir(&web).unwrap();
    for line in &finished.lines {
        assert_eq!(
            (&line["source.workload.name"], &line["reporter"]),
            (&json!("web"), &json!("source")),
            "{line:?}"
        );
    }
}

fn main() -> ExitCode {
    harness::run(tests![
        gone_cgroups_have_their_names,
        a_scope_follows_a_restarted_unit,
        a_part_of_the_tree_is_followed_by_intervals
    ])
}
