//! [`Found`]: what the sources, asked in order, say of one end.

use longwave_pipeline::component::Answer;
use longwave_pipeline::model::{Handle, Workload};

/// No source.
const NONE: u8 = u8::MAX;

/// The answers of several sources, of which the first counts most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// What the first that knows says.
    pub name: Option<Handle<Workload>>,
    /// Who that is.
    pub rank: u8,
    /// The first that may yet know.
    pending: u8,
}

// === impl Found ===

impl Default for Found {
    /// Nobody was asked, or nobody knows.
    fn default() -> Self {
        Self { name: None, rank: NONE, pending: NONE }
    }
}

impl Found {
    /// Whatever others may say.
    pub fn settled(name: Handle<Workload>) -> Self {
        Self { name: Some(name), rank: 0, pending: NONE }
    }

    /// Adds what source `rank` says.
    pub fn add(&mut self, rank: usize, answer: Answer<Handle<Workload>>) {
        // More sources than these count alike.
        let rank = u8::try_from(rank).unwrap_or(NONE - 1).min(NONE - 1);
        match answer {
            Answer::Known(name) if rank < self.rank => (self.name, self.rank) = (Some(name), rank),
            Answer::Pending => self.pending = self.pending.min(rank),
            Answer::Known(_) | Answer::Unknown => {}
        }
    }

    /// A source that counts more than `rank` may yet know.
    pub fn may_beat(&self, rank: u8) -> bool {
        self.pending < rank
    }

    /// A source that counts more than the one that gave the name may yet know.
    pub fn is_pending(&self) -> bool {
        self.may_beat(self.rank)
    }
}
