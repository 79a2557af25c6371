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
    /// Whether the rest of `name` is pending at its source.
    is_partial: bool,
    /// Rank of the first source whose answer is pending.
    pending: u8,
}

// === impl Found ===

impl Default for Found {
    /// Returns a result without a name and without pending answers.
    fn default() -> Self {
        Self { name: None, rank: NONE, is_partial: false, pending: NONE }
    }
}

impl Found {
    /// Returns a result whose name takes precedence over all sources.
    pub fn settled(name: Handle<Workload>) -> Self {
        Self { name: Some(name), rank: 0, ..Self::default() }
    }

    /// Adds the answer of source `rank`.
    pub fn add(&mut self, rank: usize, answer: Answer<Handle<Workload>>) {
        // Ranks that do not fit share the last one.
        let rank = u8::try_from(rank).unwrap_or(NONE - 1).min(NONE - 1);
        match answer {
            Answer::Known(name) if rank < self.rank => {
                (self.name, self.rank, self.is_partial) = (Some(name), rank, false);
            }
            Answer::Partial(name) if rank < self.rank => {
                (self.name, self.rank, self.is_partial) = (Some(name), rank, true);
            }
            Answer::Pending => self.pending = self.pending.min(rank),
            Answer::Known(_) | Answer::Partial(_) | Answer::Unknown => {}
        }
    }

    /// Adds a known answer of source `rank`, which takes precedence over an earlier answer of that source.
    pub fn replace(&mut self, rank: usize, answer: Answer<Handle<Workload>>) {
        if matches!(answer, Answer::Known(_)) && usize::from(self.rank) == rank {
            (self.name, self.rank) = (None, NONE);
        }
        self.add(rank, answer);
    }

    /// Replaces this result of an earlier look-up of the same cgroup by `found`. A name is kept when its source no longer has it, or has
    /// only a part of it, because the cgroup is still the same.
    pub fn update(&mut self, found: Self) {
        let keeps_more = found.rank == self.rank && found.is_partial && !self.is_partial;
        if self.name.is_none() || (found.rank <= self.rank && !keeps_more) {
            *self = found;
        } else {
            self.is_partial &= found.pending <= self.rank;
        }
    }

    /// Returns true if the answer of a source that takes precedence over `rank` is pending, or the rest of a name of that rank.
    pub fn may_supersede(&self, rank: u8) -> bool {
        self.pending < rank || (self.is_partial && self.rank <= rank)
    }

    /// Returns true if the answer of a source that takes precedence over the name's source is pending, or the rest of the name.
    pub fn is_pending(&self) -> bool {
        self.may_supersede(self.rank)
    }
}
