//! Self-telemetry of connection tracking.

use longwave_pipeline::component::ComponentMeter;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Gauge, Meter};

use super::cache::Tally;
use super::request::Reason;

/// The instruments, and their attributes.
pub(super) struct Telemetry {
    queries: Counter<u64>,
    connections: Counter<u64>,
    unknown: Counter<u64>,
    closed: Counter<u64>,
    kept: Gauge<u64>,
    own: [KeyValue; 1],
    host: [KeyValue; 1],
    translated: [KeyValue; 1],
    same: [KeyValue; 1],
    reasons: Vec<[KeyValue; 1]>,
}

// === impl Telemetry ===

impl Telemetry {
    /// Registers the instruments.
    pub fn new(meter: &Meter) -> Self {
        let meter = ComponentMeter::new(meter, []);
        let counter = |name, unit, text| meter.counter(name, unit, text);
        let telemetry = Self {
            queries: counter(
                "longwave_processor_conntrack_queries",
                "{query}",
                "Look-ups in the kernel's connection tracking, by namespace: the host's, the socket's own.",
            ),
            connections: counter(
                "longwave_processor_conntrack_connections",
                "{connection}",
                "Connections whose translation was looked up, by result: translated, or the same at both ends.",
            ),
            unknown: counter(
                "longwave_processor_conntrack_unknown_connections",
                "{connection}",
                "Connections whose translation is not certain, by reason.",
            ),
            closed: counter(
                "longwave_processor_conntrack_closed_namespaces",
                "{attempt}",
                "Attempts to enter a socket's network namespace that failed.",
            ),
            kept: meter.gauge(
                "longwave_processor_conntrack_cached_connections",
                "{connection}",
                "Connections whose translation is cached or being looked up.",
            ),
            own: [KeyValue::new("namespace", "own")],
            host: [KeyValue::new("namespace", "host")],
            translated: [KeyValue::new("result", "translated")],
            same: [KeyValue::new("result", "same")],
            reasons: Reason::ALL.map(|reason| [KeyValue::new("reason", reason.as_str())]).to_vec(),
        };
        telemetry.begin_at_zero();
        telemetry
    }

    /// Makes every series exist before its first event.
    fn begin_at_zero(&self) {
        self.count_host_queries(0);
        self.count_own_queries(0);
        self.closed.add(0, &[]);
        self.connections.add(0, &self.translated);
        self.connections.add(0, &self.same);
        self.reasons.iter().for_each(|attributes| self.unknown.add(0, attributes));
        self.kept.record(0, &[]);
    }

    /// Counts look-ups in the host's namespace.
    pub fn count_host_queries(&self, queries: u64) {
        self.queries.add(queries, &self.host);
    }

    /// Counts look-ups in a socket's own namespace.
    pub fn count_own_queries(&self, queries: u64) {
        self.queries.add(queries, &self.own);
    }

    /// Counts a failed attempt to enter a namespace.
    pub fn count_closed(&self) {
        self.closed.add(1, &[]);
    }

    /// Adds a tally to the instruments.
    pub fn report(&self, tally: &Tally) {
        for (count, attributes) in [(tally.translated, &self.translated), (tally.same, &self.same)] {
            if count > 0 {
                self.connections.add(count, attributes);
            }
        }
        for (count, attributes) in tally.unknown.iter().zip(&self.reasons) {
            if *count > 0 {
                self.unknown.add(*count, attributes);
            }
        }
        self.kept.record(tally.kept, &[]);
    }
}
