//! Publishes the counters of the stages, with the names of the Collector's metrics.

use std::borrow::Cow;
use std::sync::Arc;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{AsyncInstrument, Meter};

use super::MetricLevel;
use crate::component::{Accounting, DropReason, Dropped, Node, NodeKind, Signal};

/// Registers instruments that read the counters at each collection.
pub(super) fn observe(meter: &Meter, accounting: &Accounting, level: MetricLevel) {
    let receiver = |node: &Node| node.kind == NodeKind::Receiver;
    let processor = |node: &Node| node.kind == NodeKind::Processor;
    let exporter = |signal| move |node: &Node| node.kind == NodeKind::Exporter && node.signal == signal;
    let items: fn(&Dropped) -> u64 = |count| count.items;
    let bytes: fn(&Dropped) -> u64 = |count| count.bytes;
    let lost: Select = |reason| reason != DropReason::FILTERED;
    let filtered: Select = |reason| reason == DropReason::FILTERED;

    let read = value(accounting, receiver, Node::outgoing);
    counter(meter, "longwave_receiver_accepted_records", RECORDS, "Records sent to a pipeline.", read);
    let read = dropped(accounting, receiver, lost, items);
    let text = "Records that a pipeline did not accept, by reason.";
    counter(meter, "longwave_receiver_refused_records", RECORDS, text, read);
    for (signal, name, unit) in BY_SIGNAL {
        let read = value(accounting, exporter(signal), Node::outgoing);
        counter(meter, format!("longwave_exporter_sent_{name}"), unit, "Items delivered.", read);
        let read = dropped(accounting, exporter(signal), lost, items);
        let text = "Items that were not delivered, by reason.";
        counter(meter, format!("longwave_exporter_send_failed_{name}"), unit, text, read);
    }
    if level < MetricLevel::Normal {
        return;
    }
    let read = value(accounting, processor, Node::incoming);
    counter(meter, "longwave_processor_incoming_items", ITEMS, "Items received.", read);
    let read = value(accounting, processor, Node::outgoing);
    counter(meter, "longwave_processor_outgoing_items", ITEMS, "Items sent to the next component.", read);
    let read = value(accounting, processor, Node::folded);
    counter(meter, "longwave_processor_folded_items", ITEMS, "Records aggregated into windows.", read);
    let read = dropped(accounting, processor, lost, items);
    counter(meter, "longwave_processor_dropped_items", ITEMS, "Items lost, by reason.", read);
    let read = of_reason(accounting, processor, filtered, items);
    let text = "Items that the rules of a filter exclude. They are no loss.";
    counter(meter, "longwave_processor_filtered_items", ITEMS, text, read);
    let read = of_reason(accounting, processor, filtered, bytes);
    let text = "Traffic (sent + received bytes) of items that the rules of a filter exclude.";
    counter(meter, "longwave_processor_filtered_traffic_bytes", "By", text, read);
    let read = value(accounting, processor, Node::held);
    gauge(meter, "longwave_processor_held_items", ITEMS, "Items that the processor holds.", read);
    for (signal, name, unit) in BY_SIGNAL {
        let read = value(accounting, exporter(signal), Node::incoming);
        counter(meter, format!("longwave_exporter_incoming_{name}"), unit, "Items received.", read);
        let read = value(accounting, exporter(signal), Node::held);
        let text = "Items in the queue or in delivery.";
        gauge(meter, format!("longwave_exporter_held_{name}"), unit, text, read);
        let read = value(accounting, exporter(signal), Node::restored);
        let text = "Items of an earlier run that came from the storage of the queue.";
        counter(meter, format!("longwave_exporter_restored_{name}"), unit, text, read);
        let read = value(accounting, exporter(signal), Node::possible_duplicates);
        let text = "Items that were delivered after an attempt without a response, so that the server may have them twice.";
        counter(meter, format!("longwave_exporter_possibly_duplicated_{name}"), unit, text, read);
    }
    let exporters = |node: &Node| node.kind == NodeKind::Exporter;
    let read = value(accounting, exporters, Node::queue_size);
    let text = "Size of what is in the queue or in delivery, in the unit of its sizer.";
    gauge(meter, "longwave_exporter_queue_size", "{size}", text, read);
    let read = value(accounting, exporters, Node::queue_capacity);
    let text = "Maximum of the queue, in the unit of its sizer.";
    gauge(meter, "longwave_exporter_queue_capacity", "{size}", text, read);
    let read = value(accounting, exporters, Node::queue_bytes);
    let text = "Bytes of what is in the queue or in delivery.";
    gauge(meter, "longwave_exporter_queue_used", "By", text, read);
    let read = value(accounting, exporters, Node::queue_bytes_capacity);
    gauge(meter, "longwave_exporter_queue_limit", "By", "Maximum of bytes in the queue.", read);
    let read = value(accounting, exporters, Node::retries);
    counter(meter, "longwave_exporter_retries", "{attempt}", "Delivery attempts after the first.", read);
    let read = dropped(accounting, |_| true, lost, bytes);
    let text = "Traffic (sent + received bytes) of lost items, by stage and reason.";
    counter(meter, "longwave_dropped_traffic_bytes", "By", text, read);
}

const RECORDS: &str = "{record}";
const ITEMS: &str = "{item}";
/// Signal, its part of names, and the unit of its items.
const BY_SIGNAL: [(Signal, &str, &str); 2] =
    [(Signal::Metrics, "metric_points", "{point}"), (Signal::Logs, "log_records", RECORDS)];

/// Selects reasons.
type Select = fn(DropReason) -> bool;

/// Reads the data points of an instrument at a collection.
type Read = Box<dyn Fn(&dyn AsyncInstrument<u64>) + Send + Sync>;

fn counter(
    meter: &Meter,
    name: impl Into<Cow<'static, str>>,
    unit: &'static str,
    text: &'static str,
    read: Read,
) {
    meter.u64_observable_counter(name).with_unit(unit).with_description(text).with_callback(read).build();
}

fn gauge(
    meter: &Meter,
    name: impl Into<Cow<'static, str>>,
    unit: &'static str,
    text: &'static str,
    read: Read,
) {
    meter.u64_observable_gauge(name).with_unit(unit).with_description(text).with_callback(read).build();
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

/// Reads what each stage dropped, with the reason as an attribute.
fn dropped(
    accounting: &Accounting,
    of: impl Fn(&Node) -> bool + Send + Sync + 'static,
    select: Select,
    value: fn(&Dropped) -> u64,
) -> Read {
    reasons(accounting, of, select, move |node, reason, count, observer| {
        let mut labels = labels(node);
        labels.push(KeyValue::new("reason", reason.0));
        observer.observe(value(count), &labels);
    })
}

/// Reads what each stage dropped for one reason, without the reason.
fn of_reason(
    accounting: &Accounting,
    of: impl Fn(&Node) -> bool + Send + Sync + 'static,
    select: Select,
    value: fn(&Dropped) -> u64,
) -> Read {
    reasons(accounting, of, select, move |node, _, count, observer| {
        observer.observe(value(count), &labels(node));
    })
}

/// Calls `observe` with the selected reasons of each stage.
fn reasons(
    accounting: &Accounting,
    of: impl Fn(&Node) -> bool + Send + Sync + 'static,
    select: Select,
    observe: impl Fn(&Node, DropReason, &Dropped, &dyn AsyncInstrument<u64>) + Send + Sync + 'static,
) -> Read {
    let accounting = accounting.clone();
    Box::new(move |observer| {
        each(&accounting, &of, |node| {
            let counts = node.dropped_by_reason();
            let selected = counts.iter().filter(|(reason, _)| select(*reason));
            selected.for_each(|(reason, count)| observe(node, *reason, count, observer));
        });
    })
}

fn each(accounting: &Accounting, of: &dyn Fn(&Node) -> bool, mut visit: impl FnMut(&Arc<Node>)) {
    accounting.nodes().iter().filter(|node| of(node)).for_each(&mut visit);
}

fn labels(node: &Node) -> Vec<KeyValue> {
    let role = match node.kind {
        NodeKind::Receiver => "receiver",
        NodeKind::Processor => "processor",
        NodeKind::Exporter => {
            let signal = KeyValue::new("signal", node.signal.to_string());
            return vec![KeyValue::new("exporter", node.id.clone()), signal];
        }
        NodeKind::Passage => return vec![KeyValue::new("pipeline", node.pipeline.clone())],
    };
    vec![KeyValue::new(role, node.id.clone()), KeyValue::new("pipeline", node.pipeline.clone())]
}
