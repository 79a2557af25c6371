use longwave_ebpf_abi::{flag, kind};
use longwave_pipeline::model::{CloseReason, End, Event, FailReason, ObservedLimits, Role, Totals};

use super::fixture::{Bench, SECOND, Socket};

/// Scenario: a connection that lives over several passes, busy, idle, busy, closed.
/// Guarantees: each pass has one record, with the delta since the record before. Only the first record has `first`. The close has the final
/// totals and the remaining delta.
#[test]
fn a_long_connection_has_one_record_per_pass() {
    let mut bench = Bench::new(true);
    let mut socket = Socket::client(5, 10);
    socket.send(1000);
    let first = &bench.pass(&[socket.sample(20)])[0];
    assert_eq!(
        (first.event, first.first, first.delta.sent_bytes, first.acked),
        (Event::Update, true, 1000, true)
    );
    assert_eq!((first.role, first.start_known, first.opened.0), (Role::Client, true, 10));
    assert_eq!(first.connect_duration.map(|d| d.get()), Some(1000));
    assert_eq!((first.id.to_string(), first.owner.pid, first.owner.cgroup), ("0000abcd-5-a".into(), 7, 44));

    let idle = &bench.pass(&[])[0];
    assert_eq!(
        (idle.first, idle.delta, idle.totals, idle.acked),
        (false, Default::default(), first.totals, false)
    );
    assert_eq!((idle.tick.0, idle.round_trip, idle.gauges.cwnd), (2 * SECOND, first.round_trip, 10));

    socket.receive(77);
    let busy = &bench.pass(&[socket.sample(30)])[0];
    assert_eq!((busy.delta.sent_bytes, busy.delta.received_bytes, busy.acked), (0, 77, false));

    socket.send(5);
    let close = &bench.transition(&socket.close(40))[0];
    assert_eq!(
        (close.event, close.first, close.totals.sent_bytes, close.delta.sent_bytes),
        (Event::Close, false, 1005, 5)
    );
    assert_eq!(bench.pass(&[]), []);
    assert_eq!((bench.tracker.connections.entries.len(), bench.tracker.connections.origins.len()), (0, 0));
}

/// *Scenario*: of 200 connections, all but every 20th close. The others go on for two passes, then they close, too.
/// *Guarantees*: the memory of the closed ones is freed. Each of the others has a record per pass, with its own delta and total.
#[test]
fn a_burst_is_forgotten_and_the_others_go_on() {
    let mut bench = Bench::new(true);
    let mut sockets: Vec<_> = (1..=200).map(|cookie| Socket::client(cookie, cookie)).collect();
    let samples: Vec<_> = sockets.iter().map(|socket| socket.sample(1)).collect();
    assert_eq!(bench.pass(&samples).len(), 200);
    for socket in sockets.extract_if(.., |socket| socket.cookie % 20 != 0) {
        assert_eq!(bench.transition(&socket.close(2)).len(), 1);
    }
    assert_eq!((bench.pass(&[]).len(), bench.tracker.connections.entries.capacity()), (10, 10));
    for pass in 1..=2 {
        sockets.iter_mut().for_each(|socket| socket.send(socket.cookie as u32));
        let samples: Vec<_> = sockets.iter().map(|socket| socket.sample(3)).collect();
        let records = bench.pass(&samples);
        let sent: Vec<_> = records
            .iter()
            .map(|record| (record.id.cookie, record.delta.sent_bytes, record.totals.sent_bytes))
            .collect();
        let expected = sockets.iter().map(|Socket { cookie, .. }| (*cookie, *cookie, pass * cookie));
        assert_eq!(sent, expected.collect::<Vec<_>>());
    }
    for socket in &sockets {
        let close = &bench.transition(&socket.close(4))[0];
        assert_eq!((close.delta.sent_bytes, close.totals.sent_bytes), (0, 2 * socket.cookie));
    }
    assert_eq!(bench.tracker.connections.entries.capacity(), 0);
}

/// Scenario: a connection opens and closes within one interval. Another one fails.
/// Guarantees: each has one record. It has `first`, and its delta equals its totals. The failed one was connected for no time, so that nothing
/// limited it.
#[test]
fn a_short_connection_has_one_record() {
    let mut bench = Bench::new(true);
    let mut socket = Socket::client(5, 10);
    socket.send(1000);
    let records = bench.transition(&socket.close(40));
    assert_eq!(records.len(), 1);
    assert_eq!(
        (records[0].first, records[0].delta, records[0].event),
        (true, records[0].totals, Event::Close)
    );

    let failed = Socket { flags: flag::START_KNOWN | flag::CLIENT, ..Socket::client(6, 50) };
    let mut close = failed.close(SECOND);
    (close.state, close.error, close.connect_ns) = (2, 111, 0);
    let fail = &bench.transition(&close)[0];
    assert_eq!((fail.elapsed.get(), ObservedLimits::of_deltas(fail).dominant()), (Some(0), None));
    assert_eq!(
        (fail.event, fail.end, fail.errno),
        (Event::Fail, Some(End::Failed(FailReason::Refused)), 111)
    );
}

/// Scenario: a seeded connection without role flags is sampled, sends, and closes. Another one closes before any sample.
/// Guarantees: the role comes from the counters. The first record is the baseline, with totals and delta 0. Later deltas are exact.
#[test]
fn a_seeded_connection_begins_with_its_baseline() {
    let mut bench = Bench::new(true);
    let mut socket = Socket::seeded(5);
    let first = &bench.pass(&[socket.sample(20)])[0];
    assert_eq!(
        (first.role, first.start_known, first.delta, first.first),
        (Role::Client, false, Default::default(), true)
    );
    assert_eq!((first.totals.sent_bytes, first.totals.received_bytes), (5_000, 700));
    socket.send(40);
    let close = &bench.transition(&socket.close(40))[0];
    assert_eq!((close.delta.sent_bytes, close.totals.sent_bytes, close.first), (40, 5_040, false));

    let unsampled = &bench.transition(&Socket::seeded(6).close(41))[0];
    assert_eq!(
        (unsampled.delta, unsampled.totals.sent_bytes, unsampled.first),
        (Default::default(), 5_000, true)
    );
}

/// Scenario: only the second sample of a seeded connection shows its role: client, or server.
/// Guarantees: totals never decrease, deltas sum to them less those of the first record, and the last ones are exact.
#[test]
fn a_role_that_is_derived_late_keeps_the_sum() {
    for (role, syn) in [(Role::Client, 1), (Role::Server, 0)] {
        let mut bench = Bench::new(true);
        let mut socket = Socket::seeded(5);
        socket.counters.bytes_acked += syn;
        socket.counters.bytes_acked -= 1;
        let mut torn = socket.sample(20);
        torn.counters.bytes_sent -= 100;
        let first = bench.pass(&[torn])[0].clone();
        assert_eq!(first.role, Role::Unknown);
        let idle = &bench.pass(&[])[0];
        assert_eq!((idle.gauges.in_flight_bytes, idle.delta), (0, Totals::default()));
        let second = bench.pass(&[socket.sample(30)])[0].clone();
        assert_eq!((second.role, second.totals.sent_bytes), (role, 5_000));
        socket.send(10);
        let close = &bench.transition(&socket.close(40))[0];
        assert_eq!(close.totals.sent_bytes, 5_010);
        assert!(first.totals.sent_bytes <= second.totals.sent_bytes);
        let sum = second.delta.sent_bytes + close.delta.sent_bytes;
        assert_eq!(first.totals.sent_bytes + sum, close.totals.sent_bytes);
    }
}

/// Scenario: the close of a connection has one byte less than a live record, because it cannot be known whether a FIN is among them, or
/// because the live record was wrong.
/// Guarantees: what was reported is not taken back: totals do not decrease, deltas sum to them, and the record is marked. A wrong live
/// record is counted.
#[test]
fn a_close_takes_nothing_back() {
    for (certainty, overcounted) in [(flag::UNCERTAIN, 0), (0, 1)] {
        let mut bench = Bench::new(true);
        let mut socket = Socket::client(5, 10);
        socket.receive(700);
        let live = bench.pass(&[socket.sample(20)])[0].clone();
        assert_eq!((live.totals.received_bytes, live.exact), (700, true));
        socket.counters.bytes_received -= 1;
        let mut close = socket.close(40);
        close.flags |= certainty;
        let close = &bench.transition(&close)[0];
        assert_eq!((close.totals.received_bytes, close.delta.received_bytes), (700, 0));
        assert!(!close.exact);
        assert_eq!(bench.tracker.discards().overcounted_bytes, overcounted);
    }
}

/// Scenario: the first update of a connection is refused, and then the connection is idle. A later update is refused, and then the
/// connection closes.
/// Guarantees: the next record contains what was refused, and has `first` if the refused one had it.
#[test]
fn the_next_record_contains_what_was_refused() {
    let mut bench = Bench::new(true);
    let mut socket = Socket::client(5, 10);
    socket.send(1000);
    assert_eq!(bench.pass_with(&[socket.sample(20)], true, true), []);
    let next = &bench.pass(&[])[0];
    assert_eq!(
        (next.first, next.delta.sent_bytes, next.totals.sent_bytes, next.acked),
        (true, 1000, 1000, true)
    );
    assert_eq!(bench.pass(&[])[0].delta.sent_bytes, 0);

    socket.send(1);
    bench.pass_with(&[socket.sample(30)], true, true);
    socket.send(1);
    let close = &bench.transition(&socket.close(40))[0];
    assert_eq!((close.delta.sent_bytes, close.totals.sent_bytes), (2, 1002));
}

/// Scenario: a sample after the close, a close reported twice (with and without a table entry), two samples in one pass.
/// Guarantees: each is discarded and counted under its reason. The content of the repeated sample is in the next record.
#[test]
fn repetitions_are_discarded_and_counted() {
    let mut bench = Bench::new(true);
    let mut socket = Socket::client(5, 10);
    let early = socket.sample(20);
    socket.send(9);
    assert_eq!(bench.pass(&[early, socket.sample(21)]).len(), 1);
    assert_eq!(bench.pass(&[])[0].delta.sent_bytes, 9);
    let close = socket.close(40);
    assert_eq!(bench.transition(&close).len(), 1);
    assert_eq!(bench.transition(&close), []);
    let again = Socket { generation: 0, flags: flag::UNTRACKED | flag::ESTABLISHED, ..socket.clone() };
    assert_eq!(bench.transition(&again.close(45)), []);
    assert_eq!(bench.pass(&[socket.sample(39)]), []);
    let discards = bench.tracker.discards();
    assert_eq!((discards.late_update, discards.duplicate_end, discards.repeated_sample), (1, 2, 1));
}

/// Scenario: connect → AF_UNSPEC → connect on one socket, once with the close reported, once with the close lost.
/// Guarantees: two connections with their own ids. The one whose close was lost is reported as vanished.
#[test]
fn a_reconnected_socket_is_another_connection() {
    let mut bench = Bench::new(true);
    let (first, second, third) = (Socket::client(5, 10), Socket::client(5, 50), Socket::client(5, 90));
    bench.pass(&[first.sample(20)]);
    assert_eq!(bench.transition(&first.close(40))[0].id.generation, 10);
    let update = &bench.pass(&[second.sample(60)])[0];
    assert_eq!((update.id.generation, update.first), (50, true));
    let records = bench.pass(&[third.sample(100)]);
    assert_eq!(records[0].end, Some(End::Closed(CloseReason::Vanished)));
    assert_eq!((records[0].id.generation, records[1].id.generation, records[1].first), (50, 90, true));
}

/// Scenario: a close without an entry in the kernel's table, of a connection that was sampled, and of one that was not.
/// Guarantees: the first is reported with the stored id and delta, the second with delta 0.
#[test]
fn an_untracked_close_uses_what_is_stored() {
    let mut bench = Bench::new(true);
    let mut socket = Socket::client(5, 10);
    bench.pass(&[socket.sample(20)]);
    socket.send(8);
    let untracked = Socket { generation: 0, flags: flag::UNTRACKED | flag::ESTABLISHED, ..socket };
    let close = &bench.transition(&untracked.close(40))[0];
    assert_eq!((close.id.generation, close.start_known, close.delta.sent_bytes), (10, true, 8));
    let unknown = Socket { cookie: 6, ..untracked };
    let close = &bench.transition(&unknown.close(40))[0];
    assert_eq!((close.start_known, close.delta, close.totals.sent_bytes), (false, Default::default(), 8));
}

/// Scenario: the kernel finds a socket gone. Another one has no samples any more, and in one pass samples are lost.
/// Guarantees: both are reported as vanished with their last totals. Only passes without lost samples count.
#[test]
fn gone_sockets_vanish() {
    let mut bench = Bench::new(true);
    let mut socket = Socket::client(5, 10);
    socket.send(3);
    bench.pass(&[socket.sample(20)]);
    let gone = &bench.pass(&[socket.event(kind::VANISHED, 30)])[0];
    assert_eq!((gone.event, gone.totals.sent_bytes, gone.delta.sent_bytes), (Event::Vanished, 3, 0));

    bench.pass(&[Socket::client(6, 12).sample(40)]);
    for pass in 1..12 {
        let records = bench.pass_with(&[], pass != 5, false);
        let expected = if pass == 11 { Event::Vanished } else { Event::Update };
        assert_eq!((records.len(), records[0].event), (1, expected), "pass {pass}");
    }
    assert_eq!(bench.tracker.tracked(), 0);
}

/// Scenario: opens are reported. For one of two connections, the sample arrives before the open.
/// Guarantees: the first record has `first`, whichever arrives first, and no delta is delivered twice.
#[test]
fn opens_and_samples_in_any_order() {
    let mut bench = Bench::new(true);
    let mut socket = Socket::client(5, 10);
    let open = socket.event(kind::OPEN, 11);
    let record = &bench.transition(&open)[0];
    assert_eq!((record.event, record.first, record.delta.sent_bytes), (Event::Open, true, 0));
    socket.send(4);
    let update = &bench.pass(&[socket.sample(20)])[0];
    assert_eq!((update.first, update.delta.sent_bytes), (false, 4));

    let mut other = Socket::client(6, 10);
    let open = other.event(kind::OPEN, 11);
    other.send(4);
    assert!(bench.pass(&[other.sample(20)]).iter().any(|r| r.id.cookie == 6 && r.first));
    let late = &bench.transition(&open)[0];
    assert_eq!((late.first, late.delta.sent_bytes, late.totals.sent_bytes), (false, 0, 4));
}

/// Scenario: idle records are off. A heartbeat arrives, then a sample with changes.
/// Guarantees: there is no record without changes, and the connection stays tracked.
#[test]
fn without_idle_records_only_changes_are_reported() {
    let mut bench = Bench::new(false);
    let mut socket = Socket::client(5, 10);
    assert_eq!(bench.pass(&[socket.sample(20)]).len(), 1);
    assert_eq!(bench.pass(&[]), []);
    let mut heartbeat = socket.sample(30);
    heartbeat.flags |= flag::HEARTBEAT;
    assert_eq!(bench.pass(&[heartbeat]), []);
    socket.send(1);
    assert_eq!(bench.pass(&[socket.sample(40)])[0].delta.sent_bytes, 1);
}

/// Scenario: the first sample of a busy connection is torn upwards: `bytes_acked` is newer than `snd_una`.
/// Guarantees: no live total exceeds the final one, so that the deltas sum to it.
#[test]
fn a_torn_first_sample_does_not_overcount() {
    let mut bench = Bench::new(true);
    let mut socket = Socket::client(5, 10);
    socket.send(100_000);
    let mut torn = socket.sample(20);
    torn.counters.snd_una = torn.counters.snd_una.wrapping_sub(60_000);
    let first = &bench.pass(&[torn])[0];
    assert!(first.totals.sent_bytes <= 100_000);
    let close = &bench.transition(&socket.close(40))[0];
    assert_eq!(first.delta.sent_bytes + close.delta.sent_bytes, 100_000);
    assert_eq!(bench.tracker.discards().overcounted_bytes, 0);
}

/// Scenario: the kernel side cannot assign the close of a connection to its entry, and reports the entry as vanished a minute later, when
/// the close is no longer among the recently gone connections. Then the socket connects again and that connection vanishes.
/// Guarantees: the first connection has one last record, the close. The second one has one, too.
#[test]
fn an_unassigned_close_is_not_repeated_by_its_entry() {
    for sampled in [false, true] {
        let mut bench = Bench::new(true);
        let socket = Socket::client(5, 10);
        if sampled {
            bench.pass(&[socket.sample(20)]);
        }
        let mut close = socket.close(30);
        (close.flags, close.generation) = (flag::UNTRACKED | flag::CLIENT, 0);
        assert_eq!(bench.transition(&close).len(), 1);
        for _ in 0..3 {
            bench.tracker.rotate_gone();
            bench.pass(&[]);
        }
        assert_eq!(bench.pass(&[socket.event(kind::VANISHED, 60 * SECOND)]), []);
        assert_eq!(bench.tracker.discards().late_update, 1);
        let next = Socket::client(5, 61 * SECOND);
        let records = bench.pass(&[next.event(kind::VANISHED, 62 * SECOND)]);
        assert_eq!(records.iter().map(|record| record.event).collect::<Vec<_>>(), [Event::Vanished]);
    }
}
