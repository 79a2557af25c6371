//! Records for tests: connections between a few workloads, interval by interval.

use std::num::{NonZeroU32, NonZeroU64};

use longwave_pipeline::model::{
    CloseReason, ConnectionId, ConnectionLimits, ConnectionRecord, End, Endpoint, Event, FailReason, Gauges,
    Interner, LimitDetails, Limits, Names, OptionalCount, Owner, OwnerSource, PassEnd, Role, RoundTrip,
    TcpState, Totals, UnixNanos, Workload,
};
use longwave_testing::golden;

use crate::app::{App, Origin};
use crate::model::Model;
use longwave_pipeline::model::Batch;

/// Length of an interval in nanoseconds.
pub(crate) const INTERVAL: u64 = 5_000_000_000;

/// Returns the end of interval `number`, which begins with 0.
pub(crate) fn tick(number: u64) -> UnixNanos {
    UnixNanos(golden::START.0 + (number + 1) * INTERVAL)
}

pub(crate) fn pass_end(number: u64) -> PassEnd {
    PassEnd { tick: tick(number), last: false }
}

pub(crate) fn endpoint(text: &str) -> Endpoint {
    let address: std::net::SocketAddr = text.parse().unwrap();
    Endpoint { address: address.ip(), port: address.port() }
}

/// A record of a client's socket that was opened in interval 0. It has sent and received `bytes` in this interval.
pub(crate) fn record(
    cookie: u64,
    client: &str,
    server: &str,
    interval: u64,
    bytes: (u64, u64),
) -> ConnectionRecord {
    let delta = Totals {
        sent_bytes: bytes.0,
        received_bytes: bytes.1,
        sent_segments: 20,
        received_segments: 20,
        data_segments: 100,
        ..Totals::default()
    };
    ConnectionRecord {
        id: ConnectionId { boot: 1, netns: 1, cookie, generation: 1 },
        role: Role::Client,
        state: TcpState::Established,
        start_known: true,
        local: endpoint(client),
        peer: endpoint(server),
        opened: golden::START,
        age: (interval + 1) * INTERVAL,
        observed: tick(interval),
        tick: tick(interval),
        delta,
        totals: delta,
        acked: true,
        round_trip: RoundTrip {
            smoothed: NonZeroU64::new(1_000_000),
            variance: NonZeroU64::new(100_000),
            minimum: NonZeroU64::new(400_000),
            receiver: None,
        },
        gauges: Gauges { cwnd: 10, mss: 1448, ..Gauges::default() },
        limits: limits(interval, LimitDetails { delta: times(50, 0, 0), ..LimitDetails::default() }),
        elapsed: OptionalCount::new(INTERVAL / 1_000),
        owner: Owner {
            cgroup: 7,
            pid: 4711,
            source: OwnerSource::Connect,
            name: *b"curl\0\0\0\0\0\0\0\0\0\0\0\0",
        },
        ..ConnectionRecord::blank()
    }
}

/// Returns times of an interval, in milliseconds.
pub(crate) fn times(busy: u64, peer_window: u64, send_buffer: u64) -> Limits {
    let [busy, peer_window, send_buffer] =
        [busy, peer_window, send_buffer].map(|millis| OptionalCount::new(millis * 1_000));
    Limits { busy, peer_window, send_buffer, ..Limits::default() }
}

/// Returns limits that were those of `details.delta` in each interval up to this one.
pub(crate) fn limits(interval: u64, details: LimitDetails) -> ConnectionLimits {
    let mut total = Limits::default();
    (0..=interval).for_each(|_| total.add(&details.delta));
    ConnectionLimits::new(LimitDetails { total, ..details })
}

/// Returns what the server's socket reports of the same interval.
pub(crate) fn of_server(client: &ConnectionRecord, cookie: u64) -> ConnectionRecord {
    let swapped = |totals: Totals| Totals {
        sent_bytes: totals.received_bytes,
        received_bytes: totals.sent_bytes,
        retransmits: 0,
        lost: 0,
        ..totals
    };
    ConnectionRecord {
        id: ConnectionId { cookie, ..client.id },
        role: Role::Server,
        local: client.peer,
        peer: client.local,
        delta: swapped(client.delta),
        totals: swapped(client.totals),
        names: Names { local: client.names.peer.clone(), peer: client.names.local.clone(), service: None },
        limits: ConnectionLimits::new(LimitDetails {
            total: times(400, 0, 0),
            delta: times(100, 0, 0),
            ..LimitDetails::default()
        }),
        owner: Owner {
            cgroup: 8,
            pid: 99,
            source: OwnerSource::Listener,
            name: *b"postgres\0\0\0\0\0\0\0\0",
        },
        ..client.clone()
    }
}

/// Returns the records of five workloads in interval `number`: one flow with both ends on this host, one that is slow, one that is lossy, one
/// that fails to connect, and one with an address without a name. Connection 4 closes in interval 2.
pub(crate) fn shop(number: u64) -> Vec<ConnectionRecord> {
    let interner = Interner::default();
    let workload = |name: &str| {
        interner.intern(Workload {
            name: name.into(),
            kind: "Deployment".into(),
            namespace: "shop".into(),
            pod: format!("{name}-7d9f6c5b8-x2x7q").into(),
            node: "node-1".into(),
            ..Workload::default()
        })
    };
    let names = |local: &str, peer: Option<&str>| Names {
        local: Some(workload(local)),
        peer: peer.map(workload),
        service: None,
    };
    let with_event = |mut record: ConnectionRecord| {
        if number == 0 {
            (record.event, record.first) = (Event::Open, true);
        }
        record
    };
    let mut records = Vec::new();
    let busy = ConnectionRecord {
        names: names("frontend", Some("cart")),
        ..record(1, "10.1.0.1:40001", "10.1.0.2:8080", number, (1_000_000 + number, 9_000_000))
    };
    records.push(with_event(of_server(&busy, 101)));
    records.push(with_event(busy));
    let slow = ConnectionRecord {
        names: names("cart", Some("db")),
        round_trip: RoundTrip {
            smoothed: NonZeroU64::new(80_000_000 + 10_000_000 * (number % 5)),
            variance: NonZeroU64::new(5_000_000),
            minimum: NonZeroU64::new(2_000_000),
            receiver: NonZeroU64::new(120_000_000),
        },
        limits: limits(number, LimitDetails { delta: times(4_000, 3_200, 40), ..LimitDetails::default() }),
        ..record(2, "10.1.0.2:40002", "10.1.0.3:5432", number, (20_000, 300_000))
    };
    records.push(with_event(slow));
    let mut lossy = ConnectionRecord {
        names: names("backup", None),
        gauges: Gauges {
            unsent_bytes: 64_000,
            in_flight_bytes: 14_480,
            cwnd: 10,
            mss: 1448,
            ..Gauges::default()
        },
        limits: limits(
            number,
            LimitDetails {
                delta: Limits {
                    out_of_order: OptionalCount::new(4),
                    duplicate_sacks: OptionalCount::new(2),
                    delivered_ce: OptionalCount::new(7),
                    timeouts: OptionalCount::new(1),
                    ..times(4_900, 100, 0)
                },
                // The kernel is asked for it in the first samples only.
                pacing_rate: NonZeroU64::new(1_250_000).filter(|_| number == 0),
                ssthresh: NonZeroU32::new(7),
                congestion_control: *b"cubic\0\0\0\0\0\0\0\0\0\0\0",
                ..LimitDetails::default()
            },
        ),
        ..record(3, "10.1.0.4:40003", "203.0.113.9:443", number, (400_000, 1_000))
    };
    (lossy.delta.retransmits, lossy.delta.lost) = (5, 3);
    (lossy.totals.retransmits, lossy.totals.lost) = (5 * (number + 1), 3 * (number + 1));
    records.push(with_event(lossy));
    let mut short = ConnectionRecord {
        names: names("frontend", Some("db")),
        ..record(4, "10.1.0.1:40004", "10.1.0.3:5432", number, (100, 100))
    };
    if number == 2 {
        (short.event, short.end) = (Event::Close, Some(End::Closed(CloseReason::ResetReceived)));
    }
    if number <= 2 {
        records.push(with_event(short));
    }
    for attempt in 0..3 {
        records.push(ConnectionRecord {
            event: Event::Fail,
            state: TcpState::SynSent,
            end: Some(End::Failed(FailReason::Refused)),
            names: names("frontend", None),
            delta: Totals::default(),
            round_trip: RoundTrip::default(),
            limits: ConnectionLimits::default(),
            ..record(
                1_000 + number * 10 + attempt,
                &format!("10.1.0.1:{}", 41_000 + number * 10 + attempt),
                "10.1.0.9:81",
                number,
                (0, 0),
            )
        });
    }
    records
}

/// Returns the state of the program after `intervals` of [`shop`].
pub(crate) fn app(intervals: u64) -> App {
    let mut app = App::new(Origin::Live("/run/longwave/live.sock".to_owned()), Model::default());
    for number in 0..intervals {
        app.take(&Batch::records(shop(number)));
        app.take(&Batch::PassEnd(pass_end(number)));
    }
    app
}

/// Presses keys: each character is one, and `<Enter>`, `<Esc>`, `<Down>`, `<Up>`, `<Left>`, `<Right>`, `<Tab>`, `<End>`, `<Home>` are keys.
pub(crate) fn press(app: &mut App, keys: &str) -> Vec<crate::app::Action> {
    use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
    let mut rest = keys;
    let mut actions = Vec::new();
    while let Some(first) = rest.chars().next() {
        let named = [
            ("<Enter>", KeyCode::Enter),
            ("<Esc>", KeyCode::Esc),
            ("<Down>", KeyCode::Down),
            ("<Up>", KeyCode::Up),
            ("<Left>", KeyCode::Left),
            ("<Right>", KeyCode::Right),
            ("<Tab>", KeyCode::Tab),
            ("<End>", KeyCode::End),
            ("<Home>", KeyCode::Home),
        ];
        let found = named.into_iter().find(|(name, _)| rest.starts_with(name));
        let (name, code) = found.unwrap_or((&rest[..first.len_utf8()], KeyCode::Char(first)));
        rest = &rest[name.len()..];
        actions.push(app.key(KeyEvent::new(code, KeyModifiers::NONE)));
    }
    actions
}
