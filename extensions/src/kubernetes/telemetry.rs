//! Self-telemetry of `kubernetes`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};

use longwave_pipeline::component::ComponentMeter;
use longwave_pipeline::model::UnixNanos;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Meter};

use super::watch::{Failure, TableCounts};

/// Counters and state of one resource. Its watch updates them. Self-telemetry reads them, and look-ups to decide whether a result is
/// pending.
pub(super) struct ResourceStats {
    resource: &'static str,
    objects: AtomicU64,
    remembered: AtomicU64,
    synced: AtomicBool,
    /// Time of the last response of the API server in nanoseconds since the epoch; at first the time when the extension was created.
    contact: AtomicU64,
    /// Consecutive failures.
    failures: AtomicU32,
    instruments: Arc<Instruments>,
}

/// Counters that all resources share.
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
    /// The first listing.
    Start,
    /// The server no longer has the version at which the watch would resume.
    Expired,
}

/// Consecutive failures after which a first listing is no longer expected, so look-ups are not pending.
const MAX_FAILURES_WHILE_EXPECTED: u32 = 4;

/// Reason of a failure that ends neither a watch nor a listing: one object cannot be decoded.
pub(super) const UNDECODABLE: &str = "undecodable";

// === impl ListReason ===

impl ListReason {
    fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Expired => "expired",
        }
    }
}

// === impl Instruments ===

impl Instruments {
    pub fn new(meter: &Meter, extension: &str) -> Arc<Self> {
        let meter = ComponentMeter::new(meter, [("extension", extension)]);
        let counter = |name, unit, text| meter.counter(name, unit, text);
        Arc::new(Self {
            lists: counter(
                "longwave_extension_kubernetes_lists",
                "{list}",
                "Listings of all objects, by resource and reason: at the start, or because the API server no longer had the version at which the watch would resume.",
            ),
            watches: counter(
                "longwave_extension_kubernetes_watches",
                "{watch}",
                "Watches started or resumed, by resource.",
            ),
            events: counter(
                "longwave_extension_kubernetes_events",
                "{event}",
                "Events of watches, by resource and type.",
            ),
            errors: counter(
                "longwave_extension_kubernetes_errors",
                "{error}",
                "Failures between Longwave and the API server, by resource and reason.",
            ),
            bytes: counter(
                "longwave_extension_kubernetes_received_bytes",
                "By",
                "Bytes received from the API server, by resource.",
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
        let stats = Arc::new(Self {
            resource,
            objects: AtomicU64::new(0),
            remembered: AtomicU64::new(0),
            synced: AtomicBool::new(false),
            contact: AtomicU64::new(UnixNanos::now().0),
            failures: AtomicU32::new(0),
            instruments: Arc::clone(instruments),
        });
        stats.begin_at_zero();
        stats
    }

    /// Makes every series exist before its first event.
    fn begin_at_zero(&self) {
        let Instruments { lists, watches, events, errors, bytes, .. } = &*self.instruments;
        for reason in [ListReason::Start, ListReason::Expired] {
            lists.add(0, &self.with("reason", reason.as_str()));
        }
        for kind in ["added", "modified", "deleted", "bookmark"] {
            events.add(0, &self.with("type", kind));
        }
        for reason in Failure::REASONS.into_iter().chain([UNDECODABLE]) {
            errors.add(0, &self.with("reason", reason));
        }
        let own = self.instruments.attributes(self.resource);
        watches.add(0, &own);
        bytes.add(0, &own);
    }

    /// Registers the gauges.
    pub fn export(all: &[Arc<Self>]) {
        fn each(all: &[Arc<ResourceStats>], read: fn(&ResourceStats) -> f64) -> Vec<(&'static str, f64)> {
            all.iter().map(|stats| (stats.resource, read(stats))).collect()
        }
        let Some(first) = all.first() else { return };
        let stats = first.instruments.meter.observe::<[Arc<Self>]>(&all.into());
        stats.gauge_by(
            "longwave_extension_kubernetes_objects",
            "{object}",
            "Known objects, by resource.",
            "resource",
            |all| each(all, |stats| stats.objects.load(Relaxed) as f64),
        );
        stats.gauge_by(
            "longwave_extension_kubernetes_remembered",
            "{fact}",
            "Former values that are kept for late records, by resource.",
            "resource",
            |all| each(all, |stats| stats.remembered.load(Relaxed) as f64),
        );
        stats.gauge_by(
            "longwave_extension_kubernetes_synced",
            "",
            "1 once all objects have been listed. 0 before, while names are missing.",
            "resource",
            |all| each(all, |stats| f64::from(u8::from(stats.is_synced()))),
        );
        stats.gauge_by(
            "longwave_extension_kubernetes_staleness",
            "s",
            "Time since the last response of the API server, by resource. A quiet watch gets a bookmark a minute.",
            "resource",
            |all| each(all, |stats| UnixNanos::now().since(stats.last_contact()).as_secs_f64()),
        );
    }

    pub fn listed(&self, reason: ListReason) {
        self.instruments.lists.add(1, &self.with("reason", reason.as_str()));
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
        if reason != UNDECODABLE {
            self.failures.fetch_add(1, Relaxed);
        }
        self.instruments.errors.add(1, &self.with("reason", reason));
    }

    /// Resets the count of consecutive failures.
    pub fn reset_failures(&self) {
        self.failures.store(0, Relaxed);
    }

    /// Counts received bytes of a response.
    pub fn received(&self, bytes: usize, now: UnixNanos) {
        self.contact.store(now.0, Relaxed);
        self.instruments.bytes.add(bytes as u64, &self.instruments.attributes(self.resource));
    }

    pub fn contacted(&self, now: UnixNanos) {
        self.contact.store(now.0, Relaxed);
    }

    /// Returns the time of the last response of the API server.
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

    /// Returns whether everything was listed once.
    pub fn is_synced(&self) -> bool {
        self.synced.load(Relaxed)
    }

    /// Returns whether the first listing is running and may succeed.
    pub fn is_expected(&self) -> bool {
        !self.is_synced() && self.failures.load(Relaxed) < MAX_FAILURES_WHILE_EXPECTED
    }

    fn with(&self, key: &'static str, value: &'static str) -> Vec<KeyValue> {
        let mut attributes = self.instruments.attributes(self.resource);
        attributes.push(KeyValue::new(key, value));
        attributes
    }
}
