//! Publishes the counters of the stages, with the names of the Collector's metrics.

use std::borrow::Cow;
use std::sync::Arc;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{AsyncInstrument, Meter};

use super::MetricLevel;
use crate::component::{Accounting, Dropped, Node, NodeKind, Signal};

/// Registers instruments that read the counters at each collection.
pub(super) fn observe(meter: &Meter, accounting: &Accounting, level: MetricLevel) {
    let receiver = |node: &Node| node.kind == NodeKind::Receiver;
    let processor = |node: &Node| node.kind == NodeKind::Processor;
    let exporter = |signal| move |node: &Node| node.kind == NodeKind::Exporter && node.signal == signal;
    let items: fn(&Dropped) -> u64 = |count| count.items;

    let read = value(accounting, receiver, Node::outgoing);
    counter(meter, "longwave_receiver_accepted_records", "Records sent to a pipeline.", read);
    let read = dropped(accounting, receiver, items);
    let description = "Records that a pipeline did not accept, by reason.";
    counter(meter, "longwave_receiver_refused_records", description, read);
    for (signal, unit) in [(Signal::Metrics, "metric_points"), (Signal::Logs, "log_records")] {
        let read = value(accounting, exporter(signal), Node::outgoing);
        counter(meter, format!("longwave_exporter_sent_{unit}"), "Items delivered.", read);
        let read = dropped(accounting, exporter(signal), items);
        counter(
            meter,
            format!("longwave_exporter_send_failed_{unit}"),
            "Items that were not delivered, by reason.",
            read,
        );
    }
    if level < MetricLevel::Normal {
        return;
    }
    let read = value(accounting, processor, Node::incoming);
    counter(meter, "longwave_processor_incoming_items", "Items received.", read);
    let read = value(accounting, processor, Node::outgoing);
    counter(meter, "longwave_processor_outgoing_items", "Items sent to the next component.", read);
    let read = value(accounting, processor, Node::folded);
    counter(meter, "longwave_processor_folded_items", "Records aggregated into windows.", read);
    let read = dropped(accounting, processor, items);
    counter(meter, "longwave_processor_dropped_items", "Items dropped, by reason.", read);
    let read = value(accounting, processor, Node::held);
    gauge(meter, "longwave_processor_held_items", "Items that the processor holds.", read);
    for (signal, unit) in [(Signal::Metrics, "metric_points"), (Signal::Logs, "log_records")] {
        let read = value(accounting, exporter(signal), Node::incoming);
        counter(meter, format!("longwave_exporter_incoming_{unit}"), "Items received.", read);
        let read = value(accounting, exporter(signal), Node::held);
        let description = "Items in the queue or in delivery.";
        gauge(meter, format!("longwave_exporter_held_{unit}"), description, read);
    }
    let exporters = |node: &Node| node.kind == NodeKind::Exporter;
    let read = value(accounting, exporters, Node::queue_size);
    gauge(meter, "longwave_exporter_queue_size", "Requests in the queue.", read);
    let read = value(accounting, exporters, Node::queue_capacity);
    gauge(meter, "longwave_exporter_queue_capacity", "Maximum of requests in the queue.", read);
    let read = value(accounting, exporters, Node::retries);
    counter(meter, "longwave_exporter_retries", "Delivery attempts after the first.", read);
    let read = dropped(accounting, |_| true, |count| count.bytes);
    let description = "Traffic (sent + received bytes) of dropped items, by stage and reason.";
    counter(meter, "longwave_dropped_traffic_bytes", description, read);
}

/// Reads the data points of an instrument at a collection.
type Read = Box<dyn Fn(&dyn AsyncInstrument<u64>) + Send + Sync>;

fn counter(meter: &Meter, name: impl Into<Cow<'static, str>>, description: &'static str, read: Read) {
    meter.u64_observable_counter(name).with_description(description).with_callback(read).build();
}

fn gauge(meter: &Meter, name: impl Into<Cow<'static, str>>, description: &'static str, read: Read) {
    meter.u64_observable_gauge(name).with_description(description).with_callback(read).build();
}

/// Reads one value of each stage.
fn value(
    accounting: &Accounting,
    of: impl Fn(&Node) -> bool + Send + Sync + 'static,
    value: fn(&Node) -> u64,
) -> Read {
    let accounting = accounting.clone();
    Box::new(move |observer| each(&accounting, &of, |node| observer.observe(value(node), &labels(node))))
}

/// Reads what each stage dropped, by reason.
fn dropped(
    accounting: &Accounting,
    of: impl Fn(&Node) -> bool + Send + Sync + 'static,
    value: fn(&Dropped) -> u64,
) -> Read {
    let accounting = accounting.clone();
    Box::new(move |observer| each(&accounting, &of, |node| observe_reasons(node, observer, value)))
}

fn observe_reasons(node: &Node, observer: &dyn AsyncInstrument<u64>, value: fn(&Dropped) -> u64) {
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
