//! The stages' counters as instruments, named as the Collector names its own.

use std::sync::Arc;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{AsyncInstrument, Meter};

use super::MetricLevel;
use crate::accounting::{Accounting, Node, NodeKind};
use crate::component::Signal;

/// Registers observers that read the counters when somebody asks.
pub(super) fn observe(meter: &Meter, accounting: &Accounting, level: MetricLevel) {
    let receiver = |node: &Node| node.kind == NodeKind::Receiver;
    let processor = |node: &Node| node.kind == NodeKind::Processor;
    let exporter = |signal| move |node: &Node| node.kind == NodeKind::Exporter && node.signal == signal;

    counter(
        meter,
        accounting,
        "longwave_receiver_accepted_records",
        "Records given to a pipeline.",
        receiver,
        Node::outgoing,
    );
    dropped(
        meter,
        accounting,
        "longwave_receiver_refused_records",
        "Records that a pipeline had no room for, by reason.",
        receiver,
    );
    for (signal, unit) in [(Signal::Metrics, "metric_points"), (Signal::Logs, "log_records")] {
        let name = format!("longwave_exporter_sent_{unit}");
        counter(meter, accounting, name, "Items delivered.", exporter(signal), Node::outgoing);
        let name = format!("longwave_exporter_send_failed_{unit}");
        dropped(meter, accounting, name, "Items given up, by reason.", exporter(signal));
    }
    if level < MetricLevel::Normal {
        return;
    }
    counter(
        meter,
        accounting,
        "longwave_processor_incoming_items",
        "Items that came in.",
        processor,
        Node::incoming,
    );
    counter(
        meter,
        accounting,
        "longwave_processor_outgoing_items",
        "Items that went out.",
        processor,
        Node::outgoing,
    );
    counter(
        meter,
        accounting,
        "longwave_processor_folded_items",
        "Records that became part of a window.",
        processor,
        Node::folded,
    );
    dropped(meter, accounting, "longwave_processor_dropped_items", "Items dropped, by reason.", processor);
    gauge(meter, accounting, "longwave_processor_held_items", "Items inside.", processor, Node::held);
    for (signal, unit) in [(Signal::Metrics, "metric_points"), (Signal::Logs, "log_records")] {
        let name = format!("longwave_exporter_incoming_{unit}");
        counter(meter, accounting, name, "Items that came in.", exporter(signal), Node::incoming);
        let name = format!("longwave_exporter_held_{unit}");
        gauge(meter, accounting, name, "Items in the queue or on their way.", exporter(signal), Node::held);
    }
    let exporters = |node: &Node| node.kind == NodeKind::Exporter;
    gauge(
        meter,
        accounting,
        "longwave_exporter_queue_size",
        "Requests that wait.",
        exporters,
        Node::queue_size,
    );
    gauge(
        meter,
        accounting,
        "longwave_exporter_queue_capacity",
        "Requests that may wait.",
        exporters,
        Node::queue_capacity,
    );
    counter(
        meter,
        accounting,
        "longwave_exporter_retries",
        "Delivery attempts after the first.",
        exporters,
        Node::retries,
    );
    dropped_bytes(meter, accounting);
}

type Select = fn(&Node) -> u64;

fn counter(
    meter: &Meter,
    accounting: &Accounting,
    name: impl Into<std::borrow::Cow<'static, str>>,
    description: &'static str,
    of: impl Fn(&Node) -> bool + Send + Sync + 'static,
    value: Select,
) {
    let accounting = accounting.clone();
    meter
        .u64_observable_counter(name)
        .with_description(description)
        .with_callback(move |observer| {
            each(&accounting, &of, |node| observer.observe(value(node), &labels(node)))
        })
        .build();
}

fn gauge(
    meter: &Meter,
    accounting: &Accounting,
    name: impl Into<std::borrow::Cow<'static, str>>,
    description: &'static str,
    of: impl Fn(&Node) -> bool + Send + Sync + 'static,
    value: Select,
) {
    let accounting = accounting.clone();
    meter
        .u64_observable_gauge(name)
        .with_description(description)
        .with_callback(move |observer| {
            each(&accounting, &of, |node| observer.observe(value(node), &labels(node)))
        })
        .build();
}

fn dropped(
    meter: &Meter,
    accounting: &Accounting,
    name: impl Into<std::borrow::Cow<'static, str>>,
    description: &'static str,
    of: impl Fn(&Node) -> bool + Send + Sync + 'static,
) {
    let accounting = accounting.clone();
    meter
        .u64_observable_counter(name)
        .with_description(description)
        .with_callback(move |observer| {
            each(&accounting, &of, |node| observe_reasons(node, observer, |count| count.items));
        })
        .build();
}

fn dropped_bytes(meter: &Meter, accounting: &Accounting) {
    let accounting = accounting.clone();
    meter
        .u64_observable_counter("longwave_dropped_traffic_bytes")
        .with_description("Traffic (sent + received bytes) that dropped items told of, by stage and reason.")
        .with_callback(move |observer| {
            each(&accounting, &|_| true, |node| observe_reasons(node, observer, |count| count.bytes));
        })
        .build();
}

fn observe_reasons(
    node: &Node,
    observer: &dyn AsyncInstrument<u64>,
    value: fn(&crate::accounting::Dropped) -> u64,
) {
    for (reason, count) in node.dropped() {
        let mut labels = labels(node);
        labels.push(KeyValue::new("reason", reason.0));
        observer.observe(value(&count), &labels);
    }
}

fn each(accounting: &Accounting, of: &dyn Fn(&Node) -> bool, mut visit: impl FnMut(&Arc<Node>)) {
    accounting.nodes().iter().filter(|node| of(node)).for_each(&mut visit);
}

fn labels(node: &Node) -> Vec<KeyValue> {
    let role = match node.kind {
        NodeKind::Receiver => "receiver",
        NodeKind::Processor => "processor",
        NodeKind::Exporter => "exporter",
    };
    let mut labels = vec![KeyValue::new(role, node.id.clone())];
    if node.kind == NodeKind::Exporter {
        labels.push(KeyValue::new("signal", node.signal.to_string()));
    } else {
        labels.push(KeyValue::new("pipeline", node.pipeline.clone()));
    }
    labels
}
