//! [`run`]: tracks the connections of a source on the receiver's thread.

use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use longwave_pipeline::component::host::BootId;
use longwave_pipeline::component::{ComponentError, ReceiverContext};

use super::cgroup;
use super::holder_walks::HolderWalks;
use super::sink::Pipelines;
use super::source::Source;
use super::telemetry::Stats;
use super::thread::{Outcome, ReceiverThread};
use super::timeline::{Reading, SystemClock, Timeline};
use super::tracker::{LimitFields, Rules, Tracker};
use super::worker::Worker;

/// What a receiver decides about tracking. The fields that [`Rules`] also has are described there.
pub struct TrackingConfig {
    /// Time between two passes.
    pub interval: Duration,
    pub idle_records: bool,
    pub vanish_after: u16,
    pub max_connections: usize,
    pub limits: LimitFields,
    /// When the source looks up holders.
    pub holder_walks: HolderWalks,
}

/// Tracks the connections of `source`, which has found the older ones, until the thread has to stop.
///
/// # Errors
/// The boot id cannot be read, or several passes in a row failed.
pub fn run<K: Source>(
    thread: ReceiverThread,
    context: &ReceiverContext,
    source: K,
    config: TrackingConfig,
    stats: Arc<Stats>,
) -> Outcome {
    let TrackingConfig { interval, idle_records, vanish_after, max_connections, limits, holder_walks } =
        config;
    let ReceiverThread { output, executor, stop, ready } = thread;
    let boot = BootId::read(Path::new("/proc"))
        .map_err(|error| ComponentError::with_source(error.to_string(), error))?;
    let shared_cgroups = cgroup::shared();
    let boot = boot.short();
    let rules = Rules { boot, idle_records, vanish_after, max_connections, shared_cgroups, limits };
    let tracker = Tracker::new(rules, Pipelines::new(output, executor, interval / 4));
    let timeline = Timeline::new(interval, Reading::now());
    let progress = context.health.receiver(&context.id, interval);
    let worker = Worker::new(source, tracker, timeline, SystemClock, stats, progress, holder_walks);
    // If the receiving side is gone, `stop` is readable too.
    let _ = ready.send(());
    let sink = worker
        .run(stop.as_fd())
        .map_err(|error| ComponentError::with_source(format!("receivers::{}: {error}", context.id), error))?;
    Ok(sink.into_output())
}
