//! Helpers of the encoders' tests: a resource, series and windows.

mod cumulative;
mod decoded;
mod logs;
mod metrics;
mod sentence;

use std::sync::Arc;

use longwave_pipeline::model::{
    ConnectionId, ConnectionKey, Endpoint, FlowKey, Level, Measures, Reporter, Role, Series, SeriesKey,
    ServiceKey, UnixNanos, Window, WorkloadKey,
};

fn resource() -> Vec<(String, String)> {
    vec![("service.name".into(), "longwave".into()), ("host.name".into(), "node-1".into())]
}

fn flow(source: &str) -> FlowKey {
    FlowKey {
        reporter: Reporter::Source,
        source: WorkloadKey { name: Some(source.into()), ..WorkloadKey::default() },
        service: ServiceKey { ambiguous: true, ..ServiceKey::default() },
        destination: WorkloadKey::default(),
        connection: None,
        folded: None,
    }
}

/// Returns the key of a series without addresses.
fn named(source: &str) -> Arc<SeriesKey> {
    Arc::new(SeriesKey::Flow(flow(source)))
}

/// Returns the key of a connection's series.
fn connection(source: &str) -> Arc<SeriesKey> {
    let connection = ConnectionKey {
        id: Some(ConnectionId { boot: 0xb007, netns: 1, cookie: 42, generation: 7 }),
        role: Some(Role::Client),
        source: Endpoint { address: [10, 0, 0, 1].into(), port: 40_000 }.into(),
        destination: Endpoint { address: [10, 0, 0, 2].into(), port: 443 }.into(),
        opened: Some(UnixNanos(1_000_000_000)),
    };
    Arc::new(SeriesKey::Flow(FlowKey { connection: Some(Box::new(connection)), ..flow(source) }))
}

fn one(level: Level, key: &Arc<SeriesKey>, created: u64, measures: Measures) -> Series {
    Series { level, key: Arc::clone(key), created: UnixNanos(created), ended: false, measures }
}

fn window(start: u64, series: Vec<Series>) -> Window {
    Window { start: UnixNanos(start), end: UnixNanos(start + 100), series }
}
