//! Strategies for arbitrary records.

use std::net::IpAddr;
use std::num::{NonZeroU32, NonZeroU64};
use std::sync::{Arc, LazyLock};

use longwave_pipeline::model::{
    CloseReason, ConnectionId, ConnectionLimits, ConnectionRecord, End, Endpoint, Event, FailReason, Gauges,
    Interner, Label, LabelKey, LimitDetails, Limits, Names, OptionalCount, Owner, OwnerSource, Role,
    RoundTrip, Service, TcpState, Totals, UnixNanos, Workload,
};
use proptest::prelude::*;
use proptest::sample::select;

static WORKLOADS: LazyLock<Interner<Workload>> = LazyLock::new(Interner::default);
static SERVICES: LazyLock<Interner<Service>> = LazyLock::new(Interner::default);

/// Generates records, including ones that the kernel cannot report.
pub fn record() -> impl Strategy<Value = ConnectionRecord> {
    let identity = (any::<(u32, u32, u64, u64)>(), kind(), any::<[bool; 5]>(), any::<u16>(), end());
    let ends = (endpoint(), endpoint(), owner(), names());
    let values = (
        any::<[u64; 4]>(),
        any::<[u64; 14]>(),
        prop::array::uniform4(optional()),
        any::<([u64; 4], u32, u32)>(),
        limits(),
    );
    (identity, ends, values).prop_map(|(identity, ends, values)| {
        let ((boot, netns, cookie, generation), (event, role, state), flags, errno, end) = identity;
        let (local, peer, owner, names) = ends;
        let ([opened, observed, tick, age], counts, times, (levels, cwnd, mss), waits) = values;
        let (limits, elapsed, receiver) = waits;
        let [first, exact, ipv6_socket, start_known, acked] = flags;
        ConnectionRecord {
            id: ConnectionId { boot, netns, cookie, generation },
            event,
            role,
            state,
            first,
            exact,
            ipv6_socket,
            start_known,
            errno,
            local,
            peer,
            owner,
            opened: UnixNanos(opened),
            connect_duration: times[0],
            age,
            observed: UnixNanos(observed),
            tick: UnixNanos(tick),
            limits: ConnectionLimits::new(limits),
            elapsed,
            totals: totals(&counts[..7]),
            delta: totals(&counts[7..]),
            round_trip: RoundTrip { smoothed: times[1], variance: times[2], minimum: times[3], receiver },
            acked,
            gauges: Gauges {
                unsent_bytes: levels[0],
                unread_bytes: levels[1],
                in_flight_bytes: levels[2],
                delivery_rate: levels[3],
                cwnd,
                mss,
            },
            end,
            names,
        }
    })
}

fn limits() -> impl Strategy<Value = (LimitDetails, OptionalCount, Option<NonZeroU64>)> {
    let count = || prop::option::of(prop_oneof![Just(0), any::<u64>()]).prop_map(OptionalCount::from);
    let limits = || prop::array::uniform7(count()).prop_map(Limits::of_fields);
    let others = (optional(), any::<u32>(), any::<bool>(), any::<[u8; 16]>());
    let details = (limits(), limits(), others).prop_map(|(total, delta, others)| {
        let (pacing_rate, ssthresh, zero_window, congestion_control) = others;
        let ssthresh = NonZeroU32::new(ssthresh);
        LimitDetails { total, delta, pacing_rate, ssthresh, zero_window, congestion_control }
    });
    (details, count(), optional())
}

fn kind() -> impl Strategy<Value = (Event, Role, TcpState)> {
    let event = select(vec![Event::Open, Event::Update, Event::Close, Event::Fail, Event::Vanished]);
    (
        event,
        select(vec![Role::Unknown, Role::Client, Role::Server]),
        (0..=12u8).prop_map(TcpState::from_kernel),
    )
}

fn end() -> impl Strategy<Value = Option<End>> {
    prop_oneof![
        Just(None),
        select(CloseReason::ALL.to_vec()).prop_map(|reason| Some(End::Closed(reason))),
        any::<u16>().prop_map(|errno| Some(End::Failed(FailReason::from_errno(errno)))),
        (100..115u16).prop_map(|errno| Some(End::Failed(FailReason::from_errno(errno)))),
        Just(Some(End::Failed(FailReason::Cancelled))),
    ]
}

fn endpoint() -> impl Strategy<Value = Endpoint> {
    let address =
        prop_oneof![any::<[u8; 4]>().prop_map(IpAddr::from), any::<[u8; 16]>().prop_map(IpAddr::from)];
    (address, any::<u16>()).prop_map(|(address, port)| Endpoint { address: address.to_canonical(), port })
}

fn owner() -> impl Strategy<Value = Owner> {
    let source = select(OwnerSource::ALL.to_vec());
    (any::<u64>(), any::<u32>(), source, any::<[u8; 16]>()).prop_map(|(cgroup, pid, source, name)| Owner {
        cgroup,
        pid,
        source,
        name,
    })
}

fn names() -> impl Strategy<Value = Names> {
    let service = (text(), text(), any::<bool>())
        .prop_map(|(name, namespace, ambiguous)| SERVICES.intern(Service { name, namespace, ambiguous }));
    (prop::option::of(workload()), prop::option::of(workload()), prop::option::of(service))
        .prop_map(|(local, peer, service)| Names { local, peer, service })
}

fn workload() -> impl Strategy<Value = longwave_pipeline::model::Handle<Workload>> {
    let texts = prop::array::uniform7(text());
    (texts, labels()).prop_map(|([name, kind, namespace, pod, node, container, container_id], labels)| {
        WORKLOADS.intern(Workload { name, kind, namespace, pod, node, container, container_id, labels })
    })
}

fn labels() -> impl Strategy<Value = Arc<[Label]>> {
    let label =
        (text(), text()).prop_map(|(name, value)| Label { key: Arc::new(LabelKey::new(&name)), value });
    prop::collection::vec(label, 0..3).prop_map(Arc::from)
}

fn text() -> impl Strategy<Value = Arc<str>> {
    prop_oneof![Just(String::new()), Just("cart".to_owned()), ".{0,12}"].prop_map(Arc::from)
}

fn optional() -> impl Strategy<Value = Option<NonZeroU64>> {
    any::<u64>().prop_map(NonZeroU64::new)
}

fn totals(counts: &[u64]) -> Totals {
    Totals {
        sent_bytes: counts[0],
        received_bytes: counts[1],
        sent_segments: counts[2],
        received_segments: counts[3],
        data_segments: counts[4],
        retransmits: counts[5],
        lost: counts[6],
    }
}
