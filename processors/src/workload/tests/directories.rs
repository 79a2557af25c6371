//! Tests of names from extensions.

use longwave_pipeline::model::Role;

use super::fakes::*;
use super::*;

const UID: &str = "0f7e7a5c-92a4-4d4a-a3ea-2d5a6dd0f9a1";
const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// Returns a client's record of a connection that was opened and observed at 100 s.
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

/// *Scenario*: a pod, a container, a unit and a process of the root cgroup; several lists of sources.
/// *Guarantees*: the first source that has a name is used. Without a name, the end is unknown.
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

/// *Scenario*: two pods in the host's network and a unit, which share the host's address; a process in the root cgroup with a pod's
/// address; a pod whose cgroup is gone.
/// *Guarantees*: each is named by its cgroup, not by its address. Without a cgroup, the address is used.
#[test]
fn the_cgroup_takes_precedence_over_the_address() {
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
    // The cgroup is gone once a scan did not find it.
    let gone = Owner { cgroup: u64::MAX, ..Owner::default() };
    let record = client(90, gone, "10.1.0.5:5000", "10.9.0.2:80");
    assert_eq!(bench.named(&record), pair("-", "-"));
    assert_eq!(bench.named(&record), pair("shop", "-"));
}

/// *Scenario*: one pod had an address until 50 s, a second until 99 s, and a third since; connections were opened at each of these times,
/// and closed later; one connection is older than Longwave and was first observed at 60 s.
/// *Guarantees*: the peer has the name of the pod that had the address at the connection's start, even when it is looked up again later.
#[test]
fn addresses_are_looked_up_as_of_the_start() {
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

/// *Scenario*: a server in the host's network of another node, identified by its port; a client there with the same port.
/// *Guarantees*: a server's port is part of the look-up, a client's port is not.
#[test]
fn client_ports_are_not_looked_up() {
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

/// *Scenario*: a container is renamed while its connection is open, and then removed from the directory; the peer's address gets another
/// pod.
/// *Guarantees*: records have the container's current name. A name is kept after its removal. The peer's name does not change.
#[test]
fn renamed_and_removed_containers() {
    let fake = Fake::new(&[Pod::new("web", ID, ""), Pod::new("db", "", "10.1.0.9")]);
    let mut bench = Bench::new(&["docker", "cgroup"], &[("docker", &fake)], 0, None);
    let owner = bench.cgroup(&format!("docker/{ID}"));
    let record = client(1, owner, "10.9.0.1:5000", "10.1.0.9:80");
    assert_eq!(bench.named(&record), pair("web", "db"));
    fake.set(&[Pod::new("web-2", ID, ""), Pod { from: 150, ..Pod::new("other", "", "10.1.0.9") }]);
    assert_eq!(bench.named(&record), pair("web-2", "db"));
    fake.set(&[]);
    assert_eq!(bench.named(&record), pair("web-2", "db"));
    assert_eq!(
        bench.named(&ConnectionRecord { owner: Owner::default(), ..closed(record) }),
        pair("web-2", "db")
    );
}

/// *Scenario*: peers elsewhere, and local ends without a cgroup, are named by their addresses. Under open connections their pods get another
/// owner, their addresses get other pods, and the pods are forgotten, so that only a rule for the whole network has a name. A connection is
/// translated.
/// *Guarantees*: the next record has the current name of the pod that had the address at the connection's start. That name is kept, whatever
/// else has the address later.
#[test]
fn names_by_address_follow_their_pods() {
    let owned = |db, shop| [Pod::new(db, "", "10.1.0.9"), Pod::new(shop, "", "10.1.0.5")];
    let kubernetes = Fake::new(&owned("db", "shop")).translates(&["10.96.0.10"]);
    let network = Fake::new(&[Pod::new("network", "", "10.1.0.9"), Pod::new("network", "", "10.1.0.5")]);
    let tracking = FakeTracking::default();
    tracking.translate("10.1.0.5:5001", "10.96.0.10:80", "10.1.0.9:8080", "10.1.0.5:5001");
    let directories = [("kubernetes", &kubernetes), ("static", &network)];
    let mut bench = Bench::new(&["kubernetes", "static"], &directories, 0, Some(&tracking));
    let direct = client(1, root(""), "10.1.0.5:5000", "10.1.0.9:80");
    let through_service = client(2, root(""), "10.1.0.5:5001", "10.96.0.10:80");
    let mut expect = |local, peer| {
        for record in [&direct, &through_service] {
            assert_eq!(bench.named(record), pair(local, peer));
        }
    };
    expect("shop", "db");
    kubernetes.set(&owned("db-detached", "shop-detached"));
    expect("shop-detached", "db-detached");
    kubernetes.set(&owned("other", "another").map(|pod| Pod { from: 150, ..pod }));
    expect("shop-detached", "db-detached");
    kubernetes.set(&owned("db", "shop"));
    expect("shop", "db");
}

/// *Scenario*: a peer was named by its own socket, which closes. Then the directory has names for its address, and changes them.
/// *Guarantees*: the name that the socket had is kept.
#[test]
fn names_by_socket_are_not_replaced_by_those_of_addresses() {
    let fake = Fake::new(&[]);
    let mut bench = Bench::new(&["process", "kubernetes"], &[("kubernetes", &fake)], 0, None);
    let theirs = ConnectionRecord {
        owner: root("nginx"),
        role: Role::Server,
        ..client(2, root("nginx"), "10.1.0.9:80", "10.1.0.5:5000")
    };
    let ours = client(1, root(""), "10.1.0.5:5000", "10.1.0.9:80");
    bench.records(&[theirs.clone(), ours.clone()]);
    bench.records(&[closed(theirs)]);
    fake.set(&[Pod::new("db", "", "10.1.0.9")]);
    assert_eq!(bench.named(&ours).1, "nginx");
    fake.set(&[Pod::new("db-2", "", "10.1.0.9")]);
    assert_eq!(bench.named(&ours).1, "nginx");
}

/// *Scenario*: no record waits, and the directory starts late; both ends of one connection are on this node.
/// *Guarantees*: names of other sources are used first; open connections get the directory's names as soon as these are known, also for the
/// peer.
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

/// *Scenario*: versions 1 and 2 of cgroups are mounted: containers are in version 1 only, and their sockets in version 2's root; a process
/// is in no container, another is gone. The same without version 1.
/// *Guarantees*: all sources name the end by the container of its process; other ends are named by the process itself.
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

/// *Scenario*: a source that does not resolve names: the graph has no directory with that id.
/// *Guarantees*: the error names the path in the configuration.
#[test]
fn a_source_that_does_not_resolve_names() {
    let config = WorkloadConfig { sources: vec!["health_check".into()], ..Default::default() };
    let context = context("workload", "logs", false).0;
    let error =
        WorkloadProcessor::with(&config, &context, None, "/nonexistent".as_ref(), None).err().unwrap();
    let expected = "processors::workload: sources: extensions::health_check does not resolve names: remove it from `sources`";
    assert_eq!(error.to_string(), expected);
}
