//! Pairs the two sockets of a connection within this node by their addresses, also across a translation.

use std::hash::BuildHasher;

use super::Ends;
use super::end::{Alias, Flag, Tuple};
use crate::connection_map::NO_INDEX;

impl Ends {
    /// Adds the end to the table of tuples.
    pub(super) fn list(&mut self, index: u32) {
        let Some(end) = self.ends.get(index) else { return };
        let (tuple, id) = (end.tuple, end.id);
        if !tuple.is_complete() {
            return;
        }
        if let Some(other) = self.find(&tuple) {
            let is_open = self.ends.is_open(other);
            let Some(listed) = self.ends.get_mut(other) else { return };
            if is_open && listed.id.netns != id.netns {
                listed.set(Flag::AMBIGUOUS, true);
                self.unpair(other);
                return;
            }
            // The addresses are reused, so the older connection has closed.
            self.unlist(other);
        }
        let (ends, hasher) = (&self.ends, &self.hasher);
        let hash = hasher.hash_one(tuple);
        self.by_tuple
            .insert_unique(hash, index, |index| ends.get(*index).map_or(0, |end| hasher.hash_one(end.tuple)));
        if let Some(end) = self.ends.get_mut(index) {
            end.set(Flag::LISTED, true);
        }
    }

    /// Adds the end of a translated connection to the table of aliases.
    pub(super) fn list_alias(&mut self, index: u32, alias: Alias) {
        let Some(end) = self.ends.get_mut(index) else { return };
        let (tuple, netns) = (alias.tuple, end.id.netns);
        end.alias = Some(Box::new(alias));
        if let Some(other) = self.find_alias(&tuple) {
            self.unlist_alias(other);
            if self.ends.is_open(other) && self.ends.get(other).is_some_and(|other| other.id.netns != netns) {
                // Two namespaces have the same addresses, so neither alias is listed.
                return;
            }
        }
        let (ends, hasher) = (&self.ends, &self.hasher);
        self.by_alias.insert_unique(hasher.hash_one(tuple), index, |index| {
            let alias = ends.get(*index).and_then(|end| end.alias.as_ref());
            alias.map_or(0, |alias| hasher.hash_one(alias.tuple))
        });
    }

    /// Makes the end and its peer's socket partners, if that socket is known, and stores the end's name as the partner's peer.
    /// [`Ends::settle_peer`] copies the name in the opposite direction.
    pub(super) fn pair(&mut self, index: u32) {
        let Some(other) = self.partner_of(index) else { return };
        let Some(partner) = self.ends.get_mut(other) else { return };
        let former = std::mem::replace(&mut partner.partner, index);
        if former != index
            && let Some(former) = self.ends.get_mut(former).filter(|former| former.partner == other)
        {
            former.partner = NO_INDEX;
        }
        if let Some(end) = self.ends.get_mut(index) {
            end.partner = other;
        }
        self.update_partner(index);
    }

    /// Stores the end's name as its partner's peer.
    pub(super) fn update_partner(&mut self, index: u32) {
        let Some(end) = self.ends.get(index) else { return };
        let (local, is_pending) = (end.local.clone(), end.is(Flag::LOCAL_PENDING));
        let Some(partner) = self.ends.get_mut(end.partner) else { return };
        self.held_changed |= partner.is(Flag::HELD);
        let is_final = local.is_some() && !is_pending;
        if is_final || partner.peer.is_none() {
            partner.name_peer_by_socket(local);
        }
        if is_final {
            partner.set(Flag::PEER_PENDING.or(Flag::TRANSLATION_PENDING), false);
        } else {
            partner.version = 0;
        }
    }

    /// Removes the end from the tables of tuples and aliases.
    pub(super) fn unlist(&mut self, index: u32) {
        self.unlist_alias(index);
        let Some(end) = self.ends.get_mut(index).filter(|end| end.is(Flag::LISTED)) else { return };
        end.set(Flag::LISTED, false);
        let hash = self.hasher.hash_one(end.tuple);
        if let Ok(entry) = self.by_tuple.find_entry(hash, |candidate| *candidate == index) {
            entry.remove();
        }
    }

    fn unlist_alias(&mut self, index: u32) {
        let Some(alias) = self.ends.get(index).and_then(|end| end.alias.as_ref()) else { return };
        let hash = self.hasher.hash_one(alias.tuple);
        if let Ok(entry) = self.by_alias.find_entry(hash, |candidate| *candidate == index) {
            entry.remove();
        }
    }

    /// Separates the end from its partner, and removes the names that each has from the other.
    fn unpair(&mut self, index: u32) {
        let Some(end) = self.ends.get_mut(index) else { return };
        let partner = std::mem::replace(&mut end.partner, NO_INDEX);
        end.name_peer_by_socket(None);
        end.version = 0;
        if let Some(partner) = self.ends.get_mut(partner).filter(|partner| partner.partner == index) {
            partner.partner = NO_INDEX;
            partner.name_peer_by_socket(None);
            partner.version = 0;
        }
    }

    fn partner_of(&self, index: u32) -> Option<u32> {
        let end = self.ends.get(index).filter(|end| end.is(Flag::LISTED) && !end.is(Flag::AMBIGUOUS))?;
        let reversed = end.tuple.reversed();
        let across = || self.find(&end.alias.as_ref()?.tuple.reversed());
        let other = self.find(&reversed).or_else(|| self.find_alias(&reversed)).or_else(across)?;
        let clear = self.ends.get(other).is_some_and(|other| !other.is(Flag::AMBIGUOUS));
        (clear && other != index).then_some(other)
    }

    fn find(&self, tuple: &Tuple) -> Option<u32> {
        let hash = self.hasher.hash_one(tuple);
        self.by_tuple
            .find(hash, |index| self.ends.get(*index).is_some_and(|end| end.tuple == *tuple))
            .copied()
    }

    fn find_alias(&self, tuple: &Tuple) -> Option<u32> {
        if self.by_alias.is_empty() {
            return None;
        }
        let alias = |index: &u32| self.ends.get(*index).and_then(|end| end.alias.as_ref());
        let hash = self.hasher.hash_one(tuple);
        self.by_alias.find(hash, |index| alias(index).is_some_and(|alias| alias.tuple == *tuple)).copied()
    }
}
