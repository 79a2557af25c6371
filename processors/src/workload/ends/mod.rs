//! [`Ends`]: the sockets of this node, by identity and by addresses. A connection's names are resolved once and stored until it closes.

pub(super) mod end;
mod naming;
mod pairing;

use std::collections::VecDeque;
use std::net::IpAddr;

use foldhash::fast::RandomState;
use hashbrown::{HashSet, HashTable};
use longwave_pipeline::model::ConnectionId;

use super::sources::Sources;
use crate::connection_map::{ConnectionMap, NO_INDEX};
use crate::holding::ResolvedNames;
use end::{End, Flag};

/// Maximum number of closed connections that are kept by their addresses. The close of the other end may be one batch later and must find
/// them.
const MAX_CLOSED: usize = 8192;

/// All known sockets, each with the workloads of its connection's two ends.
#[derive(Default)]
pub(super) struct Ends {
    hasher: RandomState,
    /// Ends of open and recently closed connections. Only open ones are found by identity.
    pub ends: ConnectionMap<End>,
    /// One end for each tuple, open or recently closed.
    by_tuple: HashTable<u32>,
    /// Ends of translated connections, by their aliases.
    by_alias: HashTable<u32>,
    /// Indices of closed connections, oldest first.
    closed: VecDeque<u32>,
    /// Addresses of this node's sockets, open or recently closed. Without loopback addresses.
    addresses: HashSet<IpAddr, RandomState>,
    /// The address that was inserted last, which saves a look-up in `addresses`.
    last_address: Option<IpAddr>,
    /// Whether an address was added since the last [`Ends::take_new_address`].
    new_address: bool,
    /// Whether the names of an end with held records have changed since the last [`Ends::take_held_changed`].
    held_changed: bool,
}

// === impl Ends ===

impl Ends {
    /// Returns the workloads of the connection's two ends.
    #[inline]
    pub fn names(&self, index: u32) -> ResolvedNames<'_> {
        self.ends.get(index).map_or_else(ResolvedNames::default, |end| ResolvedNames {
            local: end.local.as_ref(),
            peer: end.peer.as_ref(),
            service: None,
        })
    }

    /// Returns true if the names of an end with held records have changed since the last call.
    pub fn take_held_changed(&mut self) -> bool {
        std::mem::take(&mut self.held_changed)
    }

    /// Returns true if a new address of this node was added since the last call.
    pub fn take_new_address(&mut self) -> bool {
        std::mem::take(&mut self.new_address)
    }

    /// Closes the connection at `index`, if its identity is still `id`.
    pub fn end(&mut self, index: u32, id: ConnectionId, sources: &Sources) {
        if self.ends.get(index).is_some_and(|end| end.id == id) {
            self.forget_translation(index, sources);
            self.ends.close(index);
            self.closed.push_back(index);
            if self.closed.len() > MAX_CLOSED
                && let Some(oldest) = self.closed.pop_front()
            {
                self.remove(oldest);
            }
        }
    }

    /// Removes connections that have had no record for a long time, and addresses that are no longer in use.
    pub fn forget(&mut self, silent: &[u32], sources: &Sources) {
        for index in silent {
            self.forget_translation(*index, sources);
            self.remove(*index);
        }
        let addresses = &mut self.addresses;
        addresses.clear();
        self.last_address = None;
        for end in self.ends.iter().filter(|end| !end.tuple.local.address.is_loopback()) {
            addresses.insert(end.tuple.local.address);
        }
    }

    /// Returns the number of connections, including recently closed ones.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Returns the number of translated connections.
    #[cfg(test)]
    pub fn translated(&self) -> usize {
        self.by_alias.len()
    }

    /// Returns true if a socket of this node has the address.
    fn is_on_this_node(&self, address: IpAddr) -> bool {
        address.is_loopback() || self.addresses.contains(&address)
    }

    fn insert(&mut self, end: End) -> u32 {
        let address = end.tuple.local.address;
        if self.last_address != Some(address) {
            self.last_address = Some(address);
            self.new_address |= !address.is_loopback() && self.addresses.insert(address);
        }
        self.ends.insert(end)
    }

    fn forget_translation(&self, index: u32, sources: &Sources) {
        let queried = Flag::TRANSLATION_PENDING.or(Flag::TRANSLATION_KNOWN);
        if let Some(end) = self.ends.get(index).filter(|end| end.is(queried))
            && let Some(translator) = sources.translator()
        {
            translator.forget(end.id);
        }
    }

    fn remove(&mut self, index: u32) {
        self.unlist(index);
        if let Some(end) = self.ends.remove(index)
            && let Some(partner) = self.ends.get_mut(end.partner).filter(|partner| partner.partner == index)
        {
            // The partner keeps this end's name.
            partner.partner = NO_INDEX;
        }
    }
}
