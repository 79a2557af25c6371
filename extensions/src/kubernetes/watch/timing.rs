//! Waits and time limits of a watch.

use std::time::Duration;

use longwave_pipeline::component::{Backoff, jitter};

/// Waits and time limits of a watch.
#[derive(Clone, Debug)]
pub(in crate::kubernetes) struct Timing {
    /// Wait after the first failure; it doubles with each further one.
    pub backoff: Duration,
    /// Longest wait after failures, before randomisation.
    pub longest_backoff: Duration,
    /// Upper bound of the random wait before everything is listed again, which all nodes do at the same time.
    pub spread: Duration,
    /// Limit until a response begins.
    pub response: Duration,
    /// Limit until the next piece of a response, or the next event or bookmark of a watch (one a minute).
    pub silence: Duration,
    /// Shortest duration of a watch; the longest is twice as long.
    pub watch: Duration,
}

// === impl Timing ===

impl Default for Timing {
    fn default() -> Self {
        Self {
            backoff: Duration::from_secs(1),
            longest_backoff: Duration::from_secs(30),
            spread: Duration::from_secs(10),
            response: Duration::from_secs(60),
            silence: Duration::from_secs(150),
            watch: Duration::from_secs(300),
        }
    }
}

impl Timing {
    /// Returns the wait after `failures` consecutive failures: half to one and a half of the doubled time.
    pub fn backoff(&self, failures: u32) -> Duration {
        Backoff::doubling(self.backoff, self.longest_backoff).wait(failures)
    }

    /// Returns a random wait before everything is listed again.
    pub fn spread(&self) -> Duration {
        jitter(self.spread)
    }

    /// Returns a random duration for the next watch.
    pub fn watch(&self) -> Duration {
        self.watch + jitter(self.watch)
    }
}
