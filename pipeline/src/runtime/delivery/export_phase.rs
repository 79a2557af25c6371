//! [`ExportPhase`]: spreads the requests of many nodes over the interval of a window.
//!
//! Windows end at the same instant on all nodes, because intervals are aligned to the wall clock. So each node delays its windows by a phase,
//! which is computed from a hash of the node's name. One node always has the same phase, and the phases of many nodes are spread evenly.
//! Timestamps do not change.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::model::{UnixNanos, Window};

/// Attributes of the resource that name a node, in order of precedence.
const NODE_NAMES: [&str; 3] = ["k8s.node.name", "host.name", "service.instance.id"];

/// The phase of a node.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ExportPhase {
    /// Fraction of the spread, within [0, 1).
    share: f64,
}

/// A wait before the first delivery of the payloads of one window.
#[derive(Clone)]
pub(super) struct PhaseWait {
    until: Instant,
    ended: CancellationToken,
}

// === impl ExportPhase ===

impl ExportPhase {
    /// Returns the phase of the node that a resource names, or the phase 0 if it names none.
    pub(crate) fn of(resource: &[(String, String)]) -> Self {
        let value = |name: &&str| resource.iter().find(|(key, _)| key == name).map(|(_, value)| value);
        NODE_NAMES.iter().find_map(value).map_or(Self::default(), |name| Self::of_name(name))
    }

    fn of_name(name: &str) -> Self {
        // The keys of this hasher are constant, so that a restart does not change the phase.
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        // 32 bits are exact in an f64, which keeps the fraction below 1.
        Self { share: f64::from((hasher.finish() >> 32) as u32) / (f64::from(u32::MAX) + 1.0) }
    }

    /// Returns how long a window has to wait at the time `now`: until its end plus the phase. The phase is less than `spread` and less than the
    /// length of the window. A window that ended earlier, as in a replay, does not wait.
    pub(super) fn delay(self, window: &Window, spread: Duration, now: UnixNanos) -> Duration {
        let phase = window.end.since(window.start).min(spread).mul_f64(self.share);
        // A window whose end is in the future (the clock was set back) waits no longer than others.
        phase.saturating_sub(now.since(window.end))
    }
}

// === impl PhaseWait ===

impl PhaseWait {
    /// Returns `None` if the delay is zero.
    pub(super) fn new(delay: Duration) -> Option<Self> {
        (!delay.is_zero()).then(|| Self { until: Instant::now() + delay, ended: CancellationToken::new() })
    }

    /// Ends the wait of all payloads of the window.
    pub(super) fn end(&self) {
        self.ended.cancel();
    }

    /// Waits until the phase has passed, the wait is ended, or `closing` fires.
    pub(super) async fn wait(&self, closing: &CancellationToken) {
        tokio::select! {
            () = tokio::time::sleep_until(self.until) => {}
            () = self.ended.cancelled() => {}
            () = closing.cancelled() => {}
        }
    }
}

#[cfg(test)]
mod tests;
