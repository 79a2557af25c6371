//! How long to wait for what.

use std::time::Duration;

use longwave_pipeline::component::{Backoff, jitter};

/// Waiting times.
#[derive(Clone, Debug)]
pub(in crate::kubernetes) struct Timing {
    /// After the first failure; doubled with each further one.
    pub backoff: Duration,
    /// The longest wait after failures, before randomisation.
    pub longest_backoff: Duration,
    /// Up to this long, by chance, before everything is listed again: all nodes have to at the same time.
    pub spread: Duration,
    /// For an answer to begin.
    pub answer: Duration,
    /// For the next piece of an answer, or a watch's next event or bookmark (one a minute).
    pub silence: Duration,
    /// How long a watch lasts at least; at most twice as long.
    pub watch: Duration,
}

// === impl Timing ===

impl Default for Timing {
    fn default() -> Self {
        Self {
            backoff: Duration::from_secs(1),
            longest_backoff: Duration::from_secs(30),
            spread: Duration::from_secs(10),
            answer: Duration::from_secs(60),
            silence: Duration::from_secs(150),
            watch: Duration::from_secs(300),
        }
    }
}

impl Timing {
    /// Before the next attempt after `failures` in a row: half to one and a half of the doubled time.
    pub fn backoff(&self, failures: u32) -> Duration {
        Backoff::doubling(self.backoff, self.longest_backoff).wait(failures)
    }

    /// Before everything is listed again.
    pub fn spread(&self) -> Duration {
        jitter(self.spread)
    }

    /// How long the next watch shall last.
    pub fn watch(&self) -> Duration {
        self.watch + jitter(self.watch)
    }
}
