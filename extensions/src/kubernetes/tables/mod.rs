//! Tables of pods by address and container, and of services by address and backend, each as of a time.

mod counted_set;
mod pods;
mod ranges;
mod services;
mod shared_keys;
mod string_pool;

pub(super) use pods::{Pods, SelectedFields};
pub(super) use services::Services;

use longwave_pipeline::model::UnixNanos;

/// Times of an update, and the listing that it belongs to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Update {
    /// When the update was read.
    pub now: UnixNanos,
    /// Earliest time since which it may be valid: the epoch for the first listing, the start of the gap for a listing after a gap.
    pub since: UnixNanos,
    /// Number of the listing. Objects that a complete listing does not contain are removed.
    pub listing: u32,
}

/// Returns what is in `before` but not in `after`, for short lists.
fn gone<'v, T: PartialEq>(before: &'v [T], after: &'v [T]) -> impl Iterator<Item = &'v T> {
    before.iter().filter(|item| !after.contains(item))
}

#[cfg(test)]
mod tests;
