//! Tests of `filter`.

use std::num::NonZeroU64;

use longwave_pipeline::component::{DropReason, Dropped, Processor};
use longwave_pipeline::model::{
    Batch, ConnectionId, ConnectionRecord, Endpoint, Event, Interner, Names, PassEnd, Role, RoundTrip,
    Service, Totals, UnixNanos, Workload,
};

use super::{FilterConfig, FilterProcessor};
use crate::testing::{context, problems};

fn config(yaml: &str) -> FilterConfig {
    serde_yaml::from_str(yaml).unwrap()
}

fn keeps(rules: &FilterConfig, record: &ConnectionRecord) -> bool {
    rules.keeps_connection(record) && rules.keeps_event(record.event)
}

fn record(local: &str, peer: &str) -> ConnectionRecord {
    let end = |text: &str| {
        let address: std::net::SocketAddr = text.parse().unwrap();
        Endpoint { address: address.ip(), port: address.port() }
    };
    ConnectionRecord { local: end(local), peer: end(peer), ..ConnectionRecord::blank() }
}

/// *Scenario*: rules of each group are applied to records that match and to records that do not match.
/// *Guarantees*: ports and networks match either end; a record is kept only if every group of `include` matches; a match with one group of
/// `exclude` drops it.
#[test]
fn rules_decide_what_is_kept() {
    let web = record("10.1.2.3:43210", "192.0.2.1:443");
    let ssh = ConnectionRecord {
        event: Event::Close,
        role: Role::Server,
        ..record("[fd00::1]:22", "[fd00::2]:40000")
    };
    for (rules, keeps_web, keeps_ssh) in [
        ("{}", true, true),
        ("{include: {ports: [443]}}", true, false),
        ("{include: {ports: [\"43000-44000\", 22]}}", true, true),
        ("{exclude: {ports: [\"20-30\"]}}", true, false),
        ("{include: {cidrs: [10.0.0.0/8]}}", true, false),
        ("{exclude: {cidrs: [\"fd00::/8\", 192.0.2.2]}}", true, false),
        ("{include: {cidrs: [\"::ffff:192.0.2.1\"]}}", true, false),
        ("{include: {events: [close, fail]}}", false, true),
        ("{exclude: {roles: [server]}}", true, false),
        ("{include: {ports: [443], roles: [server]}}", false, false),
        ("{include: {ports: [443], roles: [unknown]}}", true, false),
        ("{include: {ports: [443, 22]}, exclude: {ports: [443], events: [close]}}", false, false),
    ] {
        let rules_read = config(rules);
        assert_eq!((keeps(&rules_read, &web), keeps(&rules_read, &ssh)), (keeps_web, keeps_ssh), "{rules}");
    }
}

/// *Scenario*: rules on names, applied to a record with names at both ends, one with a name at one end, and one without names.
/// *Guarantees*: a name matches at either end; `unknown` and no other pattern matches the absence of a name.
#[test]
fn names_decide_what_is_kept() {
    let (workloads, services) = (Interner::default(), Interner::default());
    let workload = |name: &str, namespace: &str| {
        Some(workloads.intern(Workload {
            name: name.into(),
            namespace: namespace.into(),
            ..Workload::default()
        }))
    };
    let service = services.intern(Service { name: "cart".into(), ..Service::default() });
    let named = |local, peer, service| ConnectionRecord {
        names: Names { local, peer, service },
        ..ConnectionRecord::blank()
    };
    let both = named(workload("web", "shop"), workload("coredns", "kube-system"), Some(service));
    let one = named(workload("nginx.service", ""), None, None);
    let none = ConnectionRecord::blank();
    for (rules, kept) in [
        ("{include: {workloads: [web]}}", [true, false, false]),
        ("{include: {workloads: [\"*.service\", \"core?ns\"]}}", [true, true, false]),
        ("{include: {workloads: [\"*\"]}}", [true, true, false]),
        ("{exclude: {workloads: [unknown]}}", [true, false, false]),
        ("{exclude: {namespaces: [\"kube-*\"]}}", [false, true, true]),
        ("{include: {namespaces: [unknown]}}", [false, true, true]),
        ("{include: {services: [cart]}}", [true, false, false]),
        ("{exclude: {services: [unknown]}}", [true, false, false]),
        ("{include: {workloads: [web], namespaces: [default]}}", [false, false, false]),
        ("{include: {namespaces: [shop]}, exclude: {workloads: [coredns]}}", [false, false, false]),
    ] {
        let read = config(rules);
        assert_eq!([&both, &one, &none].map(|record| keeps(&read, record)), kept, "{rules}");
    }
}

/// *Scenario*: connections whose names arrive, change, or make the rules drop them while they are open, in both kinds of pipelines.
/// *Guarantees*: a metrics pipeline receives the end of every connection of which it received a record, and nothing is stored of ended
/// connections; a logs pipeline judges each record by its own names.
#[test]
fn connections_are_kept_to_their_end() {
    let workloads = Interner::default();
    let record = |cookie, event, name: &str| ConnectionRecord {
        id: ConnectionId { cookie, ..ConnectionId::default() },
        event,
        names: Names {
            local: (!name.is_empty())
                .then(|| workloads.intern(Workload { name: name.into(), ..Workload::default() })),
            ..Names::default()
        },
        ..ConnectionRecord::blank()
    };
    let records = [
        record(1, Event::Open, ""),
        record(2, Event::Open, "noise"),
        record(1, Event::Update, "noise"),
        record(2, Event::Update, "web"),
        record(1, Event::Close, "noise"),
        record(2, Event::Vanished, "noise"),
        // The connection is another one with the same identity: nothing of the first one is stored.
        record(1, Event::Update, "noise"),
        record(3, Event::Close, "web"),
        record(3, Event::Update, "noise"),
    ];
    let kept_in = |pipeline: &str| {
        let (context, _accounting) = context("filter", pipeline, false);
        let mut filter = FilterProcessor::new(&config("{exclude: {workloads: [noise]}}"), &context).unwrap();
        let mut out = Vec::new();
        filter.process(Batch::records(records.to_vec()), &mut out).unwrap();
        let [Batch::Records(kept)] = &out[..] else { panic!() };
        kept.iter().map(|record| (record.id.cookie, record.event)).collect::<Vec<_>>()
    };
    let whole_connections = [
        (1, Event::Open),
        (1, Event::Update),
        (2, Event::Update),
        (1, Event::Close),
        (2, Event::Vanished),
        (3, Event::Close),
    ];
    assert_eq!(kept_in("metrics"), whole_connections);
    assert_eq!(kept_in("logs"), [(1, Event::Open), (2, Event::Update), (3, Event::Close)]);
}

/// *Scenario*: a condition on a measure and on the event, in a metrics and a logs pipeline.
/// *Guarantees*: a metrics pipeline keeps a connection from the record that meets the condition until its end; a logs pipeline judges each
/// record. A condition on ports needs no memory of connections.
#[test]
fn a_condition_decides_what_is_kept() {
    let record = |cookie, event, milliseconds: u64| ConnectionRecord {
        id: ConnectionId { cookie, ..ConnectionId::default() },
        event,
        round_trip: RoundTrip { smoothed: NonZeroU64::new(milliseconds * 1_000_000), ..RoundTrip::default() },
        ..ConnectionRecord::blank()
    };
    let records = [
        record(1, Event::Open, 1),
        record(1, Event::Update, 60),
        record(2, Event::Update, 1),
        record(1, Event::Close, 1),
        record(2, Event::Close, 1),
    ];
    let kept_in = |pipeline: &str, rules: &str| {
        let (context, _accounting) = context("filter", pipeline, false);
        let mut filter = FilterProcessor::new(&config(rules), &context).unwrap();
        let mut out = Vec::new();
        filter.process(Batch::records(records.to_vec()), &mut out).unwrap();
        out.iter().map(Batch::items).sum::<u64>()
    };
    assert_eq!(kept_in("metrics", "{where: rtt>50ms}"), 2);
    assert_eq!(kept_in("logs", "{where: rtt>50ms}"), 1);
    assert_eq!(kept_in("logs", "{where: rtt>50ms, exclude: {events: [update]}}"), 0);
    assert_eq!(kept_in("metrics", "{where: event=open or event=update}"), 5);
    assert_eq!(kept_in("metrics", "{where: port=80}"), 0);
}

/// *Scenario*: batches of which one record, no record, or all records are dropped, and a watermark.
/// *Guarantees*: kept records keep their order; a batch without drops is not copied; no empty batch is sent; drops are counted with their
/// traffic.
#[test]
fn drops_are_counted() {
    let (context, accounting) = context("filter", "logs", false);
    let mut filter = FilterProcessor::new(&config("{exclude: {ports: [22]}}"), &context).unwrap();
    let sent = |cookie, peer: &str| ConnectionRecord {
        id: ConnectionId { cookie, ..ConnectionId::default() },
        delta: Totals { sent_bytes: 100, received_bytes: 11, ..Totals::default() },
        ..record("127.0.0.1:1000", peer)
    };
    let mut run = |batch: Batch| {
        accounting.nodes()[0].add_incoming(batch.items());
        let mut out = Vec::new();
        filter.process(batch, &mut out).unwrap();
        accounting.nodes()[0].add_outgoing(out.iter().map(Batch::items).sum());
        out
    };

    let shared =
        Batch::records(vec![sent(1, "127.0.0.1:80"), sent(2, "127.0.0.1:22"), sent(3, "127.0.0.1:80")]);
    for batch in [
        shared.clone(),
        Batch::records(match &shared {
            Batch::Records(r) => r.to_vec(),
            _ => vec![],
        }),
    ] {
        let [Batch::Records(kept)] = &run(batch)[..] else { panic!() };
        assert_eq!(kept.iter().map(|r| r.id.cookie).collect::<Vec<_>>(), [1, 3]);
    }

    let whole = Batch::records(vec![sent(4, "127.0.0.1:80")]);
    let ([Batch::Records(kept)], Batch::Records(given)) = (&run(whole.clone())[..], &whole) else { panic!() };
    assert!(std::sync::Arc::ptr_eq(kept, given));

    assert!(run(Batch::records(vec![sent(5, "127.0.0.1:22")])).is_empty());
    assert_eq!(run(Batch::PassEnd(PassEnd { tick: UnixNanos(5), last: false })).len(), 1);
    assert_eq!(accounting.nodes()[0].dropped(), [(DropReason::FILTERED, Dropped { items: 3, bytes: 333 })]);
    assert_eq!(accounting.imbalances(), []);
}

/// *Scenario*: rules that hide the closes of connections from a `window`, and rules that do not.
/// *Guarantees*: the first are refused in metrics pipelines, and the error gives the reason; in logs pipelines all rules are valid.
#[test]
fn closes_are_not_hidden_from_windows() {
    let make = |rules: &str, pipeline: &str| {
        FilterProcessor::new(&config(rules), &context("filter", pipeline, false).0).err()
    };
    insta::assert_snapshot!(make("{include: {events: [open, update]}}", "metrics/web").unwrap(), @"processors::filter: the rules on events drop close and vanished but keep open or update, so the window processor of service::pipelines::metrics/web would count those connections as open forever: keep close and vanished, or use the filter in a logs pipeline");
    assert!(make("{exclude: {events: [vanished]}}", "metrics").is_some());
    for rules in
        ["{exclude: {events: [update]}}", "{include: {events: [fail]}}", "{exclude: {events: [open, fail]}}"]
    {
        assert!(make(rules, "metrics").is_none(), "{rules}");
    }
    assert!(make("{include: {events: [open]}}", "logs").is_none());
}

/// *Scenario*: invalid settings.
/// *Guarantees*: all are reported together, each with its cause and remedy.
#[test]
fn invalid_settings_are_reported() {
    let factory = super::factory();
    insta::assert_snapshot!(problems(&factory, "filter", "{}"), @"processors::filter: has no rules: give include or exclude a group (ports, cidrs, events, roles, workloads, namespaces or services), give where a condition, or remove the processor");
    insta::assert_snapshot!(problems(&factory, "filter", "{where: 'workload=web or rrt>5ms'}"), @r#"processors::filter: where: column 17: unknown field "rrt" (did you mean rtt?)"#);
    insta::assert_snapshot!(problems(&factory, "filter", "{include: {ports: [443, 70000, 9000-8000], cidrs: [10.0.0.1/8, web]}}"), @r#"
    processors::filter: include::ports::1: invalid port "70000" (write a port such as 443, or a range such as "8000-9000"; ports end at 65535)
    processors::filter: include::ports::2: port range "9000-8000" is empty (write the lower port first: "8000-9000")
    processors::filter: include::cidrs::0: network "10.0.0.1/8" has bits set beyond its prefix (write 10.0.0.0/8 for the network, 10.0.0.1 for the address)
    processors::filter: include::cidrs::1: invalid network "web" (write for example 10.0.0.0/8, fd00::/8 or 192.0.2.1)
    "#);
    insta::assert_snapshot!(problems(&factory, "filter", "{include: {events: [closed]}, exclude: {role: [client]}}"), @r#"
    processors::filter: include::events::0: unknown value "closed" (valid values: [open update close fail vanished]) (did you mean "close"?)
    'processors::filter::exclude' has invalid keys: role (did you mean "roles"?)
    "#);
    insta::assert_snapshot!(problems(&factory, "filter", "{include: {events: [open], roles: [client]}, exclude: {events: [open], roles: [client, server]}}"), @r#"
    processors::filter: exclude::events: excludes every event that include::events lists, so that nothing is kept: remove one of them
    processors::filter: exclude::roles: excludes every role that include::roles lists, so that nothing is kept: remove one of them
    "#);
    insta::assert_snapshot!(problems(&factory, "filter", "{include: {workloads: [\"\"], services: [a]}, exclude: {services: [b, a]}}"), @r#"
    processors::filter: include::workloads::0: an empty name matches nothing (write a name, a pattern such as "web-*", or unknown for names that no source resolves)
    processors::filter: exclude::services: excludes every service that include::services lists, so that nothing is kept: remove one of them
    "#);
    insta::assert_snapshot!(problems(&factory, "filter", "{include: {services: [a], ports: [443]}, exclude: {services: [b, a], ports: [443]}}"), @"
    processors::filter: exclude::ports: excludes every port that include::ports lists, so that nothing is kept: remove one of them
    processors::filter: exclude::services: excludes every service that include::services lists, so that nothing is kept: remove one of them
    ");
}

/// *Scenario*: settings are printed (`print-config`) and read again.
/// *Guarantees*: they are equal to the original settings.
#[test]
fn settings_survive_printing() {
    let settings = config(
        "{include: {ports: [443, \"8000-9000\"], cidrs: [10.0.0.0/8, 192.0.2.1]}, exclude: {roles: [client], workloads: [\"web-*\"]}, where: \"rtt>5ms\"}",
    );
    assert_eq!(config(&serde_yaml::to_string(&settings).unwrap()), settings);
}
