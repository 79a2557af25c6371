//! Istio's names, which Kiali reads: those of its standard metrics, and `connections_failed` of ztunnel.
//!
//! `sent` is from server to client and `received` from client to server, for both reporters. So they are swapped where the client reports.

use std::borrow::Cow;

use longwave_pipeline::component::FamilyKind;
use longwave_pipeline::model::{Level, Measures, Reporter, SeriesKey};

use super::{GroupNames, MeshGroup, MetricNames, Value};

/// Returns the group of all metrics.
pub(super) fn groups() -> Vec<GroupNames> {
    let metric = |name: &str, unit, help, value| MetricNames {
        name: format!("istio_tcp_{name}"),
        unit,
        kind: FamilyKind::Counter,
        help: Cow::Borrowed(help),
        value: Value::Sum(value),
    };
    let metrics = vec![
        metric("sent_bytes", "bytes", "Payload bytes from the server to the client.", response_bytes),
        metric("received_bytes", "bytes", "Payload bytes from the client to the server.", request_bytes),
        metric("connections_opened", "", "Connections that were established.", |_, sums| sums.opened),
        metric("connections_closed", "", "Established connections that were closed.", |_, sums| {
            sums.closed_total()
        }),
        metric("connections_failed", "", "Active opens that were never established.", |_, sums| {
            sums.failed_total()
        }),
    ];
    let labels = MeshGroup { service: true, ..MeshGroup::default() };
    vec![GroupNames { level: Level::Workload, metrics, labels }]
}

fn response_bytes(key: &SeriesKey, sums: &Measures) -> u64 {
    if is_client(key) { sums.totals.received_bytes } else { sums.totals.sent_bytes }
}

fn request_bytes(key: &SeriesKey, sums: &Measures) -> u64 {
    if is_client(key) { sums.totals.sent_bytes } else { sums.totals.received_bytes }
}

fn is_client(key: &SeriesKey) -> bool {
    key.flow().is_some_and(|flow| flow.reporter == Reporter::Source)
}
