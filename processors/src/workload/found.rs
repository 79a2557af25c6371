//! [`Found`]: the result of a look-up of one end in all sources.

use longwave_pipeline::component::Answer;
use longwave_pipeline::model::{Handle, Workload};

/// Used as rank if there is no source.
const NONE: u8 = u8::MAX;

/// The combined answers of several sources. A source's rank is its position in the list; a lower rank takes precedence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// The name from the first source that has one.
    pub name: Option<Handle<Workload>>,
    /// Rank of the source of `name`.
    pub rank: u8,
    /// Rank of the first source whose answer is pending.
    pending: u8,
}

// === impl Found ===

impl Default for Found {
    /// Returns a result without a name and without pending answers.
    fn default() -> Self {
        Self { name: None, rank: NONE, pending: NONE }
    }
}

impl Found {
    /// Returns a result whose name takes precedence over all sources.
    pub fn settled(name: Handle<Workload>) -> Self {
        Self { name: Some(name), rank: 0, pending: NONE }
    }

    /// Adds the answer of source `rank`.
    pub fn add(&mut self, rank: usize, answer: Answer<Handle<Workload>>) {
        // Ranks that do not fit share the last one.
        let rank = u8::try_from(rank).unwrap_or(NONE - 1).min(NONE - 1);
        match answer {
            Answer::Known(name) if rank < self.rank => (self.name, self.rank) = (Some(name), rank),
            Answer::Pending => self.pending = self.pending.min(rank),
            Answer::Known(_) | Answer::Unknown => {}
        }
    }

    /// Adds a known answer of source `rank`, which takes precedence over an earlier answer of that source.
    pub fn replace(&mut self, rank: usize, answer: Answer<Handle<Workload>>) {
        if matches!(answer, Answer::Known(_)) && usize::from(self.rank) == rank {
            (self.name, self.rank) = (None, NONE);
        }
        self.add(rank, answer);
    }

    /// Returns true if the answer of a source that takes precedence over `rank` is pending.
    pub fn may_supersede(&self, rank: u8) -> bool {
        self.pending < rank
    }

    /// Returns true if the answer of a source that takes precedence over the name's source is pending.
    pub fn is_pending(&self) -> bool {
        self.may_supersede(self.rank)
    }
}
