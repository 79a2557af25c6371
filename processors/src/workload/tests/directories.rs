//! Names that extensions know.

use longwave_pipeline::model::Role;

use super::fakes::*;
use super::*;

const UID: &str = "0f7e7a5c-92a4-4d4a-a3ea-2d5a6dd0f9a1";
const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// A client's record, of a connection that was opened and seen at 100 s.
fn client(cookie: u64, owner: Owner, local: &str, peer: &str) -> ConnectionRecord {
    let base = record(1, cookie, "", local, peer);
    ConnectionRecord {
        owner: Owner { cgroup: owner.cgroup, pid: owner.pid, ..base.owner },
        role: Role::Client,
        start_known: true,
        opened: at(100),
        observed: at(100),
        tick: at(105),
        ..base
    }
}

fn root(comm: &str) -> Owner {
    record(1, 1, comm, "10.0.0.1:1", "10.0.0.1:1").owner
}

/// *Scenario*: a pod, a container, a unit and a process of the root cgroup; sources in three orders.
/// *Guarantees*: the first source that knows names the end; what nobody knows is unknown.
#[test]
fn precedence() {
    let kubernetes = Fake::new(&[Pod::new("shop", UID, "10.1.0.5")]);
    let docker = Fake::new(&[Pod::new("web", ID, "172.17.0.2"), Pod::new("pause", UID, "")]);
    for (sources, expected) in [
        (&["kubernetes", "docker", "cgroup"][..], ["shop", "web", "nginx", "bash"]),
        (&["docker", "kubernetes"], ["pause", "web", "-", "-"]),
        (&["cgroup", "kubernetes"], ["aaaaaaaaaaaa", "0123456789ab", "nginx", "bash"]),
        (&["kubernetes", "process"], ["shop", "bash", "bash", "bash"]),
    ] {
        let mut bench = Bench::new(sources, &[("kubernetes", &kubernetes), ("docker", &docker)], 0, None);
        let paths = [
            format!("kubepods/burstable/pod{UID}/{}", "a".repeat(64)),
            format!("docker/{ID}"),
            "system.slice/nginx.service".to_owned(),
        ];
        let mut owners: Vec<Owner> = paths.iter().map(|path| bench.cgroup(path)).collect();
        owners.push(root("bash"));
        for (cookie, (owner, expected)) in owners.into_iter().zip(expected).enumerate() {
            let owner = Owner { name: root("bash").name, ..owner };
            let record = client(cookie as u64, owner, "10.9.0.1:5000", "10.9.0.2:80");
            let record = ConnectionRecord { owner, ..record };
            assert_eq!(bench.named(&record), pair(expected, "-"), "{sources:?}");
        }
    }
}

/// *Scenario*: two pods in the host's network, which share its address with each other and with a unit; a process that is in no cgroup but
/// the root, with a pod's address; a pod whose cgroup is gone.
/// *Guarantees*: each is named by its cgroup, not by the address; where there is none the address tells.
#[test]
fn the_cgroup_beats_the_address() {
    let mut other = Pod::new("node-exporter", "bbbb-2222", "192.168.0.1");
    other.port = 9100;
    let pods = [Pod::new("kube-proxy", "aaaa-1111", "192.168.0.1"), other, Pod::new("shop", "", "10.1.0.5")];
    let fake = Fake::new(&pods);
    let mut bench = Bench::new(&["kubernetes", "cgroup"], &[("kubernetes", &fake)], 0, None);
    let first = bench.cgroup("kubepods/podaaaa-1111/x");
    let second = bench.cgroup("kubepods/podbbbb-2222/x");
    let unit = bench.cgroup("system.slice/sshd.service");
    for (cookie, (owner, local, expected)) in [
        (second, "192.168.0.1:5000", "node-exporter"),
        (first, "192.168.0.1:9100", "kube-proxy"),
        (unit, "192.168.0.1:9100", "sshd"),
        (root("nsenter"), "10.1.0.5:5000", "shop"),
        (root("bash"), "10.1.0.99:5000", "bash"),
    ]
    .into_iter()
    .enumerate()
    {
        let record = client(cookie as u64, owner, local, "10.9.0.2:80");
        let record = ConnectionRecord { owner: Owner { name: owner.name, ..record.owner }, ..record };
        assert_eq!(bench.named(&record), pair(expected, "-"));
    }
    // A scan that does not find the cgroup makes it one that is gone.
    let gone = Owner { cgroup: u64::MAX, ..Owner::default() };
    let record = client(90, gone, "10.1.0.5:5000", "10.9.0.2:80");
    assert_eq!(bench.named(&record), pair("-", "-"));
    assert_eq!(bench.named(&record), pair("shop", "-"));
}

/// *Scenario*: an address that a pod had until 50 s, another until 99 s, and a third since; connections of each time, one of which closes
/// long after; one that is older than the agent, seen first at 60 s.
/// *Guarantees*: each is named after who had the address when the connection began, also when asked again later.
#[test]
fn addresses_belong_to_who_had_them_then() {
    let pod = |name, from, until| Pod { from, until, ..Pod::new(name, "", "10.1.0.5") };
    let fake = Fake::new(&[pod("old", 0, 50), pod("new", 50, 99), pod("newest", 99, 1000)]);
    let mut bench = Bench::new(&["kubernetes"], &[("kubernetes", &fake)], 0, None);
    let since = |cookie, seconds| ConnectionRecord {
        opened: at(seconds),
        ..client(cookie, root(""), "10.9.0.1:5000", "10.1.0.5:80")
    };
    for (cookie, opened, expected) in [(1, 40, "old"), (2, 98, "new"), (3, 100, "newest")] {
        let record = ConnectionRecord { observed: at(200), ..since(cookie, opened) };
        assert_eq!(bench.named(&record), pair("-", expected));
        fake.moved();
        assert_eq!(bench.named(&closed(record)), pair("-", expected));
    }
    let seeded = ConnectionRecord { start_known: false, observed: at(60), ..since(4, 0) };
    assert_eq!(bench.named(&seeded), pair("-", "new"));
    fake.moved();
    assert_eq!(bench.named(&ConnectionRecord { observed: at(300), ..seeded }), pair("-", "new"));
}

/// *Scenario*: peers in the host's network of another node, told apart by port; a client there whose ephemeral port equals such a port.
/// *Guarantees*: a server's port is asked for, a client's is not.
#[test]
fn client_ports_say_nothing() {
    let mut exporter = Pod::new("node-exporter", "", "192.168.0.2");
    exporter.port = 9100;
    let fake = Fake::new(&[exporter]);
    let mut bench = Bench::new(&["kubernetes"], &[("kubernetes", &fake)], 0, None);
    let to = client(1, root(""), "10.9.0.1:5000", "192.168.0.2:9100");
    assert_eq!(bench.named(&to), pair("-", "node-exporter"));
    let from =
        ConnectionRecord { role: Role::Server, ..client(2, root(""), "10.9.0.1:80", "192.168.0.2:9100") };
    assert_eq!(bench.named(&from), pair("-", "-"));
}

/// *Scenario*: a container is renamed while its connection is open, and then forgotten by the directory; a pod's address changes hands.
/// *Guarantees*: records carry the name that was true at their time; what was known stays known; the peer stays who it was.
#[test]
fn renamed_and_forgotten() {
    let fake = Fake::new(&[Pod::new("web", ID, ""), Pod::new("db", "", "10.1.0.9")]);
    let mut bench = Bench::new(&["docker", "cgroup"], &[("docker", &fake)], 0, None);
    let owner = bench.cgroup(&format!("docker/{ID}"));
    let record = client(1, owner, "10.9.0.1:5000", "10.1.0.9:80");
    assert_eq!(bench.named(&record), pair("web", "db"));
    fake.set(&[Pod::new("web-2", ID, ""), Pod::new("other", "", "10.1.0.9")]);
    assert_eq!(bench.named(&record), pair("web-2", "db"));
    fake.set(&[]);
    assert_eq!(bench.named(&record), pair("web-2", "db"));
    assert_eq!(
        bench.named(&ConnectionRecord { owner: Owner::default(), ..closed(record) }),
        pair("web-2", "db")
    );
}

/// *Scenario*: nothing waits, and the directory starts late; both ends of one connection are on this node.
/// *Guarantees*: what else is known is shown first; open connections get their names as soon as they are there, also the peer's.
#[test]
fn names_that_come_late() {
    let fake = Fake::new(&[Pod::new("shop", UID, "10.1.0.5"), Pod::new("db", "", "10.1.0.9")]).starting();
    let mut bench = Bench::new(&["kubernetes", "cgroup"], &[("kubernetes", &fake)], 0, None);
    let owner = bench.cgroup(&format!("kubepods/burstable/pod{UID}/{ID}"));
    let unit = bench.cgroup("system.slice/curl.service");
    let out = client(1, owner, "10.1.0.5:5000", "10.1.0.9:80");
    let ours = client(2, unit, "10.9.0.1:6000", "10.1.0.5:80");
    let theirs = ConnectionRecord { role: Role::Server, ..client(3, owner, "10.1.0.5:80", "10.9.0.1:6000") };
    let all = [out, ours, theirs];
    let short = "0123456789ab";
    assert_eq!(names(&bench.records(&all)), pairs(&[(short, "-"), ("curl", short), (short, "curl")]));
    fake.started();
    assert_eq!(names(&bench.records(&all)), pairs(&[("shop", "db"), ("curl", "shop"), ("shop", "curl")]));
}

/// *Scenario*: version 1 of cgroups beside version 2: containers are in version 1 only, their sockets in version 2's root; a process that
/// is in no container, and one that is gone. Without version 1.
/// *Guarantees*: the container of the process names the end, by all sources; the rest stays with its process.
#[test]
fn containers_of_version_1() {
    let fake = Fake::new(&[Pod::new("shop", UID, "192.168.0.1")]);
    let pod = format!("4:memory:/kubepods/burstable/pod{UID}/{ID}\n1:cpu:/\n0::/\n");
    let container = format!("9:name=systemd:/docker/{ID}\n0::/\n");
    for (beside_v1, expected) in [(true, ["shop", "0123456789ab", "bash", "bash"]), (false, ["bash"; 4])] {
        let mut bench = Bench::hybrid(&["kubernetes", "cgroup"], &[("kubernetes", &fake)], beside_v1);
        let pids =
            [bench.process(&pod), bench.process(&container), bench.process("1:cpu:/user\n0::/\n"), 9999];
        for (pid, expected) in pids.into_iter().zip(expected) {
            let owner = Owner { pid, ..root("bash") };
            let base = client(pid.into(), owner, "10.9.0.1:5000", "10.9.0.2:80");
            assert_eq!(bench.named(&ConnectionRecord { owner, ..base }), pair(expected, "-"));
        }
    }
}

/// *Scenario*: a source that names nobody, where the graph has none of that id.
/// *Guarantees*: the error says where.
#[test]
fn a_source_that_names_nobody() {
    let config = WorkloadConfig { sources: vec!["health_check".into()], ..Default::default() };
    let context = context("workload", "logs", false).0;
    let error =
        WorkloadProcessor::with(&config, &context, None, "/nonexistent".as_ref(), None).err().unwrap();
    let expected = "processors::workload: sources: extension \"health_check\" does not resolve names: remove it from `sources`";
    assert_eq!(error.to_string(), expected);
}
