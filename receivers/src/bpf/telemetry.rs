//! Metrics of the receiver itself.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;

use super::kernel::{Losses, ProgramStatistics};
use super::tracker::Discards;

/// Statistics that the receiver's thread writes after each pass and self-telemetry reads.
#[derive(Debug, Default)]
pub struct Stats(Mutex<Snapshot>);

/// Statistics as of the last pass.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Connections that the tracker stores.
    pub tracked: u64,
    /// Duration of the last pass, including all records of its tick.
    pub pass: Duration,
    /// Passes so far.
    pub passes: u64,
    /// Loss counters of the kernel side.
    pub losses: Losses,
    /// The kernel's statistics of each program.
    pub programs: Vec<ProgramStatistics>,
    /// Events that user space discarded.
    pub discards: Discards,
    /// Walks for older connections that failed or that the kernel refused.
    pub seed_failures: u64,
}

// === impl Stats ===

impl Stats {
    /// Changes the statistics.
    pub fn update(&self, change: impl FnOnce(&mut Snapshot)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Returns a copy.
    pub fn snapshot(&self) -> Snapshot {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Exports the statistics through `meter`, with the receiver's id.
    pub fn export(self: &Arc<Self>, meter: &Meter, id: &str) {
        let receiver = KeyValue::new("receiver", id.to_owned());
        let gauge =
            |name: &'static str, unit: &'static str, text: &'static str, read: fn(&Snapshot) -> f64| {
                let (stats, attributes) = (Arc::clone(self), [receiver.clone()]);
                meter
                    .f64_observable_gauge(name)
                    .with_unit(unit)
                    .with_description(text)
                    .with_callback(move |observer| observer.observe(read(&stats.snapshot()), &attributes))
                    .build();
            };
        gauge(
            "longwave_receiver_tracked_connections",
            "{connection}",
            "Connections tracked at the end of the last pass.",
            |s| s.tracked as f64,
        );
        gauge(
            "longwave_receiver_pass_duration",
            "s",
            "Duration of the last sampling pass, including the records of its tick.",
            |s| s.pass.as_secs_f64(),
        );

        type Read = fn(&Snapshot) -> Vec<(String, u64)>;
        let counter =
            |name: &'static str, unit: &'static str, text: &'static str, key: &'static str, read: Read| {
                let (stats, receiver) = (Arc::clone(self), receiver.clone());
                meter
                    .u64_observable_counter(name)
                    .with_unit(unit)
                    .with_description(text)
                    .with_callback(move |observer| {
                        for (value, count) in read(&stats.snapshot()) {
                            if key.is_empty() {
                                observer.observe(count, std::slice::from_ref(&receiver));
                            } else {
                                observer.observe(count, &[receiver.clone(), KeyValue::new(key, value)]);
                            }
                        }
                    })
                    .build();
            };
        counter("longwave_receiver_passes", "{pass}", "Sampling passes.", "", |s| {
            vec![(String::new(), s.passes)]
        });
        counter(
            "longwave_receiver_seed_failures",
            "{walk}",
            "Walks for connections older than Longwave that failed or that the kernel refused.",
            "",
            |s| vec![(String::new(), s.seed_failures)],
        );
        counter(
            "longwave_receiver_kernel_lost_records",
            "{record}",
            "Records and connections that the kernel side could not report, by reason.",
            "reason",
            |s| s.losses.by_reason().map(|(reason, count)| (reason.to_owned(), count)).collect(),
        );
        counter(
            "longwave_receiver_kernel_events",
            "{event}",
            "Events of the kernel side that are no loss, by kind.",
            "kind",
            |s| {
                let l = &s.losses;
                [
                    ("seeded", l.seeded),
                    ("second_chance", l.second_chance),
                    ("close_untracked", l.close_untracked),
                    ("close_suppressed", l.close_suppressed),
                    ("close_taken", l.close_taken),
                    ("stuck_drain", l.stuck_drains),
                ]
                .map(|(kind, count)| (kind.to_owned(), count))
                .into()
            },
        );
        counter(
            "longwave_receiver_discarded_records",
            "{record}",
            "Records of the kernel that user space discarded, by reason.",
            "reason",
            |s| s.discards.by_reason().map(|(reason, count)| (reason.to_owned(), count)).into(),
        );
        counter(
            "longwave_receiver_overcounted_bytes",
            "By",
            "Bytes in live records that the connection's final count did not confirm.",
            "",
            |s| vec![(String::new(), s.discards.overcounted_bytes)],
        );
        counter(
            "longwave_receiver_program_recursion_misses",
            "{run}",
            "Runs that the kernel skipped, because the program would have interrupted itself. A possible loss only if `state` and `state_again` rise together.",
            "program",
            |s| s.programs.iter().map(|p| (p.name.to_owned(), p.recursion_misses)).collect(),
        );
        counter(
            "longwave_receiver_program_runs",
            "{run}",
            "Runs of the program; counted only while kernel.bpf_stats_enabled is 1.",
            "program",
            |s| s.programs.iter().map(|p| (p.name.to_owned(), p.run_cnt)).collect(),
        );
        let (stats, receiver) = (Arc::clone(self), receiver.clone());
        meter
            .f64_observable_counter("longwave_receiver_program_run_time")
            .with_unit("s")
            .with_description("Time spent in the program; counted only while kernel.bpf_stats_enabled is 1.")
            .with_callback(move |observer| {
                for program in stats.snapshot().programs {
                    let attributes = [receiver.clone(), KeyValue::new("program", program.name)];
                    observer.observe(program.run_time_ns as f64 / 1e9, &attributes);
                }
            })
            .build();
    }
}
