//! Self-telemetry of `live`.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use longwave_pipeline::component::ComponentMeter;
use opentelemetry::metrics::Meter;

use super::clients::Clients;

pub(super) fn register(meter: &Meter, id: &str, clients: &Arc<Clients>) {
    let meter = ComponentMeter::new(meter, [("exporter", id)]);
    let clients = meter.observe(clients);
    clients.gauge("longwave_exporter_live_clients", "{client}", "Connected clients.", |clients| {
        clients.len() as u64
    });
    clients.counter(
        "longwave_exporter_live_accepted",
        "{client}",
        "Clients that have connected.",
        |clients| clients.accepted.load(Ordering::Relaxed),
    );
    clients.counter_by(
        "longwave_exporter_live_disconnected",
        "{client}",
        "Clients that were disconnected, by reason: `too_many` are connected, or the client reads `too_slow`.",
        "reason",
        |clients| {
            let (refused, slow) = (&clients.refused, &clients.slow);
            [("too_many", refused.load(Ordering::Relaxed)), ("too_slow", slow.load(Ordering::Relaxed))]
        },
    );
}
