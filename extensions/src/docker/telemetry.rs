//! Self-telemetry of `docker`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use longwave_pipeline::component::ComponentMeter;
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
    pub bad_responses: AtomicU64,
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
            bad_responses: AtomicU64::new(0),
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

    /// Returns the time since the connection was lost; `None` while events are followed.
    pub fn staleness(&self) -> Option<Duration> {
        self.disconnected_since.lock().unwrap_or_else(PoisonError::into_inner).map(|since| since.elapsed())
    }

    /// Registers the metrics with `meter`, with the extension's id as an attribute.
    pub fn export(self: &Arc<Self>, directory: &Arc<DockerDirectory>, meter: &Meter, id: &str) {
        let meter = ComponentMeter::new(meter, [("extension", id)]);
        let directory = meter.observe(directory);
        directory.gauge(
            "longwave_extension_docker_containers",
            "{container}",
            "Known containers that have not ended.",
            |directory| directory.table().len() as u64,
        );
        let stats = meter.observe(self);
        stats.gauge(
            "longwave_extension_docker_connected",
            "",
            "1 while the events of the daemon are followed.",
            |stats| {
                if stats.staleness().is_none() { 1.0 } else { 0.0 }
            },
        );
        stats.gauge(
            "longwave_extension_docker_staleness",
            "s",
            "Time since the connection to the daemon was lost; 0 while its events are followed.",
            |stats| stats.staleness().unwrap_or_default().as_secs_f64(),
        );
        stats.counter(
            "longwave_extension_docker_connects",
            "{connect}",
            "Connections to the daemon. Each restart of the daemon adds one.",
            |stats| stats.connects.load(Ordering::Relaxed),
        );
        stats.counter(
            "longwave_extension_docker_events",
            "{event}",
            "Events of containers that were applied.",
            |stats| stats.events.load(Ordering::Relaxed),
        );
        stats.counter_by(
            "longwave_extension_docker_failures",
            "{failure}",
            "Failures by reason: `unreachable` for failed attempts and lost connections, `bad_answer` for a bad response about a container.",
            "reason",
            |stats| {
                [("unreachable", &stats.unreachable), ("bad_answer", &stats.bad_responses)]
                    .map(|(reason, count)| (reason, count.load(Ordering::Relaxed)))
            },
        );
    }
}
