//! Records and a window, and the golden files with their encoded forms. A test exports [`records`] or [`window`] and compares the result
//! with [`LOGS`], [`METRICS`] or [`RECORDING`].

use std::num::{NonZeroU32, NonZeroU64};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use longwave_pipeline::model::{
    CloseReason, ConnectionId, ConnectionLimits, ConnectionRecord, End, Endpoint, Event, FailReason, Gauges,
    Interner, Level, LimitDetails, Limits, Measures, Names, OptionalCount, Owner, OwnerSource, PassEnd, Role,
    RoundTrip, Series, SeriesAttributes, SeriesKey, Service, TcpState, Totals, UnixNanos, Window, Workload,
};

/// Access log of [`records`]: one JSON object per line.
pub const LOGS: &str = include_str!("../golden/logs.jsonl");
/// The series of [`window`]: one JSON object per line.
pub const METRICS: &str = include_str!("../golden/metrics.jsonl");
/// Record file with [`records`] and [`pass_end`], in the current version of the format.
pub const RECORDING: &[u8] = include_bytes!("../golden/recording.lwr");
/// The same in version 1 of the format.
pub const RECORDING_V1: &[u8] = include_bytes!("../golden/recording-v1.lwr");
/// The same in version 2 of the format.
pub const RECORDING_V2: &[u8] = include_bytes!("../golden/recording-v2.lwr");

/// The same in version 3 of the format.
pub const RECORDING_V3: &[u8] = include_bytes!("../golden/recording-v3.lwr");

/// Start of the window: 2026-11-21T08:00:00Z.
pub const START: UnixNanos = UnixNanos(1_795_248_000_000_000_000);
/// End of the window: five seconds later.
pub const END: UnixNanos = UnixNanos(1_795_248_005_000_000_000);

/// Path of a golden file in the source tree, for tests that update it (`LONGWAVE_UPDATE_GOLDEN=1`).
pub fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(name)
}

/// End of the pass that the records belong to.
pub fn pass_end() -> PassEnd {
    PassEnd { tick: END, last: false }
}

/// One record of each event: open, update, close, fail, vanished.
pub fn records() -> Vec<ConnectionRecord> {
    let (workloads, services) = (Interner::default(), Interner::default());
    let checkout = workloads.intern(Workload {
        name: "checkout".into(),
        kind: "Deployment".into(),
        namespace: "shop".into(),
        pod: "checkout-7d9f6c5b8-x2x7q".into(),
        node: "node-1".into(),
        container: "app".into(),
        container_id: "3f2a9c".into(),
        ..Workload::default()
    });
    let cart = workloads.intern(Workload {
        name: "cart".into(),
        kind: "StatefulSet".into(),
        namespace: "shop".into(),
        pod: "cart-0".into(),
        node: "node-2".into(),
        ..Workload::default()
    });
    let odd = workloads.intern(Workload {
        name: "odd \"one\"\n\u{1F980}".into(),
        kind: "Process".into(),
        ..Workload::default()
    });
    let service =
        services.intern(Service { name: "cart".into(), namespace: "shop".into(), ambiguous: false });
    let unsure =
        services.intern(Service { name: "cart-canary".into(), namespace: "shop".into(), ambiguous: true });

    // Limits of a connection that nothing limited, of a kernel that has all of them.
    let zeros = Limits::of_fields([OptionalCount::new(0); 7]);
    let unlimited = LimitDetails {
        total: zeros,
        delta: zeros,
        congestion_control: *b"cubic\0\0\0\0\0\0\0\0\0\0\0",
        ..LimitDetails::default()
    };
    let open = ConnectionRecord {
        id: ConnectionId {
            boot: 0xb007_1d42,
            netns: 4_026_531_840,
            cookie: 0x2a,
            generation: 0x1234_5678_9abc,
        },
        event: Event::Open,
        role: Role::Client,
        state: TcpState::Established,
        first: true,
        start_known: true,
        local: endpoint("10.1.0.7", 51_324),
        peer: endpoint("10.2.0.9", 8080),
        owner: Owner {
            cgroup: 7_421,
            pid: 4_711,
            source: OwnerSource::Socket,
            name: *b"checkout\0\0\0\0\0\0\0\0",
        },
        opened: UnixNanos(START.0 + 1_000_000_001),
        connect_duration: nanos(412_000),
        age: 412_000,
        observed: UnixNanos(START.0 + 1_000_412_001),
        tick: END,
        round_trip: RoundTrip {
            smoothed: nanos(400_000),
            variance: nanos(200_000),
            minimum: nanos(400_000),
            receiver: None,
        },
        gauges: Gauges { cwnd: 10, mss: 1448, ..Gauges::default() },
        limits: ConnectionLimits::new(LimitDetails { pacing_rate: nanos(57_920_000), ..unlimited }),
        elapsed: OptionalCount::new(412),
        names: Names { local: Some(checkout.clone()), peer: Some(cart.clone()), service: Some(service) },
        ..ConnectionRecord::blank()
    };
    let counted = Totals {
        sent_bytes: 1_500,
        received_bytes: 9_007_199_254_740_993,
        sent_segments: 12,
        received_segments: 40,
        data_segments: 3,
        retransmits: 2,
        lost: 1,
    };
    let limited = Limits {
        busy: OptionalCount::new(3_600_000),
        peer_window: OptionalCount::new(2_500_000),
        send_buffer: OptionalCount::new(4_000),
        out_of_order: OptionalCount::new(9),
        duplicate_sacks: OptionalCount::new(1),
        delivered_ce: OptionalCount::new(0),
        timeouts: OptionalCount::new(2),
    };
    let update = ConnectionRecord {
        event: Event::Update,
        first: false,
        age: 3_998_999_999,
        observed: UnixNanos(START.0 + 4_999_000_000),
        totals: counted,
        delta: counted,
        acked: true,
        round_trip: RoundTrip {
            smoothed: nanos(312_500),
            variance: nanos(10_250),
            minimum: nanos(201_000),
            receiver: nanos(298_625),
        },
        limits: ConnectionLimits::new(LimitDetails {
            total: limited,
            delta: limited,
            ssthresh: NonZeroU32::new(7),
            zero_window: true,
            ..unlimited
        }),
        elapsed: OptionalCount::new(3_998_587),
        gauges: Gauges {
            unsent_bytes: 77,
            unread_bytes: 5,
            in_flight_bytes: 1_448,
            delivery_rate: 1_250_000,
            cwnd: 12,
            mss: 1448,
        },
        ..open.clone()
    };
    let whole = Totals {
        sent_bytes: 10,
        received_bytes: 20,
        sent_segments: 4,
        received_segments: 5,
        data_segments: 1,
        ..Totals::default()
    };
    let close = ConnectionRecord {
        id: ConnectionId { cookie: 0x2b, generation: 0x1234_5678_9abd, ..open.id },
        event: Event::Close,
        role: Role::Server,
        state: TcpState::LastAck,
        local: endpoint("2001:db8::9", 443),
        peer: endpoint("2001:db8::1:7", 40_000),
        ipv6_socket: true,
        owner: Owner { cgroup: 7_422, pid: 0, source: OwnerSource::Listener, name: [0; 16] },
        connect_duration: None,
        // A kernel before 6.7 does not count timeouts.
        limits: ConnectionLimits::new(LimitDetails {
            total: Limits { timeouts: OptionalCount::ABSENT, ..zeros },
            delta: Limits { timeouts: OptionalCount::ABSENT, ..zeros },
            ..LimitDetails::default()
        }),
        elapsed: OptionalCount::new(250_000),
        age: 250_000_000,
        observed: UnixNanos(START.0 + 1_250_000_001),
        totals: whole,
        delta: whole,
        acked: true,
        end: Some(End::Closed(CloseReason::Fin)),
        names: Names { local: Some(cart), peer: Some(checkout), service: Some(unsure) },
        ..open.clone()
    };
    let fail = ConnectionRecord {
        id: ConnectionId { cookie: 0x2c, generation: 0x1234_5678_9abe, ..open.id },
        event: Event::Fail,
        state: TcpState::SynSent,
        errno: 111,
        peer: endpoint("10.2.0.9", 81),
        owner: Owner { cgroup: 1, pid: 99, source: OwnerSource::Holder, name: *b"odd \"one\"\n\0\0\0\0\0\0" },
        connect_duration: None,
        limits: ConnectionLimits::new(unlimited),
        elapsed: OptionalCount::new(100),
        age: 100_000,
        observed: UnixNanos(START.0 + 1_000_100_001),
        round_trip: RoundTrip::default(),
        gauges: Gauges::default(),
        end: Some(End::Failed(FailReason::Refused)),
        names: Names { local: Some(odd), peer: None, service: None },
        ..open.clone()
    };
    let vanished = ConnectionRecord {
        id: ConnectionId { cookie: 0xffff_ffff_ffff_ffff, generation: 0, ..open.id },
        event: Event::Vanished,
        role: Role::Unknown,
        exact: false,
        start_known: false,
        first: false,
        opened: UnixNanos::default(),
        age: 0,
        owner: Owner::default(),
        observed: UnixNanos(START.0 + 4_999_000_001),
        totals: Totals { sent_bytes: u64::MAX, ..Totals::default() },
        connect_duration: None,
        round_trip: RoundTrip::default(),
        limits: ConnectionLimits::default(),
        elapsed: OptionalCount::ABSENT,
        end: Some(End::Closed(CloseReason::Vanished)),
        names: Names::default(),
        ..open.clone()
    };
    vec![open, update, close, fail, vanished]
}

/// One series of each level for the first connection, one of workloads for the failed connection, and an overflow series.
pub fn window() -> Window {
    let records = records();
    let (update, fail) = (&records[1], &records[3]);
    let mut measures = Measures {
        totals: update.delta,
        limits: update.limits.delta(),
        connected: update.elapsed,
        opened: 3,
        active: 1,
        min_rtt: Some(0.000_201),
        ..Measures::default()
    };
    measures.rtt.record(0.000_312_5);
    measures.connect_duration.record(0.000_412);
    measures.connection_duration.record(0.25);
    measures.connection_duration.record(1_000_000.0);
    measures.count_closed(CloseReason::Fin);
    measures.count_closed(CloseReason::ResetReceived);
    let mut failing = Measures::default();
    failing.count_failed(FailReason::Refused, 2);
    failing.count_failed(FailReason::Errno(1), 1);
    let folded =
        Measures { totals: Totals { sent_bytes: 7, ..Totals::default() }, active: 2, ..Measures::default() };

    let of = |level, record| SeriesKey::of_record(record, &SeriesAttributes::of(level));
    let series =
        |level, key, measures, ended| Series { level, key: Arc::new(key), created: START, ended, measures };
    Window {
        start: START,
        end: END,
        series: vec![
            series(Level::Service, of(Level::Service, update), measures.clone(), false),
            series(Level::Workload, of(Level::Workload, update), measures.clone(), false),
            series(Level::Workload, of(Level::Workload, fail), failing, true),
            series(Level::Connection, of(Level::Connection, update), measures, false),
            series(Level::Service, SeriesKey::Overflow, folded, false),
        ],
    }
}

fn endpoint(address: &str, port: u16) -> Endpoint {
    Endpoint { address: address.parse().unwrap(), port }
}

fn nanos(nanos: u64) -> Option<NonZeroU64> {
    NonZeroU64::new(nanos)
}
