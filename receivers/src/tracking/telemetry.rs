//! Metrics of the receiver itself.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use longwave_pipeline::component::ComponentMeter;
use longwave_pipeline::component::cgroup::CgroupPaths;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Histogram, Meter};

use super::program_statistics::ProgramStatistics;
use super::source::SourceCounts;
use super::tracker::Discards;

/// Statistics that the receiver's thread writes after each pass and self-telemetry reads.
#[derive(Debug)]
pub struct Stats {
    snapshot: Mutex<Snapshot>,
    pass_duration: Histogram<f64>,
    attributes: Vec<KeyValue>,
}

/// Statistics as of the last pass.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Connections that the tracker stores.
    pub tracked: u64,
    /// Passes so far.
    pub passes: u64,
    /// What the source lost, and other counts.
    pub counts: SourceCounts,
    /// The kernel's statistics of each program.
    pub programs: Vec<ProgramStatistics>,
    /// Events that user space discarded.
    pub discards: Discards,
    /// How often the wall clock was set forward and back.
    pub clock_steps: [u64; 2],
    /// How far the ends of windows are ahead of the wall clock.
    pub window_lead: Duration,
    /// Walks for older connections that failed or that the kernel refused.
    pub seed_failures: u64,
    /// Walks of all descriptors for the owners of accepted connections.
    pub holder_walks: u64,
    /// Those of them that failed.
    pub holder_walk_failures: u64,
    /// Time that they took.
    pub holder_walk_time: Duration,
}

/// Upper bounds of the histogram of passes, in seconds: from an idle host to one that is overloaded.
const PASS_BOUNDS: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

// === impl Stats ===

impl Stats {
    /// Exports the statistics, and those of the paths of new cgroups, through `meter` with the receiver's id.
    pub fn new(meter: &Meter, id: &str, paths: &Arc<CgroupPaths>) -> Arc<Self> {
        let meter = ComponentMeter::new(meter, [("receiver", id)]);
        let pass_duration = meter.histogram(
            "longwave_receiver_pass_duration",
            "s",
            "Duration of a sampling pass, including the records of its tick.",
            PASS_BOUNDS.to_vec(),
        );
        let attributes = meter.attributes().to_vec();
        let stats = Arc::new(Self { snapshot: Mutex::default(), pass_duration, attributes });
        stats.export(&meter);
        export_cgroups(paths, &meter);
        stats
    }

    /// Records the duration of a pass, including all records of its tick.
    pub fn record_pass(&self, duration: Duration) {
        self.pass_duration.record(duration.as_secs_f64(), &self.attributes);
    }

    /// Changes the statistics.
    pub fn update(&self, change: impl FnOnce(&mut Snapshot)) {
        change(&mut self.snapshot.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Returns a copy.
    pub fn snapshot(&self) -> Snapshot {
        self.snapshot.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn export(self: &Arc<Self>, meter: &ComponentMeter) {
        let stats = meter.observe(self);
        stats.gauge(
            "longwave_receiver_tracked_connections",
            "{connection}",
            "Connections tracked at the end of the last pass.",
            |stats| stats.snapshot().tracked as f64,
        );
        stats.counter("longwave_receiver_passes", "{pass}", "Sampling passes.", |stats| {
            stats.snapshot().passes
        });
        stats.counter(
            "longwave_receiver_seed_failures",
            "{walk}",
            "Walks for connections older than Longwave that failed or that the kernel refused.",
            |stats| stats.snapshot().seed_failures,
        );
        stats.counter_by(
            "longwave_receiver_holder_walks",
            "{walk}",
            "Walks of the descriptors of all processes for the owners of accepted connections, by outcome.",
            "outcome",
            |stats| {
                let Snapshot { holder_walks, holder_walk_failures, .. } = stats.snapshot();
                [("ok", holder_walks - holder_walk_failures), ("failed", holder_walk_failures)]
            },
        );
        stats.counter(
            "longwave_receiver_holder_walk_time",
            "s",
            "Time that walks of the descriptors of all processes took.",
            |stats| stats.snapshot().holder_walk_time.as_secs_f64(),
        );
        stats.counter_by(
            "longwave_receiver_clock_steps",
            "{step}",
            "Steps of the wall clock by at least a millisecond, by direction.",
            "direction",
            |stats| {
                let [forward, back] = stats.snapshot().clock_steps;
                [("forward", forward), ("back", back)]
            },
        );
        stats.gauge(
            "longwave_receiver_window_lead",
            "s",
            "Time by which the ends of windows are ahead of the wall clock, because it was set back.",
            |stats| stats.snapshot().window_lead.as_secs_f64(),
        );
        stats.counter_by(
            "longwave_receiver_kernel_lost_records",
            "{record}",
            "Records and connections that the kernel side could not report, by reason.",
            "reason",
            |stats| stats.snapshot().counts.lost,
        );
        stats.counter_by(
            "longwave_receiver_kernel_events",
            "{event}",
            "Events of the kernel side that are no loss, by kind.",
            "kind",
            |stats| stats.snapshot().counts.events,
        );
        stats.counter_by(
            "longwave_receiver_discarded_records",
            "{record}",
            "Records of the kernel that user space discarded, by reason.",
            "reason",
            |stats| stats.snapshot().discards.by_reason(),
        );
        stats.counter(
            "longwave_receiver_overcounted_bytes",
            "By",
            "Bytes in records of open connections that their final counts did not confirm.",
            |stats| stats.snapshot().discards.overcounted_bytes,
        );
        stats.counter_by(
            "longwave_receiver_program_recursion_misses",
            "{run}",
            "Runs that the kernel skipped because the program would have interrupted itself. \
             A possible loss only where `state` and `state_again` rise together.",
            "program",
            |stats| stats.by_program(|program| program.recursion_misses),
        );
        stats.counter_by(
            "longwave_receiver_program_runs",
            "{run}",
            "Runs of the program; counted only while kernel.bpf_stats_enabled is 1.",
            "program",
            |stats| stats.by_program(|program| program.run_cnt),
        );
        stats.counter_by(
            "longwave_receiver_program_run_time",
            "s",
            "Time spent in the program; counted only while kernel.bpf_stats_enabled is 1.",
            "program",
            |stats| stats.by_program(|program| program.run_time_ns as f64 / 1e9),
        );
    }

    fn by_program<N>(&self, read: fn(&ProgramStatistics) -> N) -> Vec<(&'static str, N)> {
        self.snapshot().programs.iter().map(|program| (program.name, read(program))).collect()
    }
}

/// The paths of cgroups, which other components share.
struct SharedPaths {
    paths: Arc<CgroupPaths>,
    /// Evictions before the receiver started, which a former receiver has counted.
    evicted_before: u64,
}

fn export_cgroups(paths: &Arc<CgroupPaths>, meter: &ComponentMeter) {
    let paths = SharedPaths { evicted_before: paths.evicted(), paths: Arc::clone(paths) };
    let paths = Arc::new(paths);
    let paths = meter.observe(&paths);
    paths.gauge(
        "longwave_receiver_known_cgroups",
        "{cgroup}",
        "Cgroups whose paths the kernel reported when they were created, removed ones of the last minutes included.",
        |shared| shared.paths.len() as f64,
    );
    paths.counter(
        "longwave_receiver_evicted_cgroups",
        "{cgroup}",
        "Paths of cgroups that were evicted early, because there were more than 16,384 paths or 4 MiB.",
        |shared| shared.paths.evicted().saturating_sub(shared.evicted_before),
    );
}
