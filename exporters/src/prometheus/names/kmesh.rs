//! Kmesh's names. `sent` and `received` are those of the reporting socket.
//!
//! The misspelt `conntections` is Kmesh's: its dashboards query that name.

use std::borrow::Cow;

use longwave_pipeline::component::FamilyKind;
use longwave_pipeline::model::{Level, Measures, SeriesKey};

use super::{GroupNames, MeshGroup, MetricNames, Value};

type Sum = fn(&SeriesKey, &Measures) -> u64;

/// Returns the groups of services, workloads and connections. The first two have the same series, with different labels.
pub(super) fn groups() -> Vec<GroupNames> {
    let metric =
        |prefix: &str, (name, unit, help, value): (&str, &'static str, &'static str, Sum)| MetricNames {
            name: format!("kmesh_tcp_{prefix}{name}"),
            unit,
            kind: FamilyKind::Counter,
            help: Cow::Borrowed(help),
            value: Value::Sum(value),
        };
    let sent: Sum = |_, sums| sums.totals.sent_bytes;
    let received: Sum = |_, sums| sums.totals.received_bytes;
    let sent = ("sent_bytes", "bytes", "Payload bytes that the reporting socket sent.", sent);
    let received = ("received_bytes", "bytes", "Payload bytes that the reporting socket received.", received);
    let counts: [(&str, &str, &str, Sum); 3] = [
        ("connections_opened", "", "Connections that were established.", |_, sums| sums.opened),
        ("connections_closed", "", "Established connections that were closed.", |_, sums| {
            sums.closed_total()
        }),
        ("conntections_failed", "", "Active opens that were never established.", |_, sums| {
            sums.failed_total()
        }),
    ];
    let lost: Sum = |_, sums| sums.totals.lost;
    let retransmits: Sum = |_, sums| sums.totals.retransmits;
    const LOST: &str = "Segments that the kernel marked as lost.";
    const RETRANSMITS: &str = "Segments retransmitted.";

    let of_ends = |prefix: &str| -> Vec<MetricNames> {
        counts.into_iter().chain([received, sent]).map(|names| metric(prefix, names)).collect()
    };
    let mut of_workloads = of_ends("workload_");
    of_workloads.push(metric("", ("retrans", "", RETRANSMITS, retransmits)));
    of_workloads.push(metric("", ("packet_loss", "", LOST, lost)));
    let of_connections =
        [sent, received, ("packet_lost", "", LOST, lost), ("retrans", "", RETRANSMITS, retransmits)];
    let of_connections = of_connections.map(|names| metric("connection_", names)).into();

    let service = MeshGroup { service: true, ..MeshGroup::default() };
    let workload = MeshGroup { pod: true, ..MeshGroup::default() };
    let connection = MeshGroup { service: true, pod: true, connection: true };
    vec![
        GroupNames { level: Level::Workload, metrics: of_ends(""), labels: service },
        GroupNames { level: Level::Workload, metrics: of_workloads, labels: workload },
        GroupNames { level: Level::Connection, metrics: of_connections, labels: connection },
    ]
}
