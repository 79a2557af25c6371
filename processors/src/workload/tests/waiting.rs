//! Records that wait for their names.

use longwave_pipeline::model::Role;

use super::fakes::*;
use super::*;

fn pod() -> Pod {
    Pod::new("db", "", "10.1.0.9")
}

/// Record `number` of a connection to the pod, with a tick and a time of observation in seconds.
fn to_pod(cookie: u64, number: u64, tick: u64, observed: u64) -> ConnectionRecord {
    let mut record = record(1, cookie, "curl", "10.9.0.1:5000", "10.1.0.9:80");
    record.role = Role::Client;
    record.local.port += cookie as u16;
    record.totals.sent_bytes = number;
    ConnectionRecord { tick: at(tick), observed: at(observed), ..record }
}

/// *Scenario*: the directory learns of the pod within an interval, while a connection's update and its close wait and others pass.
/// *Guarantees*: what waits goes first with the next batch, named, in order; its time is the open window's; others never wait.
#[test]
fn names_that_come_in_time() {
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

/// *Scenario*: the directory says nothing for minutes.
/// *Guarantees*: a connection's first records wait for one interval, later ones do not; names are there as soon as they are known.
#[test]
fn names_that_do_not_come() {
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

/// *Scenario*: nothing waits (`0s`); the input ends, or the receiver stops, while records wait.
/// *Guarantees*: nothing is held; nothing is lost.
#[test]
fn nothing_is_left_behind() {
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

/// *Scenario*: the two ends of short connections on this node close in two batches; one whose other end never shows; a refused one.
/// *Guarantees*: the first waits for the second, and both are named; who waits in vain goes after the hold; a refused one does not wait.
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

/// *Scenario*: a connection's cgroup is new and no process is known, so that only a scan finds it.
/// *Guarantees*: its records wait for the scan.
#[test]
fn cgroups_that_are_looked_for() {
    let mut bench = Bench::new(&["cgroup"], &[], 5, None);
    let owner = bench.cgroup("system.slice/late.service");
    let record = to_pod(1, 0, 5, 1);
    let record = ConnectionRecord { owner: Owner { cgroup: owner.cgroup, ..Owner::default() }, ..record };
    assert_eq!(bench.records(&[closed(record)]), vec![]);
    assert_eq!(names(&bench.pass_end(5)), [pair("late", "-")]);
}
