//! A busy window, which the benches export.

use std::net::Ipv4Addr;
use std::sync::Arc;

use longwave_pipeline::model::{
    CloseReason, ConnectionId, ConnectionRecord, Endpoint, Interner, Level, Measures, Names, Role, Series,
    SeriesAttributes, SeriesKey, Service, UnixNanos, Window, Workload,
};

/// Number of series of a window.
const SERIES: usize = 1000;

/// Returns a record of a connection with names of its own.
fn record(index: usize) -> ConnectionRecord {
    let workload = |name: String, kind: &str| {
        let (name, kind, namespace) = (name.into(), kind.into(), "shop-production".into());
        Interner::default().intern(Workload { name, kind, namespace, ..Workload::default() })
    };
    let service =
        Service { name: "payments".into(), namespace: "shop-production".into(), ..Service::default() };
    let end = |last, port| Endpoint { address: Ipv4Addr::new(10, 1, 7, last).into(), port };
    ConnectionRecord {
        id: ConnectionId { boot: 0xb007_1d42, netns: 1, cookie: 4_000 + index as u64, generation: 1 << 40 },
        role: Role::Client,
        start_known: true,
        opened: UnixNanos(1_700_000_000_123_456_789),
        local: end(7, 40_000 + index as u16),
        peer: end(9, 8080),
        names: Names {
            local: Some(workload(format!("checkout-frontend-{index}"), "Deployment")),
            peer: Some(workload(format!("payments-{index}"), "StatefulSet")),
            service: Some(Interner::default().intern(service)),
        },
        ..ConnectionRecord::blank()
    }
}

/// Returns a window with [`SERIES`] series of one level, which have sums and samples.
pub fn busy_window(level: Level) -> Window {
    let series = (0..SERIES).map(|index| {
        let mut measures = Measures { opened: 3, active: 10, min_rtt: Some(0.0001), ..Measures::default() };
        measures.totals.sent_bytes = 123_456_789;
        measures.totals.received_bytes = 987_654;
        measures.count_closed(CloseReason::Fin);
        measures.rtt.record(0.001);
        measures.connection_duration.record(1.0);
        Series {
            level,
            key: Arc::new(SeriesKey::of_record(&record(index), &SeriesAttributes::of(level))),
            created: UnixNanos(1),
            ended: false,
            measures,
        }
    });
    Window {
        start: UnixNanos(1_700_000_000_000_000_000),
        end: UnixNanos(1_700_000_005_000_000_000),
        series: series.collect(),
    }
}
