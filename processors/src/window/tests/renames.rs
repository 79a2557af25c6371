//! Tests of connections whose names change: what moves to another series, and what does not.

use longwave_pipeline::model::{Endpoint, Owner, Reporter};

use super::*;
use crate::workload::{WorkloadConfig, WorkloadProcessor};

/// *Scenario*: an `open` record without a peer's name, an update with a name, and the close, in one window.
/// *Guarantees*: there is one series, of the last names, with the open, the close and all bytes. The first names have no series.
#[test]
fn a_short_connection_is_in_one_series() {
    let workloads = Workloads::new();
    let mut bench = Bench::new(&config(&[Level::Service, Level::Workload]));
    let open = ConnectionRecord { event: Event::Open, ..update(1, 5.0, 1) };
    bench.records([open, workloads.named(with_rtt(update(1, 5.0, 2), 100), "web")]);
    bench.records([workloads.named(close(1, 5.0, 4), "nginx")]).pass_end(5.0);
    for level in [Level::Service, Level::Workload] {
        let series = bench.only(level);
        let measures = &series.measures;
        assert_eq!(source(series), "nginx");
        assert_eq!((measures.opened, measures.closed_total(), measures.active), (1, 1, 0));
        assert_eq!(
            (measures.totals.sent_bytes, measures.rtt.count(), measures.min_rtt),
            (7, 1, Some(0.00005))
        );
    }
}

/// *Scenario*: a connection is opened and named within its first window, renamed in the second one, and renamed and closed in the third.
/// *Guarantees*: the open is counted in the series of the first window's last names, the close in that of the close's names. In between
/// only `active` moves, and bytes stay where they were counted. The moves are counted.
#[test]
fn only_active_moves_to_the_new_names() {
    let workloads = Workloads::new();
    let mut bench = Bench::new(&config(&[Level::Workload]));
    let counts = |bench: &Bench, name: &str| {
        let of_name = |series: &&Series| source(series) == name;
        let series = bench.series(Level::Workload).into_iter().find(of_name).cloned();
        series.map(|Series { measures: m, .. }| (m.opened, m.closed_total(), m.active, m.totals.sent_bytes))
    };
    bench.records([update(1, 5.0, 1), workloads.named(update(1, 5.0, 2), "a")]).pass_end(5.0);
    assert_eq!((counts(&bench, ""), counts(&bench, "a")), (None, Some((1, 0, 1, 3))));
    bench.records([workloads.named(update(1, 10.0, 4), "a"), workloads.named(update(1, 10.0, 8), "b")]);
    bench.pass_end(10.0);
    assert_eq!((counts(&bench, "a"), counts(&bench, "b")), (Some((0, 0, 0, 4)), Some((0, 0, 1, 8))));
    bench.records([workloads.named(close(1, 15.0, 16), "c")]).pass_end(15.0);
    assert_eq!((counts(&bench, "b"), counts(&bench, "c")), (Some((0, 0, 0, 0)), Some((0, 1, 0, 16))));
}

/// *Scenario*: a connection is known before it is established; it is established and closed in the second window, with other names.
/// *Guarantees*: the open and the close are in one series.
#[test]
fn a_connection_that_opens_late_is_in_one_series_too() {
    let workloads = Workloads::new();
    let mut bench = Bench::new(&config(&[Level::Workload]));
    let connecting = ConnectionRecord { state: TcpState::SynSent, first: true, ..update(1, 5.0, 0) };
    bench.records([connecting]).pass_end(5.0);
    let open = ConnectionRecord { event: Event::Open, ..update(1, 10.0, 1) };
    bench.records([open, workloads.named(close(1, 10.0, 2), "nginx")]).pass_end(10.0);
    let [old, new] = bench.series(Level::Workload)[..] else { panic!() };
    assert_eq!((old.ended, old.measures.opened, old.measures.active), (true, 0, 0));
    assert_eq!((new.measures.opened, new.measures.closed_total(), new.measures.totals.sent_bytes), (1, 1, 3));
}

/// *Scenario*: at level `connection`, names change twice in the window in which the series begins; in a later window they change, change
/// again, and return; then something changes that is no attribute.
/// *Guarantees*: a connection has at most two series in a window, with different attributes. Its series begins with the last names of its
/// first window, and continues if the names return within a window.
#[test]
fn a_connection_has_one_series_per_name() {
    let workloads = Workloads::new();
    let mut bench = Bench::new(&config(&[Level::Connection]));
    let named = |tick, bytes, name| workloads.named(seeded(update(1, tick, bytes)), name);
    bench.records([named(5.0, 1, "a"), named(5.0, 2, "b"), named(5.0, 4, "c")]).pass_end(5.0);
    let series = bench.only(Level::Connection);
    assert_eq!((source(series), series.measures.totals.sent_bytes), ("c", 7));
    let key = Arc::clone(&series.key);

    bench.records([named(10.0, 1, "d"), named(10.0, 2, "e"), named(10.0, 4, "c")]).pass_end(10.0);
    let series = bench.only(Level::Connection);
    assert!(Arc::ptr_eq(&series.key, &key) && !series.ended);
    assert_eq!((series.measures.totals.sent_bytes, series.measures.active), (7, 1));

    let mut same = named(15.0, 1, "c");
    let id = Workload {
        name: "c".into(),
        kind: "Process".into(),
        container_id: "1".into(),
        ..Workload::default()
    };
    same.names.local = Some(workloads.0.intern(id));
    bench.records([same]).pass_end(15.0);
    assert!(Arc::ptr_eq(&bench.only(Level::Connection).key, &key));

    bench.records([named(20.0, 1, "d"), named(20.0, 2, "e")]).pass_end(20.0);
    let [old, new] = bench.series(Level::Connection)[..] else { panic!() };
    assert_eq!((old.ended, old.measures.active, old.measures.totals.sent_bytes), (true, 0, 0));
    assert_eq!((source(new), new.measures.active, new.measures.totals.sent_bytes), ("e", 1, 3));
}

/// Returns a record of a connection over loopback, as the receiver sends it. Sockets are named by their process.
fn over_loopback(record: ConnectionRecord, port: u16) -> ConnectionRecord {
    let at = |port| Endpoint { address: std::net::Ipv4Addr::LOCALHOST.into(), port };
    let is_server = record.role == Role::Server;
    let (local, peer) = if is_server { (at(80), at(port)) } else { (at(port), at(80)) };
    let mut name = [0; 16];
    name[..6].copy_from_slice(if is_server { b"server" } else { b"client" });
    ConnectionRecord { local, peer, owner: Owner { cgroup: 1, name, ..Owner::default() }, ..record }
}

/// *Scenario*: a server with TCP_DEFER_ACCEPT. The client is established immediately, but the server's socket exists only when data arrives,
/// in a later window. So the client's peer has no name at first. Another connection of the same kind closes within one window. The records
/// pass through `workload`, which names them.
/// *Guarantees*: in every series and window Δactive = opened − closed + moved in − moved out, and the short connection is in one series.
#[test]
fn a_deferred_accept_moves_the_client() {
    let context = crate::testing::context("workload", "metrics", false).0;
    let sources = WorkloadConfig { sources: vec!["process".into()], ..WorkloadConfig::default() };
    let mut workload = WorkloadProcessor::of_this_host(&sources, &context).unwrap();
    let mut bench = Bench::new(&config(&[Level::Workload]));
    let mut feed = |bench: &mut Bench, batch| {
        let mut out = Vec::new();
        workload.process(batch, &mut out).unwrap();
        out.into_iter().for_each(|batch| {
            bench.feed(batch);
        });
    };
    let client = |record: ConnectionRecord, port| over_loopback(record, port);
    let server = |record, port| over_loopback(ConnectionRecord { role: Role::Server, ..record }, port);
    let open = |cookie, tick| ConnectionRecord { event: Event::Open, first: true, ..update(cookie, tick, 0) };
    let windows = [
        vec![client(open(1, 5.0), 1000), client(update(1, 5.0, 0), 1000)],
        vec![server(open(2, 10.0), 1000), client(update(1, 10.0, 5), 1000), server(update(2, 10.0, 0), 1000)],
        vec![
            client(open(3, 15.0), 2000),
            client(close(1, 15.0, 0), 1000),
            server(close(2, 15.0, 9), 1000),
            server(open(4, 15.0), 2000),
            server(close(4, 15.0, 1), 2000),
            client(close(3, 15.0, 1), 2000),
        ],
        vec![],
    ];
    for (records, number) in windows.into_iter().zip(1u32..) {
        for record in records {
            feed(&mut bench, Batch::records(vec![record]));
        }
        feed(&mut bench, Batch::PassEnd(PassEnd { tick: at(f64::from(number) * 5.0), last: false }));
    }
    let of = |reporter, destination: &str| {
        let measures = |window: &Arc<Window>| {
            let fits = |series: &&Series| {
                let flow = flow(series);
                flow.reporter == reporter && flow.destination.name.as_deref() == Some(destination)
            };
            let series = window.series.iter().find(fits);
            series.map_or((0, 0, 0), |Series { measures: m, .. }| (m.opened, m.closed_total(), m.active))
        };
        bench.windows.iter().map(measures).collect::<Vec<_>>()
    };
    assert_eq!(
        of(Reporter::Source, ""),
        [(1, 0, 1), (0, 0, 0), (0, 0, 0), (0, 0, 0)],
        "one moves out in the second window"
    );
    assert_eq!(of(Reporter::Source, "server"), [(0, 0, 0), (0, 0, 1), (1, 2, 0), (0, 0, 0)], "one moves in");
    assert_eq!(of(Reporter::Destination, "server"), [(0, 0, 0), (1, 0, 1), (1, 2, 0), (0, 0, 0)]);
}
