//! What the extension tells of itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};

use longwave_pipeline::component::ComponentMeter;
use longwave_pipeline::model::UnixNanos;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Meter};

use super::watch::TableCounts;

/// Of one resource. Written by its watch; read by self-telemetry and, to know whether news may be on their way, by those who ask.
pub(super) struct ResourceStats {
    resource: &'static str,
    objects: AtomicU64,
    remembered: AtomicU64,
    synced: AtomicBool,
    /// When the API server was last heard of; at first, when the extension was made.
    contact: AtomicU64,
    /// Failures in a row.
    failures: AtomicU32,
    instruments: Arc<Instruments>,
}

/// Counters of all resources.
pub(super) struct Instruments {
    meter: ComponentMeter,
    lists: Counter<u64>,
    watches: Counter<u64>,
    events: Counter<u64>,
    errors: Counter<u64>,
    bytes: Counter<u64>,
}

/// Why everything is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ListReason {
    /// For the first time.
    Start,
    /// The server has forgotten where the watch would go on.
    Expired,
}

/// Failures in a row after which nobody waits for a first listing any more.
const MAX_FAILURES_WHILE_EXPECTED: u32 = 4;

// === impl Instruments ===

impl Instruments {
    pub fn new(meter: &Meter, extension: &str) -> Arc<Self> {
        let meter = ComponentMeter::new(meter, [("extension", extension)]);
        let counter = |name, unit, text| meter.counter(name, unit, text);
        Arc::new(Self {
            lists: counter(
                "longwave_extension_kubernetes_lists",
                "{list}",
                "Listings of all objects, by resource and reason: at the start, or because the API server had forgotten where the watch would go on.",
            ),
            watches: counter(
                "longwave_extension_kubernetes_watches",
                "{watch}",
                "Watches begun or resumed, by resource.",
            ),
            events: counter(
                "longwave_extension_kubernetes_events",
                "{event}",
                "Events of watches, by resource and type.",
            ),
            errors: counter(
                "longwave_extension_kubernetes_errors",
                "{error}",
                "What went wrong between Longwave and the API server, by resource and reason.",
            ),
            bytes: counter(
                "longwave_extension_kubernetes_received_bytes",
                "By",
                "Bytes of the API server's answers, by resource.",
            ),
            meter,
        })
    }

    fn attributes(&self, resource: &'static str) -> Vec<KeyValue> {
        self.meter.attributes_with("resource", resource)
    }
}

// === impl ResourceStats ===

impl ResourceStats {
    pub fn new(resource: &'static str, instruments: &Arc<Instruments>) -> Arc<Self> {
        Arc::new(Self {
            resource,
            objects: AtomicU64::new(0),
            remembered: AtomicU64::new(0),
            synced: AtomicBool::new(false),
            contact: AtomicU64::new(UnixNanos::now().0),
            failures: AtomicU32::new(0),
            instruments: Arc::clone(instruments),
        })
    }

    /// Exports the gauges.
    pub fn export(all: &[Arc<Self>]) {
        fn each(all: &[Arc<ResourceStats>], read: fn(&ResourceStats) -> f64) -> Vec<(&'static str, f64)> {
            all.iter().map(|stats| (stats.resource, read(stats))).collect()
        }
        let Some(first) = all.first() else { return };
        let stats = first.instruments.meter.observe::<[Arc<Self>]>(&all.into());
        stats.gauge_by(
            "longwave_extension_kubernetes_objects",
            "{object}",
            "Objects known, by resource.",
            "resource",
            |all| each(all, |stats| stats.objects.load(Relaxed) as f64),
        );
        stats.gauge_by(
            "longwave_extension_kubernetes_remembered",
            "{fact}",
            "Facts that are no longer true and remembered for records that are under way, by resource.",
            "resource",
            |all| each(all, |stats| stats.remembered.load(Relaxed) as f64),
        );
        stats.gauge_by(
            "longwave_extension_kubernetes_synced",
            "1",
            "1: everything was listed once; 0: names are missing.",
            "resource",
            |all| each(all, |stats| f64::from(u8::from(stats.is_synced()))),
        );
        stats.gauge_by(
            "longwave_extension_kubernetes_staleness",
            "s",
            "Time since the API server was last heard of, by resource. A quiet watch has a bookmark a minute.",
            "resource",
            |all| each(all, |stats| UnixNanos::now().since(stats.last_contact()).as_secs_f64()),
        );
    }

    pub fn listed(&self, reason: ListReason) {
        let reason = match reason {
            ListReason::Start => "start",
            ListReason::Expired => "expired",
        };
        self.instruments.lists.add(1, &self.with("reason", reason));
    }

    pub fn watching(&self) {
        self.instruments.watches.add(1, &self.instruments.attributes(self.resource));
    }

    pub fn event(&self, kind: &str) {
        let kind = match kind {
            "ADDED" => "added",
            "MODIFIED" => "modified",
            "DELETED" => "deleted",
            _ => "bookmark",
        };
        self.instruments.events.add(1, &self.with("type", kind));
    }

    pub fn failed(&self, reason: &'static str) {
        if reason != "undecodable" {
            self.failures.fetch_add(1, Relaxed);
        }
        self.instruments.errors.add(1, &self.with("reason", reason));
    }

    /// All is well.
    pub fn reset_failures(&self) {
        self.failures.store(0, Relaxed);
    }

    /// Something of an answer came.
    pub fn received(&self, bytes: usize, now: UnixNanos) {
        self.contact.store(now.0, Relaxed);
        self.instruments.bytes.add(bytes as u64, &self.instruments.attributes(self.resource));
    }

    pub fn contacted(&self, now: UnixNanos) {
        self.contact.store(now.0, Relaxed);
    }

    /// When the API server was last heard of.
    pub fn last_contact(&self) -> UnixNanos {
        UnixNanos(self.contact.load(Relaxed))
    }

    pub fn counts(&self, counts: TableCounts) {
        self.objects.store(counts.objects as u64, Relaxed);
        self.remembered.store(counts.remembered as u64, Relaxed);
    }

    pub fn synced(&self, counts: TableCounts) {
        self.counts(counts);
        self.synced.store(true, Relaxed);
    }

    /// Everything was listed once.
    pub fn is_synced(&self) -> bool {
        self.synced.load(Relaxed)
    }

    /// A first listing is on its way, and may well arrive.
    pub fn is_expected(&self) -> bool {
        !self.is_synced() && self.failures.load(Relaxed) < MAX_FAILURES_WHILE_EXPECTED
    }

    fn with(&self, key: &'static str, value: &'static str) -> Vec<KeyValue> {
        let mut attributes = self.instruments.attributes(self.resource);
        attributes.push(KeyValue::new(key, value));
        attributes
    }
}
