//! What `docker` tells of itself.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use longwave_pipeline::component::ComponentMeter;
use opentelemetry::metrics::Meter;

use super::directory::DockerDirectory;

/// Counted by the extension, read by self-telemetry.
#[derive(Debug)]
pub(super) struct Stats {
    /// Times that the daemon was reached.
    pub connects: AtomicU64,
    /// Events of containers.
    pub events: AtomicU64,
    /// Attempts and connections that failed.
    pub unreachable: AtomicU64,
    /// Answers about a container that were errors or could not be read.
    pub bad_answers: AtomicU64,
    /// Since when the daemon tells nothing; absent while it does.
    apart: Mutex<Option<Instant>>,
}

// === impl Stats ===

impl Stats {
    pub fn new() -> Self {
        Self {
            connects: AtomicU64::new(0),
            events: AtomicU64::new(0),
            unreachable: AtomicU64::new(0),
            bad_answers: AtomicU64::new(0),
            apart: Mutex::new(Some(Instant::now())),
        }
    }

    /// The daemon tells what is new from now on.
    pub fn connected(&self) {
        self.connects.fetch_add(1, Ordering::Relaxed);
        *self.apart.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The daemon could not be reached, or is no more. Returns whether it was there until now.
    pub fn apart(&self) -> bool {
        self.unreachable.fetch_add(1, Ordering::Relaxed);
        let mut apart = self.apart.lock().unwrap_or_else(PoisonError::into_inner);
        let was_connected = apart.is_none();
        apart.get_or_insert_with(Instant::now);
        was_connected
    }

    /// How old the newest knowledge may be; absent while the daemon tells what is new.
    pub fn staleness(&self) -> Option<Duration> {
        self.apart.lock().unwrap_or_else(PoisonError::into_inner).map(|since| since.elapsed())
    }

    /// Exports them through `meter`, with the extension's id.
    pub fn export(self: &Arc<Self>, directory: &Arc<DockerDirectory>, meter: &Meter, id: &str) {
        let meter = ComponentMeter::new(meter, [("extension", id)]);
        let directory = meter.observe(directory);
        directory.gauge(
            "longwave_extension_docker_containers",
            "{container}",
            "Containers known that have not ended.",
            |directory| directory.state().len() as u64,
        );
        let stats = meter.observe(self);
        stats.gauge(
            "longwave_extension_docker_connected",
            "1",
            "1 while the daemon tells what is new.",
            |stats| {
                if stats.staleness().is_none() { 1.0 } else { 0.0 }
            },
        );
        stats.gauge(
            "longwave_extension_docker_staleness",
            "s",
            "Since when the daemon could not be asked; 0 while it tells what is new.",
            |stats| stats.staleness().unwrap_or_default().as_secs_f64(),
        );
        stats.counter(
            "longwave_extension_docker_connects",
            "{connect}",
            "Times that the daemon was reached; one without a restart of the daemon.",
            |stats| stats.connects.load(Ordering::Relaxed),
        );
        stats.counter(
            "longwave_extension_docker_events",
            "{event}",
            "Events of containers taken in.",
            |stats| stats.events.load(Ordering::Relaxed),
        );
        stats.counter_by(
            "longwave_extension_docker_failures",
            "{failure}",
            "What went wrong with the daemon: `unreachable` attempts and lost connections, `bad_answer` about a container.",
            "reason",
            |stats| {
                [("unreachable", &stats.unreachable), ("bad_answer", &stats.bad_answers)]
                    .map(|(reason, count)| (reason, count.load(Ordering::Relaxed)))
            },
        );
    }
}
