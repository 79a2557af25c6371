//! Resolves the two ends of a connection, at its first record and again when a source has changed while a name is missing.

use std::time::Instant;

use longwave_pipeline::model::{ConnectionRecord, Endpoint, Event, Role, TcpState};

use super::end::{Alias, End, Flag, NOT_BY_ADDRESS, Tuple};
use super::{Ends, Sources};
use crate::conntrack::{Translated, Translation};
use crate::holding::BatchContext;
use crate::workload::cgroup::ROOT;
use crate::workload::found::Found;

/// The address of the socket at the other end.
enum OtherAddress {
    Known(Endpoint),
    /// A conntrack look-up is pending.
    Pending,
}

impl Ends {
    /// Resolves the two ends of a record's connection. `index` is `None` at its first record. Returns the index.
    #[inline]
    pub fn resolve(
        &mut self,
        index: Option<u32>,
        record: &ConnectionRecord,
        sources: &mut Sources,
        batch: &mut BatchContext,
    ) -> u32 {
        let index = index.unwrap_or_else(|| self.add(record, sources, batch.now));
        if let Some(end) = self.ends.get_mut(index) {
            end.last_pass = batch.pass;
            // An owner that is found late is used immediately if it was found in another way, or if there is no name or a better one is
            // pending. Otherwise it is used after the next change of a source.
            let has_owner = || end.cgroup != record.owner.cgroup && identifies(record.owner.cgroup);
            let is_stale = end.is_stale(sources.version())
                || end.owner_source != record.owner.source
                || ((end.local.is_none() || end.is(Flag::LOCAL_PENDING)) && has_owner());
            if is_stale {
                self.look_up_again(index, record, sources, batch.now);
            }
        }
        if let Some(end) = self.ends.get(index) {
            batch.has_names |= end.local.is_some() || end.peer.is_some();
            batch.may_wait |= may_wait(end, record);
        }
        index
    }

    /// Resolves again a held connection. `record` is its first held record.
    pub fn resolve_again(
        &mut self,
        index: u32,
        record: &ConnectionRecord,
        sources: &mut Sources,
        now: Instant,
    ) {
        if self.ends.get(index).is_some_and(|end| end.is_stale(sources.version())) {
            self.look_up_again(index, record, sources, now);
        }
    }

    /// Returns true if the record should wait for a name.
    pub fn waits(&self, index: u32, record: &ConnectionRecord, sources: &Sources) -> bool {
        let Some(end) = self.ends.get(index) else { return false };
        if !may_wait(end, record) {
            return false;
        }
        if end.is(Flag::LOCAL_PENDING) && record.names.local.is_none() {
            return true;
        }
        if record.names.peer.is_some() {
            return false;
        }
        end.is(Flag::PEER_PENDING.or(Flag::TRANSLATION_PENDING)) || self.misses_partner(end, record, sources)
    }

    /// Returns true if the socket at the other end is on this node and not known yet. It names its end better than the address does, by its
    /// container for example.
    ///
    /// The two ends of a connection open and close at nearly the same time, but their records may be in two batches. Behind a translation,
    /// they are found to be one connection only when the client's look-up is done. Without connection tracking that may be never, so a peer
    /// with a name is not waited for.
    fn misses_partner(&self, end: &End, record: &ConnectionRecord, sources: &Sources) -> bool {
        let other = end.alias.as_ref().map_or(record.peer, |alias| alias.actual);
        let may_be_translated = sources.translator().is_some();
        needs_partner(end, record)
            && (may_be_translated || (end.peer.is_none() && record.event == Event::Close))
            && end.is(Flag::LISTED)
            && !end.is(Flag::AMBIGUOUS)
            && self.ends.get(end.partner).is_none()
            && self.is_on_this_node(other.address)
    }

    /// Adds a connection at its first record, and resolves it.
    fn add(&mut self, record: &ConnectionRecord, sources: &mut Sources, now: Instant) -> u32 {
        let index = self.insert(End::new(record));
        self.list(index);
        self.settle_local(index, record, sources, now);
        self.pair(index);
        self.settle_peer(index, record, sources);
        if let Some(end) = self.ends.get_mut(index) {
            end.renames = sources.renames();
        }
        index
    }

    #[cold]
    fn look_up_again(&mut self, index: u32, record: &ConnectionRecord, sources: &mut Sources, now: Instant) {
        self.settle_local(index, record, sources, now);
        self.settle_peer(index, record, sources);
        if let Some(end) = self.ends.get_mut(index) {
            end.renames = sources.renames();
        }
    }

    /// Resolves the local end. A cgroup's name may change (a container is renamed), so it is looked up again. The workload that had the
    /// address at the connection's start is looked up again only if a workload was renamed. An owner that was found in another way, for example
    /// at the close, is more certain, so its name replaces the former one.
    fn settle_local(&mut self, index: u32, record: &ConnectionRecord, sources: &mut Sources, now: Instant) {
        let Some(end) = self.ends.get_mut(index) else { return };
        end.version = sources.version();
        let was_pending = end.is(Flag::LOCAL_PENDING);
        let is_new_owner =
            std::mem::replace(&mut end.owner_source, record.owner.source) != record.owner.source;
        if is_new_owner {
            end.local_rank = u8::MAX;
        }
        if is_new_owner || identifies(record.owner.cgroup) {
            end.cgroup = record.owner.cgroup;
        }
        let is_same = end.renames == sources.renames();
        if end.local.is_some() && !was_pending && !identifies(end.cgroup) && is_same && !is_new_owner {
            return;
        }
        let found = sources.local(record, end.cgroup, end.at, now);
        let better = found.name.is_some() && (end.local.is_none() || found.rank <= end.local_rank);
        if better {
            end.local_rank = found.rank;
        }
        let is_pending = found.may_supersede(end.local_rank);
        let is_new = better && end.local != found.name;
        if is_new {
            end.local = found.name;
        }
        end.set(Flag::LOCAL_PENDING, is_pending);
        if is_new || was_pending != is_pending {
            self.held_changed |= end.is(Flag::HELD);
            self.update_partner(index);
        }
    }

    /// Resolves the peer: by its own socket, otherwise by its address, after translation.
    pub(super) fn settle_peer(&mut self, index: u32, record: &ConnectionRecord, sources: &Sources) {
        if self.peer_by_socket(index) {
            return;
        }
        let Some(end) = self.ends.get(index) else { return };
        let (at, is_paired) = (end.at, self.ends.get(end.partner).is_some());
        let pending = Flag::PEER_PENDING.or(Flag::TRANSLATION_PENDING);
        let is_settled = end.peer.is_some() && !end.is(pending);
        if !is_paired && (is_settled || !sources.resolves_addresses()) {
            if let Some(end) = self.ends.get_mut(index) {
                end.set(pending, false);
                end.follow_peer(record, sources);
            }
            return;
        }
        let found = match self.other_address(index, record, sources) {
            OtherAddress::Known(other) => sources.address(other, at),
            OtherAddress::Pending => Found::default(),
        };
        // The translation may have paired the end with its peer's socket.
        if self.peer_by_socket(index) {
            return;
        }
        let Some(end) = self.ends.get(index) else { return };
        let partner = self.ends.get(end.partner);
        let provisional = partner.and_then(|partner| partner.local.clone());
        let is_pending = found.is_pending() || partner.is_some_and(|partner| partner.is(Flag::LOCAL_PENDING));
        if let Some(end) = self.ends.get_mut(index) {
            end.set(Flag::PEER_PENDING, is_pending);
            if found.name.is_some() {
                end.peer_rank = NOT_BY_ADDRESS;
                end.name_peer_by_address(found);
            } else if provisional.is_some() {
                end.name_peer_by_socket(provisional);
            }
        }
    }

    /// Copies the peer's name from its own socket. Returns false if that socket has no name, or if a name of higher precedence is pending.
    fn peer_by_socket(&mut self, index: u32) -> bool {
        let Some(end) = self.ends.get(index) else { return false };
        let partner = self.ends.get(end.partner).filter(|partner| !partner.is(Flag::LOCAL_PENDING));
        let Some(name) = partner.and_then(|partner| partner.local.clone()) else { return false };
        if let Some(end) = self.ends.get_mut(index) {
            end.set(Flag::PEER_PENDING.or(Flag::TRANSLATION_PENDING), false);
            end.name_peer_by_socket(Some(name));
        }
        true
    }

    /// Returns the address of the other socket. Looks up the translation if there may be one: for a connection whose peer address may be
    /// translated, and for a server whose peer address belongs to this node but to no known socket or workload, because the client may be
    /// masqueraded.
    fn other_address(&mut self, index: u32, record: &ConnectionRecord, sources: &Sources) -> OtherAddress {
        let as_seen = without_client_port(record.peer, record.role == Role::Server);
        let Some(end) = self.ends.get(index) else { return OtherAddress::Known(as_seen) };
        if let Some(alias) = &end.alias {
            return OtherAddress::Known(alias.actual);
        }
        let Some(translator) = sources.translator().filter(|_| !end.is(Flag::TRANSLATION_KNOWN)) else {
            return OtherAddress::Known(as_seen);
        };
        let may_be_masqueraded = || {
            record.role == Role::Server
                && (self.addresses.contains(&record.peer.address) || sources.is_masquerade(record))
                && self.ends.get(end.partner).is_none()
                && sources.address(as_seen, end.at).name.is_none()
        };
        if !end.tuple.is_complete() || !(sources.is_translated(record) || may_be_masqueraded()) {
            return OtherAddress::Known(as_seen);
        }
        let result = translator.query(record);
        if let Some(end) = self.ends.get_mut(index) {
            end.set(Flag::TRANSLATION_PENDING, result == Translated::Pending);
            end.set(Flag::TRANSLATION_KNOWN, result != Translated::Pending);
        }
        match result {
            Translated::To(translation) => {
                let alias = alias(&translation, record);
                let actual = alias.actual;
                self.list_alias(index, alias);
                self.pair(index);
                OtherAddress::Known(actual)
            }
            Translated::Pending => OtherAddress::Pending,
            Translated::Same | Translated::Unknown => OtherAddress::Known(as_seen),
        }
    }
}

impl End {
    /// Looks up again the name of the peer's address if a workload was renamed. The workload that had the address at the connection's start
    /// keeps it, but its labels and its owner may be other ones. A name is kept if no source has one any more.
    fn follow_peer(&mut self, record: &ConnectionRecord, sources: &Sources) {
        if self.peer_rank != NOT_BY_ADDRESS && self.renames != sources.renames() {
            let as_seen = || without_client_port(record.peer, record.role == Role::Server);
            let other = self.alias.as_ref().map_or_else(as_seen, |alias| alias.actual);
            self.name_peer_by_address(sources.address(other, self.at));
        }
    }
}

/// Returns false for most records that need not wait. A cheap check before [`Ends::waits`].
#[inline]
fn may_wait(end: &End, record: &ConnectionRecord) -> bool {
    let is_pending = end.is(Flag::LOCAL_PENDING.or(Flag::PEER_PENDING).or(Flag::TRANSLATION_PENDING));
    (is_pending || needs_partner(end, record)) && !end.is(Flag::WAITED)
}

/// Returns true if the record decides under which names the connection is counted, and the peer's own socket has not named it. The first
/// record and the close decide. The start of a connection that is older than Longwave is not counted, so only its close decides.
#[inline]
fn needs_partner(end: &End, record: &ConnectionRecord) -> bool {
    let is_first = record.first
        && record.start_known
        && !record.event.is_end()
        && !matches!(record.state, TcpState::SynSent | TcpState::SynRecv | TcpState::NewSynRecv);
    (is_first || record.event == Event::Close) && (end.peer.is_none() || end.peer_rank != NOT_BY_ADDRESS)
}

/// Returns true if the cgroup identifies a workload: it is known, and is not the root.
fn identifies(cgroup: u64) -> bool {
    !matches!(cgroup, 0 | ROOT)
}

/// Returns the addresses of a translated connection on the other side of the translation.
fn alias(translation: &Translation, record: &ConnectionRecord) -> Alias {
    let Translation { client, original, backend, seen } = *translation;
    let netns = record.id.netns;
    if (record.local, record.peer) == (backend, seen) {
        Alias { tuple: Tuple::between(original, client, netns), actual: without_client_port(client, true) }
    } else {
        Alias { tuple: Tuple::between(seen, backend, netns), actual: backend }
    }
}

/// Clears a client's port, which does not identify it.
fn without_client_port(end: Endpoint, is_client: bool) -> Endpoint {
    Endpoint { port: if is_client { 0 } else { end.port }, ..end }
}
