use longwave_pipeline::model::{
    CloseReason, ConnectionId, ConnectionRecord, End, Event, FailReason, Level, Limit, LimitDetails, Limits,
    OptionalCount, Role, Totals,
};
use proptest::prelude::*;

use super::*;
use crate::testing::{limits, of_server, pass_end, record, shop, tick, times};

const LEVELS: [Level; 3] = [Level::Service, Level::Workload, Level::Connection];

/// Returns the counts of rows, as their two ends report them.
fn sum<'a>(splits: impl Iterator<Item = &'a Split>) -> Measures {
    let mut total = Measures::default();
    for split in splits {
        total.add(&split.client);
        total.add(&split.server);
    }
    Measures { open: 0, rtt: None, min_rtt: None, ..total }
}

/// Returns the counts of records.
fn sum_of_records(records: &[ConnectionRecord]) -> Measures {
    let mut total = Measures::default();
    for record in records {
        let side = Side::of_record(record);
        let deltas = Measures::of_deltas(record, side);
        total.add(&Measures {
            opened: u64::from(record.event == Event::Open),
            closed: u64::from(record.event == Event::Close),
            failed: u64::from(record.event == Event::Fail),
            ..deltas
        });
    }
    total
}

/// Any records of a few connections in some intervals: each is opened, updated and closed, or fails; some have both ends here.
fn intervals() -> impl Strategy<Value = Vec<Vec<ConnectionRecord>>> {
    let action = (0..12_u64, 0..4_u8, any::<bool>(), 0..1_000_000_u64, 0..20_u64);
    proptest::collection::vec(proptest::collection::vec(action, 0..30), 1..12).prop_map(|intervals| {
        let mut generations = [0_u64; 12];
        let mut is_open = [false; 12];
        intervals
            .into_iter()
            .enumerate()
            .map(|(number, actions)| {
                let mut records = Vec::new();
                for (socket, kind, both, bytes, retransmits) in actions {
                    let index = socket as usize;
                    let mut one = record(
                        socket,
                        &format!("10.0.0.{}:{}", socket % 3 + 1, 40_000 + socket),
                        &format!("10.0.1.{}:80", socket % 4 + 1),
                        number as u64,
                        (bytes, bytes / 3),
                    );
                    one.delta = Totals { retransmits, lost: retransmits / 2, ..one.delta };
                    if kind == 3 && !is_open[index] {
                        generations[index] += 1;
                        (one.event, one.first) = (Event::Fail, true);
                        one.end = Some(End::Failed(FailReason::Refused));
                    } else if !is_open[index] {
                        generations[index] += 1;
                        (one.event, one.first, is_open[index]) = (Event::Open, true, true);
                    } else if kind == 2 {
                        (one.event, is_open[index]) = (Event::Close, false);
                        one.end = Some(End::Closed(CloseReason::Fin));
                    }
                    one.id = ConnectionId { generation: generations[index], ..one.id };
                    // The server of every other socket is on this host; each has its own generation.
                    if socket % 2 == 0 && one.event != Event::Fail {
                        let server = of_server(&one, 100 + socket);
                        if both { records.extend([server, one]) } else { records.extend([one, server]) }
                    } else {
                        records.push(one);
                    }
                }
                records
            })
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// *Scenario*: any records of some intervals, with room for all connections and rows, and with room for a few.
    /// *Guarantees*: in every interval the rows of each level have the sum of the interval's records, and the sum over all has that of all
    /// intervals.
    #[test]
    fn rows_have_the_sum_of_records(
        intervals in intervals(),
        room in prop_oneof![Just((100, 100)), Just((3, 2)), Just((1, 1))],
    ) {
        let mut model = Model::new(room.0, room.1);
        let mut all = Measures::default();
        for (number, records) in intervals.iter().enumerate() {
            model.records(records);
            model.pass_end(pass_end(number as u64));
            let expected = sum_of_records(records);
            all.add(&expected);
            for level in LEVELS {
                prop_assert_eq!(sum(model.rows(level).map(|row| &row.last)), expected, "{:?}", level);
            }
            prop_assert_eq!(sum([&model.all().total].into_iter()), all);
            prop_assert!(model.connections() <= room.0);
            prop_assert!(model.rows(Level::Workload).count() <= room.1 + 1);
        }
    }

    /// *Scenario*: any records, after which the user sets a filter that selects everything, and removes it.
    /// *Guarantees*: the rows of workloads and services have the same sums as the connections that are known, before the next interval and
    /// after it.
    #[test]
    fn a_filter_begins_with_what_is_known(intervals in intervals()) {
        let mut model = Model::default();
        for (number, records) in intervals.iter().enumerate() {
            model.records(records);
            model.pass_end(pass_end(number as u64));
        }
        let known = sum(model.rows(Level::Connection).map(|row| &row.total));
        model.set_filter(Some("port>=0".parse().or_else(|_| "port=0-65535".parse()).unwrap()));
        prop_assert_eq!(sum(model.rows(Level::Workload).map(|row| &row.total)), known);
        model.set_filter(None);
        prop_assert_eq!(sum(model.rows(Level::Service).map(|row| &row.total)), known);
        model.pass_end(pass_end(intervals.len() as u64));
        prop_assert_eq!(sum(model.rows(Level::Workload).map(|row| &row.total)), known);
    }
}

/// *Scenario*: a connection whose two sockets are on this host: the server's record is first, or the client's, or the role of one is not
/// known.
/// *Guarantees*: it is one row with the bytes of the client, each end has its own measures, and both are open once.
#[test]
fn both_ends_are_one_flow() {
    let client = record(1, "10.0.0.1:40000", "10.0.0.2:80", 0, (1_000, 70));
    let server = of_server(&client, 2);
    let unknown = |record: &ConnectionRecord| ConnectionRecord { role: Role::Unknown, ..record.clone() };
    let orders = [
        vec![client.clone(), server.clone()],
        vec![server.clone(), client.clone()],
        vec![unknown(&server), client.clone()],
        vec![unknown(&client), server.clone()],
        vec![client.clone(), unknown(&server)],
        vec![server.clone(), unknown(&client)],
        vec![unknown(&client), unknown(&server)],
    ];
    for records in orders {
        let mut model = Model::default();
        model.records(&records);
        model.pass_end(pass_end(0));
        let rows: Vec<&Row> = model.rows(Level::Connection).collect();
        let [row] = rows.as_slice() else { panic!("{rows:?}\n{records:?}") };
        let Split { once, client, server } = row.last;
        for measures in [once, client, server] {
            assert_eq!((measures.towards, measures.back, measures.open), (1_000, 70, 1), "{records:?}");
        }
        assert_eq!(once.data_segments, 200, "of both directions");
        assert_eq!(&*row.names.destination, "10.0.0.2:80", "{records:?}");
    }
}

/// *Scenario*: two containers that use the same loopback addresses and ports, in their own namespaces.
/// *Guarantees*: these are two flows.
#[test]
fn loopback_addresses_belong_to_a_namespace() {
    let one = record(1, "127.0.0.1:40000", "127.0.0.1:80", 0, (1, 1));
    let mut other = of_server(&one, 2);
    other.id.netns = 9;
    let mut model = Model::default();
    model.records(&[one, other]);
    model.pass_end(pass_end(0));
    assert_eq!(model.rows(Level::Connection).count(), 2);
}

/// *Scenario*: a connection that closes, and one that fails; then only time passes.
/// *Guarantees*: both stay for 30 seconds after the interval in which nothing happens, and are removed then, with the rows that contained
/// only them.
#[test]
fn ended_rows_stay_for_a_while() {
    let mut model = Model::default();
    for number in 0..4 {
        model.records(
            &shop(number)
                .into_iter()
                .filter(|record| (record.id.cookie == 4 || record.id.cookie >= 1_000) && number <= 2)
                .collect::<Vec<_>>(),
        );
        model.pass_end(pass_end(number));
    }
    let ended = |model: &Model| model.rows(Level::Connection).filter(|row| row.ended.is_some()).count();
    assert!(model.rows(Level::Connection).count() > 3);
    assert_eq!(ended(&model), model.rows(Level::Connection).filter(|row| row.last.once.open == 0).count());
    let mut number = 4;
    while model.rows(Level::Connection).any(|row| row.ended.is_some()) {
        let first = model.rows(Level::Connection).filter_map(|row| row.ended).min().unwrap();
        assert!(tick(number - 1).since(first) <= ENDED_ROWS_STAY);
        model.pass_end(pass_end(number));
        number += 1;
        assert!(number < 30);
    }
    let frontend = model.rows(Level::Workload).find(|row| &*row.names.source == "frontend.shop");
    assert!(frontend.is_none(), "{frontend:?}");
}

/// *Scenario*: more connections than there is room for: some ended, then only open ones.
/// *Guarantees*: the one that ended first makes room; without one the new connection is counted under (others). Both are counted.
#[test]
fn what_is_left_out_is_counted() {
    let mut model = Model::new(2, 10);
    let mut ended = record(1, "10.0.0.1:1", "10.0.0.2:80", 0, (5, 0));
    (ended.event, ended.end) = (Event::Close, Some(End::Closed(CloseReason::Fin)));
    let open = |cookie: u64| ConnectionRecord {
        event: Event::Open,
        first: true,
        ..record(cookie, &format!("10.0.0.1:{cookie}"), "10.0.0.2:80", 0, (7, 0))
    };
    model.records(&[ended, open(2), open(3), open(4)]);
    model.pass_end(pass_end(0));
    assert_eq!(model.left_out(), LeftOut { folded: 1, evicted: 1, rows: 0 });
    let others = model.rows(Level::Connection).find(|row| &*row.names.source == "(others)").unwrap();
    assert_eq!(others.last.once.towards, 12);
    assert_eq!(model.all().last.once.towards, 26);
}

/// *Scenario*: the room is full of connections that the filter excludes, and others open that it selects.
/// *Guarantees*: these get rows, and nothing is counted as left out.
#[test]
fn a_filter_makes_room() {
    let mut model = Model::new(3, 10);
    model.set_filter(Some("port=443".parse().unwrap()));
    let open = |cookie: u64, port: u16| {
        record(cookie, &format!("10.0.0.1:{}", 1_000 + cookie), &format!("10.0.0.2:{port}"), 0, (7, 0))
    };
    model.records(&[open(1, 80), open(2, 80), open(3, 80), open(4, 80)]);
    model.pass_end(pass_end(0));
    assert_eq!(model.rows(Level::Connection).count(), 0);
    model.records(&[open(5, 443), open(6, 443), open(1, 80), open(2, 80), open(3, 80)]);
    model.pass_end(pass_end(1));
    assert_eq!((model.rows(Level::Connection).count(), model.left_out().folded), (2, 0));
    assert_eq!(model.all().last.once.towards, 14);
}

/// *Scenario*: the room is full of idle connections, and one that is busy comes; then an idle one comes.
/// *Guarantees*: the busy one gets a row, and the idle ones that have none are counted under (others), also as open ones.
#[test]
fn idle_connections_make_room_for_busy_ones() {
    let mut model = Model::new(2, 10);
    let update = |cookie: u64, bytes: u64| ConnectionRecord {
        delta: Totals { sent_bytes: bytes, ..Totals::default() },
        ..record(cookie, &format!("10.0.0.1:{}", 1_000 + cookie), "10.0.0.2:80", 0, (0, 0))
    };
    model.records(&[update(1, 0), update(2, 0)]);
    model.pass_end(pass_end(0));
    for number in 1..3 {
        model.records(&[update(3, 7), update(1, 0), update(2, 0)]);
        model.pass_end(pass_end(number));
    }
    let busy = model.rows(Level::Connection).find(|row| &*row.names.source == "10.0.0.1:1003").unwrap();
    assert_eq!((busy.last.once.towards, model.left_out().folded), (7, 1));
    assert_eq!(model.all().last.once.open, 3);
}

/// *Scenario*: connections that lose segments, wait for the network, for the congestion window, for the peer, for the send buffer or for
/// timers, send segments again that were only late, are not read, have a long round trip, or have none of these.
/// *Guarantees*: each reason is given once, for the right end; the last one has none.
#[test]
fn slowness_is_explained() {
    let mut model = Model::default();
    let mut records: Vec<ConnectionRecord> =
        shop(1).into_iter().filter(|record| record.id.cookie < 4).collect();
    let mut unread = record(5, "10.0.0.1:5", "10.0.0.2:80", 1, (1, 1));
    unread.gauges.unread_bytes = 77;
    let mut peer = record(6, "10.0.0.1:6", "10.0.0.2:80", 1, (1, 1));
    peer.gauges.unsent_bytes = 88;
    let mut full = ConnectionRecord {
        limits: limits(
            1,
            LimitDetails { delta: times(5_004, 5_004, 0), zero_window: true, ..LimitDetails::default() },
        ),
        ..record(7, "10.0.0.1:7", "10.0.0.2:80", 1, (1, 1))
    };
    full.gauges.unsent_bytes = 99;
    let buffer = ConnectionRecord {
        limits: limits(1, LimitDetails { delta: times(4_000, 0, 3_000), ..LimitDetails::default() }),
        ..record(8, "10.0.0.1:8", "10.0.0.2:80", 1, (1, 1))
    };
    let late = Limits { duplicate_sacks: OptionalCount::new(3), ..times(9, 0, 0) };
    let mut late = ConnectionRecord {
        limits: limits(1, LimitDetails { delta: late, ..LimitDetails::default() }),
        ..record(9, "10.0.0.1:9", "10.0.0.2:80", 1, (1, 1))
    };
    late.delta.retransmits = 4;
    let healthy = record(10, "10.0.0.1:10", "10.0.0.2:80", 1, (1, 1));
    records.extend([unread, peer, full, buffer, late, healthy]);
    model.records(&records);
    model.pass_end(pass_end(1));
    let rows = model.rows(Level::Connection);
    let explained =
        rows.map(|row| format!("{}: {:#?}", row.names.source, explain(model.flow(row.id).unwrap())));
    insta::assert_snapshot!(explained.collect::<Vec<_>>().join("\n"));
}

/// *Scenario*: two connections of one pair of workloads, of which one waits for its peer for longer than the other one waits for the network;
/// both ends of the first one are on this host.
/// *Guarantees*: the row of the pair has the limit with the longest sum, and that of each connection its own, of the end that sends.
#[test]
fn rows_have_the_limit_with_the_longest_time() {
    let of = |cookie: u64, delta: Limits| ConnectionRecord {
        names: shop(0)[1].names.clone(),
        limits: limits(0, LimitDetails { delta, ..LimitDetails::default() }),
        ..record(cookie, &format!("10.1.0.1:{cookie}"), "10.1.0.2:80", 0, (1, 1))
    };
    let waits = of(1, times(4_900, 4_800, 0));
    let receives = of_server(&waits, 2);
    let sends = of(3, times(4_000, 0, 0));
    let mut model = Model::default();
    model.records(&[receives, waits, sends]);
    model.pass_end(pass_end(0));
    let limits = |level| {
        let rows = model.rows(level);
        rows.map(|row| row.last.once.limits.dominant()).collect::<Vec<_>>()
    };
    assert_eq!(limits(Level::Connection), [Some(Limit::PeerWindow), Some(Limit::Network)]);
    assert_eq!(limits(Level::Workload), [Some(Limit::PeerWindow)]);
    let flow = model.rows(Level::Connection).next().unwrap();
    assert_eq!(flow.last.server.limits.dominant(), Some(Limit::App));
    assert_eq!(flow.total.once.limits.longest(), Some((Limit::PeerWindow, 4_800_000)));
}
