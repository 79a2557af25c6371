//! [`Health`]: whether the stages of a running graph make progress.
//!
//! | stage | stalled if |
//! |---|---|
//! | receiver that declares an interval | no pass has ended for three of its intervals |
//! | processor, exporter | it has processed or encoded one batch for three intervals (the longest one of the receivers) |
//!
//! A stage that waits is not stalled: for input, for room in the next stage, or for a server. What makes it wait is either another stalled
//! stage, which is reported itself, or a server that is down, which a restart of Longwave would not repair.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use longwave_config::GoDuration;
use tokio::time::Instant;

/// Number of intervals without progress after which a stage is stalled.
const STALLED_AFTER: u32 = 3;
/// Interval of stages if no receiver declares one.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(5);
/// Minimum time without progress, so that short intervals do not make a delay of the scheduler a failure.
const MIN_LIMIT: Duration = Duration::from_secs(1);

/// Health of a graph. Stages report their progress to it; `health_check` reads it.
#[derive(Clone, Debug, Default)]
pub struct Health {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    phase: Phase,
    /// Stages that have not ended.
    stages: Vec<Weak<Stage>>,
    /// Receivers that a reload has stopped, and that have not started again.
    restarting: Vec<String>,
}

/// Phase of the graph.
#[derive(Clone, Debug, Default)]
enum Phase {
    #[default]
    Starting,
    Running {
        since: SystemTime,
        began: Instant,
    },
    Stopping {
        reason: String,
    },
}

#[derive(Debug)]
struct Stage {
    /// Such as `processors::window of service::pipelines::metrics`.
    name: String,
    /// Interval of a receiver. `None` for other stages.
    interval: Option<Duration>,
    progress: Mutex<Progress>,
}

#[derive(Debug)]
struct Progress {
    /// When the last pass ended, or when the stage began to process its batch. `None` if it has no batch.
    since: Option<Instant>,
    /// Why the receiver does not see connections, though its passes end.
    fault: Option<String>,
}

/// Progress of a receiver that declares an interval. Dropping it ends the supervision.
#[derive(Debug)]
pub struct ReceiverProgress(Arc<Stage>);

/// Progress of a stage that processes batches. Dropping it ends the supervision.
#[derive(Debug)]
pub(crate) struct StageProgress(Arc<Stage>);

/// Marks a receiver as restarting until it is dropped.
#[derive(Debug)]
pub(crate) struct Restarting {
    health: Health,
    receiver: String,
}

/// Marks a stage as busy until it is dropped.
#[derive(Debug)]
pub(crate) struct Busy<'a>(&'a Stage);

/// Health of a graph at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HealthStatus {
    /// Everything runs.
    Healthy {
        /// When the last component had started.
        since: SystemTime,
        /// Time since then.
        uptime: Duration,
    },
    /// Not everything has started, a stage is stalled, or the graph stops.
    Unhealthy {
        /// One sentence for each cause.
        reasons: Vec<String>,
    },
}

// === impl Health ===

impl Health {
    /// Supervises a receiver. `interval` is the time between two passes. A receiver without regular passes must not call it.
    pub fn receiver(&self, id: &str, interval: Duration) -> ReceiverProgress {
        ReceiverProgress(self.add(format!("receivers::{id}"), Some(interval)))
    }

    /// Supervises a stage that processes batches.
    pub(crate) fn stage(&self, name: &str) -> StageProgress {
        StageProgress(self.add(name.to_owned(), None))
    }

    /// Reports that a reload stops a receiver before it starts the next one.
    pub(crate) fn restarting(&self, receiver: &str) -> Restarting {
        lock(&self.shared).restarting.push(receiver.to_owned());
        Restarting { health: self.clone(), receiver: receiver.to_owned() }
    }

    fn add(&self, name: String, interval: Option<Duration>) -> Arc<Stage> {
        let since = interval.map(|_| Instant::now());
        let stage = Arc::new(Stage { name, interval, progress: Mutex::new(Progress { since, fault: None }) });
        let mut shared = lock(&self.shared);
        shared.stages.retain(|stage| stage.strong_count() > 0);
        shared.stages.push(Arc::downgrade(&stage));
        stage
    }

    /// Reports that all components have started. The runtime calls it.
    pub fn all_started(&self) {
        let mut shared = lock(&self.shared);
        if matches!(shared.phase, Phase::Starting) {
            shared.phase = Phase::Running { since: SystemTime::now(), began: Instant::now() };
        }
    }

    /// Reports that the graph stops. The runtime calls it. Only the first reason is kept.
    pub fn stopping(&self, reason: impl Into<String>) {
        let mut shared = lock(&self.shared);
        if !matches!(shared.phase, Phase::Stopping { .. }) {
            shared.phase = Phase::Stopping { reason: reason.into() };
        }
    }

    /// Returns the health at this moment.
    pub fn status(&self) -> HealthStatus {
        let (phase, stages, restarting) = {
            let shared = lock(&self.shared);
            let stages: Vec<_> = shared.stages.iter().filter_map(Weak::upgrade).collect();
            (shared.phase.clone(), stages, shared.restarting.clone())
        };
        let (since, began) = match phase {
            Phase::Running { since, began } => (since, began),
            Phase::Starting => return HealthStatus::unhealthy("not all components have started"),
            Phase::Stopping { reason } => return HealthStatus::unhealthy(reason),
        };
        let longest = stages.iter().filter_map(|stage| stage.interval).max().unwrap_or(DEFAULT_INTERVAL);
        let now = Instant::now();
        let restarting =
            restarting.iter().map(|id| format!("receivers::{id}: restarting with other settings"));
        let problems = stages.iter().filter_map(|stage| stage.problem(longest, now));
        let reasons: Vec<_> = restarting.chain(problems).collect();
        if reasons.is_empty() {
            HealthStatus::Healthy { since, uptime: now.duration_since(began) }
        } else {
            HealthStatus::Unhealthy { reasons }
        }
    }
}

// === impl HealthStatus ===

impl HealthStatus {
    fn unhealthy(reason: impl Into<String>) -> Self {
        Self::Unhealthy { reasons: vec![reason.into()] }
    }
}

// === impl Stage ===

impl Stage {
    /// Returns why the stage is not healthy. `longest` is the longest interval of the receivers.
    fn problem(&self, longest: Duration, now: Instant) -> Option<String> {
        let progress = lock(&self.progress);
        let interval = self.interval.unwrap_or(longest);
        let limit = interval.saturating_mul(STALLED_AFTER).max(MIN_LIMIT);
        let waited = progress.since.map(|since| now.duration_since(since)).filter(|waited| *waited > limit);
        let Some(waited) = waited else {
            return progress.fault.as_ref().map(|fault| format!("{}: {fault}", self.name));
        };
        let what = if self.interval.is_some() { "no pass has ended for" } else { "busy with one batch for" };
        // Whole milliseconds are easier to read.
        let waited = GoDuration::from(Duration::from_millis(waited.as_millis() as u64));
        Some(format!("{}: stalled: {what} {waited} (interval {})", self.name, GoDuration::from(interval)))
    }
}

// === impl ReceiverProgress ===

impl ReceiverProgress {
    /// Returns `receivers::<id>`, for messages.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Reports that a pass has ended. `fault` says why it could not see all connections, for example because a program is detached.
    pub fn pass_ended(&self, fault: Option<String>) {
        *lock(&self.0.progress) = Progress { since: Some(Instant::now()), fault };
    }
}

// === impl Restarting ===

impl Drop for Restarting {
    fn drop(&mut self) {
        let restarting = &mut lock(&self.health.shared).restarting;
        if let Some(index) = restarting.iter().position(|id| *id == self.receiver) {
            restarting.swap_remove(index);
        }
    }
}

// === impl StageProgress ===

impl StageProgress {
    /// Marks the stage as busy with one batch.
    pub(crate) fn busy(&self) -> Busy<'_> {
        lock(&self.0.progress).since = Some(Instant::now());
        Busy(&self.0)
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        lock(&self.0.progress).since = None;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
