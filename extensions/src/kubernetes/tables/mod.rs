//! What is known: pods by address and container, services by address and backend, each as of a time.

mod pods;
mod ranges;
mod services;
mod shared_keys;
mod string_pool;

pub(super) use pods::{Pods, SelectedFields};
pub(super) use services::Services;

use hashbrown::HashMap;
use std::net::IpAddr;

use foldhash::fast::RandomState;
use longwave_pipeline::model::UnixNanos;

/// When news came, and of which listing.
#[derive(Clone, Copy, Debug)]
pub(super) struct UpdateContext {
    /// When it was read.
    pub now: UnixNanos,
    /// It may be true since then: what is listed first may be since ever, what is listed after a gap since the gap began.
    pub since: UnixNanos,
    /// The listing that it belongs to. What a complete listing did not name is no more.
    pub listing: u32,
}

/// How many objects have an address.
#[derive(Debug, Default)]
struct AddressCounts {
    counts: HashMap<IpAddr, u32, RandomState>,
    /// Addresses that were new.
    changes: u64,
}

// === impl AddressCounts ===

impl AddressCounts {
    fn contains(&self, address: &IpAddr) -> bool {
        self.counts.contains_key(address)
    }

    fn add(&mut self, address: IpAddr) {
        let count = self.counts.entry(address).or_default();
        self.changes += u64::from(*count == 0);
        *count += 1;
    }

    fn remove(&mut self, address: &IpAddr) {
        if let Some(count) = self.counts.get_mut(address) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(address);
            }
        }
    }
}

/// What is in `before` but not in `after`. Short lists.
fn gone<'v, T: PartialEq>(before: &'v [T], after: &'v [T]) -> impl Iterator<Item = &'v T> {
    before.iter().filter(|item| !after.contains(item))
}

#[cfg(test)]
mod tests;
