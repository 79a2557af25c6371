//! What `docker` tells of itself.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use opentelemetry::KeyValue;
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
        let extension = KeyValue::new("extension", id.to_owned());
        let (containers, attributes) = (Arc::clone(directory), [extension.clone()]);
        meter
            .u64_observable_gauge("longwave_extension_docker_containers")
            .with_unit("{container}")
            .with_description("Containers known that have not ended.")
            .with_callback(move |observer| observer.observe(containers.state().len() as u64, &attributes))
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
        gauge("longwave_extension_docker_connected", "1", "1 while the daemon tells what is new.", |stale| {
            if stale.is_none() { 1.0 } else { 0.0 }
        });
        gauge(
            "longwave_extension_docker_staleness",
            "s",
            "Since when the daemon could not be asked; 0 while it tells what is new.",
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
            "Times that the daemon was reached; one without a restart of the daemon.",
            |stats| &stats.connects,
        );
        counter("longwave_extension_docker_events", "{event}", "Events of containers taken in.", |stats| {
            &stats.events
        });
        let (stats, extension) = (Arc::clone(self), extension.clone());
        meter
            .u64_observable_counter("longwave_extension_docker_failures")
            .with_unit("{failure}")
            .with_description(
                "What went wrong with the daemon: `unreachable` attempts and lost connections, `bad_answer` about a container.",
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
