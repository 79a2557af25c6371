//! Self-telemetry of `docker`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;

use super::directory::DockerDirectory;

/// Counters that the extension updates and self-telemetry reads.
#[derive(Debug)]
pub(super) struct Stats {
    /// Connections to the daemon.
    pub connects: AtomicU64,
    /// Events of containers.
    pub events: AtomicU64,
    /// Failed attempts and lost connections.
    pub unreachable: AtomicU64,
    /// Responses about a container that were errors or could not be decoded.
    pub bad_answers: AtomicU64,
    /// When the connection was lost; `None` while events are followed.
    disconnected_since: Mutex<Option<Instant>>,
}

// === impl Stats ===

impl Stats {
    pub fn new() -> Self {
        Self {
            connects: AtomicU64::new(0),
            events: AtomicU64::new(0),
            unreachable: AtomicU64::new(0),
            bad_answers: AtomicU64::new(0),
            disconnected_since: Mutex::new(Some(Instant::now())),
        }
    }

    /// Counts a connection: events are followed from now on.
    pub fn connected(&self) {
        self.connects.fetch_add(1, Ordering::Relaxed);
        *self.disconnected_since.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Counts a failed attempt or a lost connection. Returns whether there was a connection until now.
    pub fn disconnected(&self) -> bool {
        self.unreachable.fetch_add(1, Ordering::Relaxed);
        let mut since = self.disconnected_since.lock().unwrap_or_else(PoisonError::into_inner);
        let was_connected = since.is_none();
        since.get_or_insert_with(Instant::now);
        was_connected
    }

    /// Time since the connection was lost; `None` while events are followed.
    pub fn staleness(&self) -> Option<Duration> {
        self.disconnected_since.lock().unwrap_or_else(PoisonError::into_inner).map(|since| since.elapsed())
    }

    /// Registers the metrics with `meter`, with the extension's id as an attribute.
    pub fn export(self: &Arc<Self>, directory: &Arc<DockerDirectory>, meter: &Meter, id: &str) {
        let extension = KeyValue::new("extension", id.to_owned());
        let (containers, attributes) = (Arc::clone(directory), [extension.clone()]);
        meter
            .u64_observable_gauge("longwave_extension_docker_containers")
            .with_unit("{container}")
            .with_description("Known containers that have not ended.")
            .with_callback(move |observer| observer.observe(containers.table().len() as u64, &attributes))
            .build();
        let gauge = |name: &'static str,
                     unit: &'static str,
                     text: &'static str,
                     read: fn(Option<Duration>) -> f64| {
            let (stats, attributes) = (Arc::clone(self), [extension.clone()]);
            meter
                .f64_observable_gauge(name)
                .with_unit(unit)
                .with_description(text)
                .with_callback(move |observer| observer.observe(read(stats.staleness()), &attributes))
                .build();
        };
        gauge(
            "longwave_extension_docker_connected",
            "1",
            "1 while the events of the daemon are followed.",
            |stale| {
                if stale.is_none() { 1.0 } else { 0.0 }
            },
        );
        gauge(
            "longwave_extension_docker_staleness",
            "s",
            "Time since the connection to the daemon was lost; 0 while its events are followed.",
            |stale| stale.unwrap_or_default().as_secs_f64(),
        );
        let counter =
            |name: &'static str, unit: &'static str, text: &'static str, read: fn(&Stats) -> &AtomicU64| {
                let (stats, attributes) = (Arc::clone(self), [extension.clone()]);
                meter
                    .u64_observable_counter(name)
                    .with_unit(unit)
                    .with_description(text)
                    .with_callback(move |observer| {
                        observer.observe(read(&stats).load(Ordering::Relaxed), &attributes);
                    })
                    .build();
            };
        counter(
            "longwave_extension_docker_connects",
            "{connect}",
            "Connections to the daemon. Each restart of the daemon adds one.",
            |stats| &stats.connects,
        );
        counter(
            "longwave_extension_docker_events",
            "{event}",
            "Events of containers that were applied.",
            |stats| &stats.events,
        );
        let (stats, extension) = (Arc::clone(self), extension.clone());
        meter
            .u64_observable_counter("longwave_extension_docker_failures")
            .with_unit("{failure}")
            .with_description(
                "Failures by reason: `unreachable` for failed attempts and lost connections, `bad_answer` for a bad response about a container.",
            )
            .with_callback(move |observer| {
                let reasons = [("unreachable", &stats.unreachable), ("bad_answer", &stats.bad_answers)];
                for (reason, count) in reasons {
                    let attributes = [extension.clone(), KeyValue::new("reason", reason)];
                    observer.observe(count.load(Ordering::Relaxed), &attributes);
                }
            })
            .build();
    }
}
