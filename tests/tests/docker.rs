//! Names from a real Docker daemon: containers and Compose services, renamed and removed containers, reused addresses, and restarts of the
//! daemon.
#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use longwave_testing::{gate, harness, tests};
use longwave_tests::docker::Docker;
use longwave_tests::longwave::{Keep, Options};
use longwave_tests::time::unix_nanos;
use longwave_tests::{Finished, Longwave, Record};
use serde_json::{Value, json};

/// Maximum wait for a name. On a loaded machine, the start of a container takes most of this time.
const LIMIT: Duration = Duration::from_secs(60);

/// Port of all servers in containers.
const PORT: u16 = 7177;
/// Port on which one of them is published.
const PUBLISHED: u16 = 8177;

/// Labels that Compose sets. The tests set them, because they do not use Compose. They are Docker's only information about services.
const COMPOSE_WEB: [&str; 4] =
    ["--label", "com.docker.compose.project=shop", "--label", "com.docker.compose.service=web"];

fn config(docker: &Docker) -> Value {
    json!({
        "receivers": {"bpf": {"interval": "1s"}},
        "extensions": {"docker": {"endpoint": docker.endpoint()}},
        "processors": {
            "workload": {"sources": ["docker", "cgroup"], "hold": "1s"},
            "service": {"sources": ["docker"], "hold": "1s"},
        },
        "exporters": {"stdout": {"format": "json"}},
        "service": {
            "extensions": ["docker"],
            "pipelines": {"logs": {"receivers": ["bpf"], "processors": ["workload", "service"], "exporters": ["stdout"]}},
        },
    })
}

/// Keeps only the connections of these tests.
const OURS: Keep =
    |record| matches!(record.destination(), Some(end) if end.port() == PORT || end.port() == PUBLISHED);

/// Starts Longwave in the network namespace of the daemon.
fn start(docker: &Docker) -> Longwave {
    docker.netns.enter(|| Longwave::start_with(config(docker), Options { keep: OURS, ..Options::default() }))
}

/// Names of client and server, and `<namespace>/<service>`.
type Names<'a> = (&'a str, &'a str, &'a str);

fn names(record: &Record) -> (String, String, String) {
    let text = |name: &Option<String>| name.clone().unwrap_or_default();
    let service = format!("{}/{}", text(&record.service_namespace), text(&record.service));
    (text(&record.source_workload), text(&record.destination_workload), service)
}

fn is_named(record: &Record, (client, server, service): Names<'_>) -> bool {
    names(record) == (client.to_owned(), server.to_owned(), service.to_owned())
}

/// Waits until both reporters report an update with these names.
fn await_both(longwave: &Longwave, expected: Names<'_>) {
    for reporter in ["source", "destination"] {
        longwave.await_records(&format!("{reporter}: {expected:?}"), LIMIT, |record| {
            record.reporter == reporter && record.event() == "update" && is_named(record, expected)
        });
    }
}

fn now() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos()).unwrap()
}

fn time_of(record: &Record) -> u64 {
    unix_nanos(&record.timestamp).unwrap()
}

/// Sends `bytes` to an echo server and reads them back.
fn exchange(docker: &Docker, to: SocketAddr, bytes: usize) -> SocketAddr {
    docker.netns.enter(|| {
        let mut stream = TcpStream::connect(to).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        let local = stream.local_addr().unwrap();
        stream.write_all(&vec![b'x'; bytes]).unwrap();
        stream.read_exact(&mut vec![0; bytes]).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        stream.read_to_end(&mut Vec::new()).unwrap();
        local
    })
}

/// Returns the final record of the client at `local`.
fn final_of<'a>(finished: &'a Finished, local: SocketAddr, reporter: &str) -> &'a Record {
    let of =
        |record: &&Record| record.source() == Some(local) && record.reporter == reporter && record.is_final();
    finished.records.iter().find(of).unwrap_or_else(|| panic!("no final record of {local} from {reporter}"))
}

fn await_finals_of(longwave: &Longwave, local: SocketAddr, count: usize) {
    let mut seen = 0;
    longwave.await_records(&format!("{count} final records of {local}"), LIMIT, |record| {
        seen += usize::from(record.source() == Some(local) && record.is_final());
        seen == count
    });
}

/// *Scenario*: a Compose service and its client exchange data in a Docker network before Longwave starts. The client is renamed while its
/// connection is open. Then the server is removed, and a container outside Compose gets its address immediately, and another client.
/// *Guarantees*: both reporters name older connections. Every record has the names of its time: the old one before the rename, and the new
/// one after it. The reused address never gets its former name or service. Both reporters report the same bytes.
fn names_follow_containers_under_traffic() {
    let _turn = gate::privileged();
    let docker = Docker::start();
    docker.run(&["network", "create", "--subnet", "10.214.7.0/24", "shop"]);
    let address = ["--network", "shop", "--ip", "10.214.7.10"];
    docker.run_echo("shop-web-1", &[&address[..], &COMPOSE_WEB].concat(), PORT);
    docker.run_sender("client", &["--network", "shop", "--ip", "10.214.7.20"], "10.214.7.10", PORT);

    let longwave = start(&docker);
    await_both(&longwave, ("client", "shop-web-1", "shop/web"));
    let before_rename = now();
    docker.run(&["rename", "client", "renamed"]);
    let after_rename = now();
    await_both(&longwave, ("renamed", "shop-web-1", "shop/web"));

    docker.run(&["rm", "-f", "renamed"]);
    docker.run(&["rm", "-f", "shop-web-1"]);
    let removed = now();
    docker.run_echo("other", &address, PORT);
    docker.run_sender("late", &["--network", "shop", "--ip", "10.214.7.20"], "10.214.7.10", PORT);
    await_both(&longwave, ("late", "other", "unknown/unknown"));
    docker.run(&["rm", "-f", "late"]);
    docker.run(&["rm", "-f", "other"]);
    longwave.await_records("the ends of both late connections", LIMIT, {
        let mut finals = 0;
        move |record| {
            finals += u32::from(record.is_final() && names(record).0 == "late");
            finals == 2
        }
    });
    let finished = longwave.stop();

    let mut finals = std::collections::HashMap::new();
    for record in finished.records.iter().filter(|record| record.event() != "fail") {
        let at = time_of(record);
        let wanted: &[Names<'_>] = if at < before_rename {
            &[("client", "shop-web-1", "shop/web")]
        } else if at <= after_rename {
            &[("client", "shop-web-1", "shop/web"), ("renamed", "shop-web-1", "shop/web")]
        } else if at < removed {
            &[("renamed", "shop-web-1", "shop/web")]
        } else {
            // The old connection may be closed after its containers were removed.
            &[("late", "other", "unknown/unknown"), ("renamed", "shop-web-1", "shop/web")]
        };
        assert!(
            wanted.iter().any(|names| is_named(record, *names)),
            "{:?} at {at}, wanted {wanted:?}: {record:?}",
            names(record)
        );
        if record.is_final() {
            let sent_by_client =
                if record.reporter == "source" { record.sent_bytes } else { record.received_bytes };
            finals.entry((names(record).0, record.source())).or_insert_with(Vec::new).push(sent_by_client);
        }
    }
    let late: Vec<_> = finals.iter().filter(|((client, _), _)| client == "late").collect();
    assert!(!late.is_empty());
    for (connection, sent) in late {
        assert!(sent.len() == 2 && sent[0] == sent[1] && sent[0] > 0, "{connection:?}: {sent:?}");
    }
}

/// *Scenario*: Longwave starts before the daemon. The daemon starts, stops with its containers, and starts again with other containers at
/// the same address.
/// *Guarantees*: Longwave reports records, and later names, without a restart. The names of removed containers are no longer used. The
/// missing daemon is logged once, with the remedy, and is visible in the metrics.
fn the_daemon_may_start_late_and_restart() {
    let _turn = gate::privileged();
    let mut docker = Docker::start();
    docker.run(&["network", "create", "--subnet", "10.214.8.0/24", "shop"]);
    let address = ["--network", "shop", "--ip", "10.214.8.10"];
    docker.stop_daemon();
    let longwave = start(&docker);
    longwave.await_stderr("cannot be reached, containers have no names until it can", LIMIT);
    let scrape = |docker: &Docker| docker.netns.enter(|| longwave.telemetry());
    let value =
        |docker: &Docker, name: &str| scrape(docker).sum(&format!("longwave_extension_docker_{name}"), &[]);
    assert_eq!((value(&docker, "connected"), value(&docker, "connects")), (0, 0));

    docker.start_daemon();
    docker.run_echo("shop-web-1", &[&address[..], &COMPOSE_WEB].concat(), PORT);
    docker.run_sender("client", &["--network", "shop"], "10.214.8.10", PORT);
    await_both(&longwave, ("client", "shop-web-1", "shop/web"));
    assert_eq!((value(&docker, "connected"), value(&docker, "containers")), (1, 2));

    docker.stop_daemon();
    longwave.await_stderr("was lost, known names are kept until it is restored", LIMIT);
    assert_eq!((value(&docker, "connected"), value(&docker, "containers")), (0, 2));
    docker.start_daemon();
    docker.run_echo("other", &address, PORT);
    docker.run_sender("late", &["--network", "shop"], "10.214.8.10", PORT);
    await_both(&longwave, ("late", "other", "unknown/unknown"));
    assert_eq!((value(&docker, "connected"), value(&docker, "containers")), (1, 2));
    assert_eq!(value(&docker, "connects"), 2);
    let finished = longwave.stop();
    assert_eq!(
        finished.stderr.matches("cannot be reached, containers have no names").count(),
        1,
        "{}",
        finished.stderr
    );
    let wrong = finished.records.iter().find(|record| {
        let (client, server, _) = names(record);
        record.event() != "fail" && ((client == "late") != (server == "other"))
    });
    assert!(wrong.is_none(), "{wrong:?}");
}

/// *Scenario*: clients on the host connect to a server in the host's network, and to one on the bridge with a published port. They reach
/// the latter through docker-proxy, through address translation in the kernel, and directly.
/// *Guarantees*: both reporters name the server in the host's network, by its cgroup. Connections to the published port have the Compose
/// service and, if the kernel translates them, the workload. Sent and received bytes equal those of the client.
fn the_hosts_network_and_published_ports_are_named() {
    let _turn = gate::privileged();
    let docker = Docker::start();
    let published = format!("{PUBLISHED}:{PORT}");
    docker.run_echo("shop-web-1", &[&["-p", &published][..], &COMPOSE_WEB].concat(), PORT);
    docker.run_echo("in-host", &["--network", "host"], PORT);
    let inspect = |what: &str| docker.run(&["inspect", "--format", what, "shop-web-1"]);
    let inner: SocketAddr = format!("{}:{PORT}", inspect("{{.NetworkSettings.IPAddress}}")).parse().unwrap();
    let gateway: SocketAddr =
        format!("{}:{PUBLISHED}", inspect("{{.NetworkSettings.Gateway}}")).parse().unwrap();
    let local = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));

    let longwave = start(&docker);
    let in_host = exchange(&docker, local(PORT), 1_111);
    let by_proxy = exchange(&docker, local(PUBLISHED), 2_222);
    let translated = exchange(&docker, gateway, 3_333);
    let directly = exchange(&docker, inner, 4_444);
    for client in [in_host, by_proxy, translated, directly] {
        await_finals_of(&longwave, client, 2);
    }
    let finished = longwave.stop();

    for (client, bytes, server, service) in [
        (in_host, 1_111, "in-host", "unknown/unknown"),
        // The server's socket belongs to the proxy, but the client connected to the service.
        (by_proxy, 2_222, "docker-proxy", "shop/web"),
        (translated, 3_333, "shop-web-1", "shop/web"),
        (directly, 4_444, "shop-web-1", "shop/web"),
    ] {
        for reporter in ["source", "destination"] {
            let record = final_of(&finished, client, reporter);
            let (_, found, meant) = names(record);
            assert_eq!((found.as_str(), meant.as_str()), (server, service), "{reporter} {record:?}");
            assert_eq!((record.sent_bytes, record.received_bytes), (bytes, bytes), "{reporter} {record:?}");
        }
    }
}

fn main() -> ExitCode {
    harness::run(tests![
        names_follow_containers_under_traffic,
        the_daemon_may_start_late_and_restart,
        the_hosts_network_and_published_ports_are_named,
    ])
}
