//! Self-telemetry of `kubernetes`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};

use longwave_pipeline::model::UnixNanos;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Meter};

use super::watch::TableCounts;

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
    extension: String,
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

// === impl Instruments ===

impl Instruments {
    pub fn new(meter: &Meter, extension: &str) -> Arc<Self> {
        let counter = |name: &'static str, unit: &'static str, text: &'static str| {
            meter.u64_counter(name).with_unit(unit).with_description(text).build()
        };
        Arc::new(Self {
            extension: extension.to_owned(),
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
        })
    }

    fn own(&self, resource: &'static str) -> [KeyValue; 2] {
        [KeyValue::new("extension", self.extension.clone()), KeyValue::new("resource", resource)]
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

    /// Registers the gauges.
    pub fn export(all: &[Arc<Self>], meter: &Meter) {
        type Read = fn(&ResourceStats) -> f64;
        let gauge = |name: &'static str, unit: &'static str, text: &'static str, read: Read| {
            let all: Vec<_> =
                all.iter().map(|stats| (Arc::clone(stats), stats.instruments.own(stats.resource))).collect();
            meter
                .f64_observable_gauge(name)
                .with_unit(unit)
                .with_description(text)
                .with_callback(move |observer| {
                    for (stats, attributes) in &all {
                        observer.observe(read(stats), attributes);
                    }
                })
                .build();
        };
        gauge("longwave_extension_kubernetes_objects", "{object}", "Known objects, by resource.", |s| {
            s.objects.load(Relaxed) as f64
        });
        gauge(
            "longwave_extension_kubernetes_remembered",
            "{fact}",
            "Former values that are kept for late records, by resource.",
            |s| s.remembered.load(Relaxed) as f64,
        );
        gauge(
            "longwave_extension_kubernetes_synced",
            "1",
            "1 once everything was listed; 0 while names are missing.",
            |s| f64::from(u8::from(s.is_synced())),
        );
        gauge(
            "longwave_extension_kubernetes_staleness",
            "s",
            "Time since the last response of the API server, by resource. A quiet watch gets a bookmark a minute.",
            |s| UnixNanos::now().since(s.last_contact()).as_secs_f64(),
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
        self.instruments.watches.add(1, &self.instruments.own(self.resource));
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

    /// Resets the count of consecutive failures.
    pub fn reset_failures(&self) {
        self.failures.store(0, Relaxed);
    }

    /// Counts received bytes of a response.
    pub fn received(&self, bytes: usize, now: UnixNanos) {
        self.contact.store(now.0, Relaxed);
        self.instruments.bytes.add(bytes as u64, &self.instruments.own(self.resource));
    }

    pub fn contacted(&self, now: UnixNanos) {
        self.contact.store(now.0, Relaxed);
    }

    /// Time of the last response of the API server.
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

    /// Whether everything was listed once.
    pub fn is_synced(&self) -> bool {
        self.synced.load(Relaxed)
    }

    /// Whether a first listing is under way and may succeed.
    pub fn is_expected(&self) -> bool {
        !self.is_synced() && self.failures.load(Relaxed) < MAX_FAILURES_WHILE_EXPECTED
    }

    fn with(&self, key: &'static str, value: &'static str) -> [KeyValue; 3] {
        let [extension, resource] = self.instruments.own(self.resource);
        [extension, resource, KeyValue::new(key, value)]
    }
}
