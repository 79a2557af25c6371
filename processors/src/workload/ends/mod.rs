//! The connections of this node, by identity and by addresses: a connection's names are found once and kept here until it ends.

mod end;
mod naming;
mod pairing;

use std::collections::VecDeque;
use std::net::IpAddr;

use foldhash::fast::RandomState;
use hashbrown::{HashSet, HashTable};
use longwave_pipeline::model::{ConnectionId, ConnectionRecord, Handle, Workload};

pub(super) use naming::Seen;

use super::sources::Sources;
use crate::known::{Known, NOBODY, Passes, STRIDE};
use end::{End, Flag};

/// Ended connections whose addresses are still known, so that the other end's close finds them: it may come a batch later.
const MAX_ENDED: usize = 8192;

/// All known ends.
pub(super) struct Ends {
    hasher: RandomState,
    /// By identity only those that are open.
    ends: Known<End>,
    /// One end for each tuple, open or ended lately.
    by_tuple: HashTable<u32>,
    /// Those of translated connections, by their aliases.
    by_alias: HashTable<u32>,
    ended: VecDeque<u32>,
    passes: Passes,
    /// Addresses that sockets of this node have or had lately; without loopback's.
    addresses: HashSet<IpAddr, RandomState>,
    last_address: Option<IpAddr>,
    new_address: bool,
    /// An end whose records wait has heard of its peer.
    news: bool,
}

// === impl Ends ===

impl Ends {
    /// None known.
    pub fn new() -> Self {
        Self {
            hasher: RandomState::default(),
            ends: Known::default(),
            by_tuple: HashTable::new(),
            by_alias: HashTable::new(),
            ended: VecDeque::new(),
            passes: Passes::default(),
            addresses: HashSet::default(),
            last_address: None,
            new_address: false,
            news: false,
        }
    }

    /// The indices of some records' connections, for [`Ends::learn`].
    #[inline]
    pub fn look_up(&mut self, records: &[ConnectionRecord]) -> [u32; STRIDE] {
        self.ends.look_up(records)
    }

    /// The index of an open connection.
    pub fn index_of(&self, id: ConnectionId) -> Option<u32> {
        self.ends.find(id)
    }

    /// The workloads of the connection's local end and its peer.
    #[inline]
    pub fn names(&self, index: u32) -> (Option<&Handle<Workload>>, Option<&Handle<Workload>>) {
        self.ends.get(index).map_or((None, None), |end| (end.local.as_ref(), end.peer.as_ref()))
    }

    /// Records of the connection wait.
    pub fn is_held(&self, index: u32) -> bool {
        self.ends.get(index).is_some_and(|end| end.is(Flag::HELD))
    }

    /// A record of the connection waits from now on.
    pub fn hold(&mut self, index: u32) {
        if let Some(end) = self.ends.get_mut(index) {
            end.set(Flag::HELD, true);
        }
    }

    /// The connection's records do not wait any more; never again if they have `waited` in vain.
    pub fn release(&mut self, index: u32, waited: bool) {
        if let Some(end) = self.ends.get_mut(index) {
            end.set(Flag::HELD, false);
            end.set(Flag::WAITED, waited || end.is(Flag::WAITED));
        }
    }

    /// An end whose records wait has heard of its peer since the last call.
    pub fn take_news(&mut self) -> bool {
        std::mem::take(&mut self.news)
    }

    /// An address has shown to be this node's since the last call.
    pub fn take_new_address(&mut self) -> bool {
        std::mem::take(&mut self.new_address)
    }

    /// The connection ended.
    pub fn end(&mut self, index: u32, id: ConnectionId, sources: &Sources) {
        if self.ends.get(index).is_some_and(|end| end.id == id) {
            self.forget_translation(index, sources);
            self.ends.close(index);
            self.ended.push_back(index);
            if self.ended.len() > MAX_ENDED
                && let Some(oldest) = self.ended.pop_front()
            {
                self.remove(oldest);
            }
        }
    }

    /// A pass of the receiver is over.
    pub fn pass_end(&mut self, sources: &Sources) {
        if !self.passes.end() {
            return;
        }
        let passes = self.passes;
        for index in self.ends.open_where(|end| !end.is(Flag::HELD) && passes.is_silent(end.seen)) {
            self.forget_translation(index, sources);
            self.remove(index);
        }
        let addresses = &mut self.addresses;
        addresses.clear();
        self.last_address = None;
        for end in self.ends.iter().filter(|end| !end.tuple.local.address.is_loopback()) {
            addresses.insert(end.tuple.local.address);
        }
    }

    /// Connections known, those that ended lately included.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Translated connections among them.
    #[cfg(test)]
    pub fn translated(&self) -> usize {
        self.by_alias.len()
    }

    /// The address is one of this node's sockets'.
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
        let asked = Flag::TRANSLATION_PENDING.or(Flag::TRANSLATION_KNOWN);
        if let Some(end) = self.ends.get(index).filter(|end| end.is(asked))
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
            // What the partner knows of this end stays true.
            partner.partner = NOBODY;
        }
    }
}
