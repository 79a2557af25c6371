//! Tests of records that wait for their names.

use longwave_pipeline::model::Role;

use super::fakes::*;
use super::*;

fn pod() -> Pod {
    Pod::new("db", "", "10.1.0.9")
}

/// Returns record `number` of a connection to the pod. `tick` and `observed` are in seconds.
fn to_pod(cookie: u64, number: u64, tick: u64, observed: u64) -> ConnectionRecord {
    let mut record = record(1, cookie, "curl", "10.9.0.1:5000", "10.1.0.9:80");
    record.role = Role::Client;
    record.local.port += cookie as u16;
    record.totals.sent_bytes = number;
    ConnectionRecord { tick: at(tick), observed: at(observed), ..record }
}

/// *Scenario*: the directory's answer becomes known within an interval, while an update and a close of a connection wait; other records
/// pass.
/// *Guarantees*: held records leave first with the next batch, with names, in order, and with a tick in the open window. Other records
/// never wait.
#[test]
fn names_that_become_known_in_time() {
    let fake = Fake::new(&[pod()]).starting();
    let mut bench = Bench::new(&["process", "kubernetes"], &[("kubernetes", &fake)], 5, None);
    let other = ConnectionRecord {
        names: longwave_pipeline::model::Names {
            peer: Some(longwave_pipeline::model::Interner::default().intern(Default::default())),
            ..Default::default()
        },
        ..to_pod(9, 0, 5, 4)
    };
    assert_eq!(bench.pass_end(5), vec![]);
    assert_eq!(bench.records(&[to_pod(1, 0, 10, 10), other]).len(), 1);
    assert_eq!(bench.pass_end(10), vec![]);
    assert_eq!(bench.records(&[closed(to_pod(1, 1, 15, 12))]), vec![]);
    assert_eq!(bench.accounting.nodes()[0].held(), 2);
    fake.started();
    let out = bench.records(&[to_pod(2, 0, 15, 13)]);
    let seen: Vec<_> = out.iter().map(|record| (record.totals.sent_bytes, record.tick.0)).collect();
    assert_eq!(seen, [(0, at(10).0 + 1), (1, at(15).0), (0, at(15).0)]);
    assert_eq!(names(&out), vec![pair("curl", "db"); 3]);
    assert_eq!(bench.accounting.nodes()[0].held(), 0);
}

/// *Scenario*: the directory's answers are pending for minutes.
/// *Guarantees*: a connection's first records wait for one interval, later records do not wait; records have names once these are known.
#[test]
fn names_that_become_known_too_late() {
    let fake = Fake::new(&[pod()]).starting();
    let mut bench = Bench::new(&["process", "kubernetes"], &[("kubernetes", &fake)], 5, None);
    assert_eq!(bench.records(&[to_pod(1, 0, 5, 5)]), vec![]);
    assert_eq!(bench.pass_end(5), vec![]);
    assert_eq!(bench.records(&[to_pod(1, 1, 10, 10)]), vec![]);
    assert_eq!(names(&bench.pass_end(10)), vec![pair("curl", "-"); 2]);
    assert_eq!(bench.named(&to_pod(1, 2, 15, 15)), pair("curl", "-"));
    fake.started();
    assert_eq!(bench.named(&to_pod(1, 3, 20, 20)), pair("curl", "db"));
}

/// *Scenario*: the directory has only a part of the name of a local end and of its peer on this node. The rest becomes known in time, too
/// late, and not at all. No record waits in a fourth case.
/// *Guarantees*: records wait for the rest. After `hold`, or if none waits, they have the part, not a name of a source of lower precedence.
/// A part never replaces a whole name.
#[test]
fn parts_of_names_wait_for_the_rest() {
    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    let pods = |name, partial| [Pod { partial, ..Pod::new(name, ID, "") }];
    let bench = |hold| {
        let fake = Fake::new(&pods("part", true));
        let mut bench = Bench::new(&["kubernetes", "cgroup"], &[("kubernetes", &fake)], hold, None);
        let owner = bench.cgroup(&format!("kubepods/burstable/pod-x/{ID}"));
        let ours = ConnectionRecord { owner, ..to_pod(1, 0, 5, 5) };
        let base = record(1, 2, "nginx", "10.1.0.9:80", "10.9.0.1:5001");
        let theirs = ConnectionRecord { role: Role::Server, tick: at(5), observed: at(5), ..base };
        (fake, bench, [ours, theirs])
    };
    let ends = |local: &str| vec![pair(local, "nginx"), pair("nginx", local)];
    let (fake, mut in_time, both) = bench(5);
    assert_eq!(in_time.records(&both), vec![]);
    fake.set(&pods("whole", false));
    let held = in_time.records(&[record(3, 3, "other", "10.7.0.1:1", "10.7.0.2:2")]);
    assert_eq!(names(&held)[..2], ends("whole"));
    fake.set(&pods("part", true));
    assert_eq!(names(&in_time.records(&both)), ends("whole"));

    let (fake, mut too_late, both) = bench(5);
    assert_eq!(too_late.records(&both), vec![]);
    assert_eq!(too_late.pass_end(5), vec![]);
    assert_eq!(names(&too_late.pass_end(10)), ends("part"));
    assert_eq!(names(&too_late.records(&both)), ends("part"));
    fake.set(&pods("whole", false));
    assert_eq!(names(&too_late.records(&both)), ends("whole"));

    let (_, mut never, both) = bench(0);
    assert_eq!(names(&never.records(&both)), ends("part"));
}

/// *Scenario*: a `hold` of `0s`; then the input ends, or the receiver stops, while records wait.
/// *Guarantees*: with `0s` no record waits; otherwise all held records leave.
#[test]
fn nothing_stays_held() {
    let fake = Fake::new(&[pod()]).starting();
    let mut bench = Bench::new(&["process", "kubernetes"], &[("kubernetes", &fake)], 0, None);
    assert_eq!(bench.records(&[to_pod(1, 0, 5, 5)]).len(), 1);
    let mut bench = Bench::new(&["process", "kubernetes"], &[("kubernetes", &fake)], 5, None);
    bench.records(&[to_pod(1, 0, 5, 5)]);
    assert_eq!(bench.finish().len(), 1);
    bench.records(&[to_pod(2, 0, 10, 10)]);
    assert_eq!(bench.batch(Batch::PassEnd(PassEnd { tick: at(7), last: true })).len(), 1);
    assert_eq!(bench.finish(), vec![]);
}

/// *Scenario*: the closes of the two ends of short connections on this node are in two batches; a connection whose other end has no record;
/// a refused connection.
/// *Guarantees*: the first close waits for the second, and both are named. A close without the other end leaves after `hold`. The record of
/// a refused connection does not wait.
#[test]
fn closes_wait_for_the_other_end() {
    let mut bench = Bench::new(&["process"], &[], 5, None);
    let short = |cookie, comm, local, peer| ConnectionRecord {
        tick: at(5),
        observed: at(1),
        ..closed(record(1, cookie, comm, local, peer))
    };
    bench.records(&[record(2, 99, "sshd", "10.0.0.9:22", "203.0.113.1:999")]);
    for (client, server) in [("127.0.0.1:5000", "127.0.0.1:80"), ("10.0.0.9:5000", "10.0.0.9:80")] {
        assert_eq!(bench.records(&[short(1, "curl", client, server)]), vec![]);
        let out = bench.records(&[short(2, "nginx", server, client)]);
        assert_eq!(names(&out), [pair("curl", "nginx"), pair("nginx", "curl")]);
    }
    let refused =
        ConnectionRecord { event: Event::Fail, ..short(3, "curl", "127.0.0.1:5001", "127.0.0.1:81") };
    assert_eq!(bench.records(&[refused]).len(), 1);
    assert_eq!(bench.records(&[short(4, "curl", "10.0.0.9:5002", "203.0.113.1:80")]).len(), 1, "elsewhere");
    assert_eq!(bench.records(&[short(5, "curl", "127.0.0.1:5002", "127.0.0.1:80")]), vec![]);
    assert_eq!(bench.pass_end(5), vec![]);
    assert_eq!(names(&bench.pass_end(10)), [pair("curl", "-")]);
}

/// *Scenario*: a connection's cgroup is new and no process is known, so that only a scan finds the cgroup.
/// *Guarantees*: the connection's records wait for the scan.
#[test]
fn records_wait_for_a_scan_of_cgroups() {
    let mut bench = Bench::new(&["cgroup"], &[], 5, None);
    let owner = bench.cgroup("system.slice/late.service");
    let record = to_pod(1, 0, 5, 1);
    let record = ConnectionRecord { owner: Owner { cgroup: owner.cgroup, ..Owner::default() }, ..record };
    assert_eq!(bench.records(&[closed(record)]), vec![]);
    assert_eq!(names(&bench.pass_end(5)), [pair("late", "-")]);
}
