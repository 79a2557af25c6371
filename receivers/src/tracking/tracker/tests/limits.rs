use longwave_ebpf_abi::kind;
use longwave_pipeline::model::{ConnectionRecord, Event, Limit, LimitDetails, Limits, OptionalCount};
use proptest::prelude::*;

use super::fixture::{ALL_LIMITS, Bench, SECOND, Socket};

/// Returns the fields of limits. Absent ones are `None`.
fn fields(limits: &Limits) -> [Option<u64>; 7] {
    limits.fields().map(OptionalCount::get)
}

/// Returns a socket that the peer's window has limited for most of its life of one second, 250 jiffies.
fn limited(mut socket: Socket) -> Socket {
    let c = &mut socket.limits;
    (c.busy_jiffies, c.peer_window_jiffies, c.send_buffer_jiffies) = (20, 200, 5);
    (c.rcv_ooopack, c.dsack_dups, c.delivered_ce, c.total_rto) = (7, 3, 2, 1);
    (c.rcv_rtt_us, c.snd_ssthresh, c.snd_wnd) = (8_000, 12, 0);
    c.congestion_control = *b"cubic\0\0\0\0\0\0\0\0\0\0\0";
    c.pacing_rate = 1_000_000;
    socket
}

/// Scenario: a connection is limited by the peer's window, then idle, then sampled without pacing rate and name, then closed.
/// Guarantees: the sampled record has all fields in microseconds and segments; the idle one has the same totals and gauges, and no deltas. The
/// close has the remaining deltas. The name stays known, the pacing rate is only in the record for which it was read.
#[test]
fn limits_are_in_sampled_idle_and_last_records() {
    let mut bench = Bench::new(true);
    let mut socket = limited(Socket::client(5, 10));
    let first = &bench.pass(&[socket.sample(SECOND)])[0];
    let expected = [900_000, 800_000, 20_000, 7, 3, 2, 1].map(Some);
    assert_eq!((fields(&first.limits.details().total), fields(&first.limits.delta())), (expected, expected));
    assert_eq!(first.elapsed.get(), Some(1_000_000));
    assert_eq!(first.limits.delta().dominant(first.elapsed), Some(Limit::PeerWindow));
    assert_eq!(first.limits.details().congestion_control(), Some("cubic"));
    assert_eq!(first.round_trip.receiver.map(|nanos| nanos.get()), Some(1_000_000));
    assert_eq!(
        (first.limits.details().ssthresh.map(|s| s.get()), first.limits.details().zero_window),
        (Some(12), true)
    );
    assert_eq!(first.limits.details().pacing_rate.map(|rate| rate.get()), Some(1_000_000));

    let idle = &bench.pass(&[])[0];
    assert_eq!(
        (fields(&idle.limits.details().total), fields(&idle.limits.delta())),
        (expected, [Some(0); 7])
    );
    assert_eq!(
        (idle.elapsed.get(), idle.limits.details().congestion_control()),
        (Some(1_000_000), Some("cubic"))
    );
    assert_eq!(idle.limits.delta().dominant(idle.elapsed), Some(Limit::App));
    assert_eq!(
        (idle.limits.details().ssthresh, idle.limits.details().zero_window),
        (first.limits.details().ssthresh, true)
    );
    assert_eq!((idle.round_trip, idle.limits.details().pacing_rate), (first.round_trip, None));

    socket.limits.congestion_control = [0; 16];
    (socket.limits.pacing_rate, socket.limits.snd_wnd) = (0, 1);
    socket.limits.total_rto += 1;
    let close = &bench.transition(&socket.close(2 * SECOND + SECOND / 2))[0];
    assert_eq!(fields(&close.limits.delta()), [0, 0, 0, 0, 0, 0, 1].map(Some));
    assert_eq!((close.limits.details().total.timeouts.get(), close.elapsed.get()), (Some(2), Some(500_000)));
    assert_eq!(
        (close.limits.details().congestion_control(), close.limits.details().zero_window),
        (Some("cubic"), false)
    );
    assert!(bench.tracker.connections.rare.is_empty());
}

/// Scenario: a seeded connection that was limited before, a connection that vanishes before any sample, and a kernel without some fields.
/// Guarantees: the baseline has deltas of 0, also of time. What was not measured, or what the kernel lacks, is absent and not 0.
#[test]
fn a_baseline_is_zero_and_what_is_not_known_is_absent() {
    let mut bench = Bench::new(true);
    let mut socket = limited(Socket::seeded(5));
    let first = &bench.pass(&[socket.sample(10 * SECOND)])[0];
    assert_eq!((fields(&first.limits.delta()), first.elapsed.get()), ([Some(0); 7], Some(0)));
    assert_eq!(first.limits.details().total.busy.get(), Some(900_000));
    socket.limits.busy_jiffies += 1;
    let second = &bench.pass(&[socket.sample(10 * SECOND + 7_000)])[0];
    assert_eq!((second.limits.delta().busy.get(), second.elapsed.get()), (Some(4_000), Some(7)));

    let gone = &bench.pass(&[Socket::client(6, 10).event(kind::VANISHED, 30)])[0];
    assert_eq!((gone.event, gone.limits.details()), (Event::Vanished, LimitDetails::default()));

    let mut old = Bench::new(true);
    old.tracker.rules.limits.timeouts = false;
    old.tracker.rules.limits.jiffy_micros = None;
    old.tracker.rules.limits.peer_window = false;
    let record = &old.pass(&[limited(Socket::client(5, 10)).sample(SECOND)])[0];
    let expected = [None, None, None, Some(7), Some(3), Some(2), None];
    assert_eq!(
        (fields(&record.limits.details().total), fields(&record.limits.delta())),
        (expected, expected)
    );
    assert!(!record.limits.details().zero_window);
}

/// Scenario: an update with all fields is refused, and the next pass is idle.
/// Guarantees: the idle record has what was refused, with the time of both.
#[test]
fn a_refused_record_loses_no_limit() {
    let mut bench = Bench::new(true);
    let socket = limited(Socket::client(5, 0));
    assert_eq!(bench.pass_with(&[socket.sample(SECOND)], true, true), []);
    let next = &bench.pass(&[])[0];
    assert_eq!(fields(&next.limits.delta()), [900_000, 800_000, 20_000, 7, 3, 2, 1].map(Some));
    assert_eq!(
        (next.elapsed.get(), next.limits.details().ssthresh.map(|s| s.get())),
        (Some(2_000_000), Some(12))
    );
}

/// Scenario: the kernel's counters wrap: those of 32 bits, and the one of timeouts, which has 16.
/// Guarantees: the totals continue.
#[test]
fn totals_continue_where_a_counter_wraps() {
    let mut bench = Bench::new(true);
    let mut socket = Socket::client(5, 0);
    let steps = [(1_u32 << 31) - 1, (1 << 31) - 1, (1 << 31) - 1];
    for (pass, step) in (1..).zip(steps) {
        let c = &mut socket.limits;
        for counter in
            [&mut c.busy_jiffies, &mut c.peer_window_jiffies, &mut c.rcv_ooopack, &mut c.delivered_ce]
        {
            *counter = counter.wrapping_add(step);
        }
        c.total_rto = (c.total_rto + 30_000) & 0xffff;
        let record = &bench.pass(&[socket.sample(pass * SECOND)])[0];
        let total = pass * u64::from(step);
        assert_eq!(record.limits.details().total.peer_window.get(), Some(total * 4_000));
        assert_eq!(record.limits.details().total.busy.get(), Some(total * 8_000));
        assert_eq!(
            (
                record.limits.details().total.out_of_order.get(),
                record.limits.details().total.delivered_ce.get()
            ),
            (Some(total), Some(total))
        );
        assert_eq!(record.limits.details().total.timeouts.get(), Some(pass * 30_000));
    }
}

/// Scenario: connections that nothing limits: one closes before any sample, one after a sample. Their closes have no limits.
/// Guarantees: their fields are 0 and not absent. What the sample has read stays known.
#[test]
fn a_close_without_limits_has_zeros() {
    let mut bench = Bench::new(true);
    let short = &bench.transition(&Socket::client(5, 10).close(SECOND / 2))[0];
    assert_eq!(
        (fields(&short.limits.details().total), fields(&short.limits.delta())),
        ([Some(0); 7], [Some(0); 7])
    );
    assert!(!short.limits.details().zero_window);

    let mut socket = Socket::client(6, 10);
    (socket.limits.rcv_rtt_us, socket.limits.snd_ssthresh) = (8_000, 12);
    socket.limits.congestion_control = *b"cubic\0\0\0\0\0\0\0\0\0\0\0";
    bench.pass(&[socket.sample(SECOND)]);
    let close = &bench.transition(&socket.close(2 * SECOND))[0];
    assert_eq!(fields(&close.limits.details().total), [Some(0); 7]);
    assert_eq!(close.limits.details().congestion_control(), Some("cubic"));
    assert_eq!(close.limits.details().ssthresh.map(|segments| segments.get()), Some(12));
    assert_eq!(close.round_trip.receiver.map(|nanos| nanos.get()), Some(1_000_000));
}

/// Adds the deltas of a record to `sum` and returns whether the sum is the record's totals.
fn is_sum(sum: &mut (Limits, OptionalCount), record: &ConnectionRecord) -> bool {
    sum.0.add(&record.limits.delta());
    sum.1.add(record.elapsed);
    sum.0 == record.limits.details().total
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    /// Scenario: a connection whose counters grow or seem to decrease, with lost samples and refused passes, until it closes.
    /// Guarantees: at every record the deltas sum to the totals, none is negative, and the elapsed times sum to the age. At the close the
    /// totals are the kernel's.
    #[test]
    fn deltas_of_limits_sum_to_totals(steps in prop::collection::vec((any::<[u16; 7]>(), any::<[bool; 3]>()), 1..40)) {
        let mut bench = Bench::new(true);
        let mut socket = Socket::client(5, 0);
        let mut sum = (Limits::default(), OptionalCount::ABSENT);
        let mut was_sampled = false;
        for (grow, [sampled, refused, is_older]) in steps {
            let before = socket.limits;
            let c = &mut socket.limits;
            let counters = [
                &mut c.busy_jiffies, &mut c.peer_window_jiffies, &mut c.send_buffer_jiffies,
                &mut c.rcv_ooopack, &mut c.dsack_dups, &mut c.delivered_ce,
            ];
            counters.into_iter().zip(grow).for_each(|(counter, more)| *counter += u32::from(more));
            c.total_rto = (c.total_rto + u32::from(grow[6] / 4)) & 0xffff;
            let mut sample = socket.sample(bench.now + SECOND);
            if is_older && was_sampled {
                sample.limits = before;
            }
            was_sampled |= sampled;
            let samples: Vec<_> = sampled.then_some(sample).into_iter().collect();
            for record in bench.pass_with(&samples, false, refused) {
                prop_assert!(is_sum(&mut sum, &record));
                prop_assert_eq!(sum.1.get(), Some(record.age / 1_000));
            }
        }
        let c = socket.limits;
        let close = &bench.transition(&socket.close(bench.now + 5_000))[0];
        prop_assert!(is_sum(&mut sum, close));
        prop_assert_eq!(close.limits.details().total.out_of_order.get(), Some(c.rcv_ooopack.into()));
        let jiffies = u64::from(c.busy_jiffies) + u64::from(c.peer_window_jiffies) + u64::from(c.send_buffer_jiffies);
        prop_assert_eq!(close.limits.details().total.busy.get(), Some(jiffies * u64::from(ALL_LIMITS.jiffy_micros.unwrap().get())));
        prop_assert_eq!(sum.1.get(), Some(close.age / 1_000));
    }
}
