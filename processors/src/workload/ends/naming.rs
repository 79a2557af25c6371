//! Who the two ends of a connection are: asked once, and again while an answer is missing and something is new.

use std::time::Instant;

use longwave_pipeline::model::{ConnectionRecord, Endpoint, Event, Role};

use super::end::{Alias, End, Flag, Tuple};
use super::{Ends, Sources};
use crate::conntrack::{Translated, Translation};
use crate::workload::cgroup::ROOT;
use crate::workload::found::Found;

/// What there is in a batch, so that it need not be gone through for what is not there.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::workload) struct Seen {
    /// Connections with names.
    pub names: bool,
    /// Connections that may have to wait.
    pub pending: bool,
    /// Connections' ends.
    pub ends: bool,
}

/// Where the socket at the other end is.
enum Other {
    At(Endpoint),
    /// Behind a translation that was asked for.
    Pending,
}

impl Ends {
    /// Learns from a record who its two ends are. `index` is what [`Ends::look_up`] said. Returns the connection's index, and adds to `seen`.
    #[inline]
    pub fn learn(
        &mut self,
        record: &ConnectionRecord,
        index: u32,
        sources: &mut Sources,
        now: Instant,
        seen: &mut Seen,
    ) -> u32 {
        let index = match self.ends.confirm(index, record.id) {
            Some(index) => index,
            None => self.meet(record, sources, now),
        };
        if let Some(end) = self.ends.get_mut(index) {
            end.seen = self.passes.current();
            // An owner that is found late matters at once where there is no name, else with the next news.
            let has_owner = || end.cgroup != record.owner.cgroup && tells(record.owner.cgroup);
            let is_stale = end.version != sources.version()
                || end.is(Flag::TRANSLATION_PENDING)
                || ((end.local.is_none() || end.is(Flag::LOCAL_PENDING)) && has_owner());
            if is_stale {
                self.look_again(index, record, sources, now);
            }
        }
        if let Some(end) = self.ends.get(index) {
            seen.names |= end.local.is_some() || end.peer.is_some();
            seen.pending |= may_wait(end, record);
            seen.ends |= record.event.is_end();
        }
        index
    }

    /// Looks again at a connection that waits; `record` is its first that does. True if it need not wait any more.
    pub fn is_settled(&mut self, record: &ConnectionRecord, sources: &mut Sources, now: Instant) -> bool {
        let Some(index) = self.index_of(record.id) else { return true };
        let stale = self
            .ends
            .get(index)
            .is_some_and(|end| end.version != sources.version() || end.is(Flag::TRANSLATION_PENDING));
        if stale {
            self.look_again(index, record, sources, now);
        }
        !self.waits(index, record)
    }

    /// The record should wait for a name. A close also does for a peer on this node whose own record is still on its way: the two ends of a
    /// connection close at nearly the same time, and may come in two batches.
    pub fn waits(&self, index: u32, record: &ConnectionRecord) -> bool {
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
        end.is(Flag::PEER_PENDING.or(Flag::TRANSLATION_PENDING))
            || record.event == Event::Close
                && end.peer.is_none()
                && end.is(Flag::LISTED)
                && !end.is(Flag::AMBIGUOUS)
                && self.ends.get(end.partner).is_none()
                && self.is_on_this_node(record.peer.address)
    }

    /// A connection's first record.
    fn meet(&mut self, record: &ConnectionRecord, sources: &mut Sources, now: Instant) -> u32 {
        let index = self.insert(End::new(record, self.passes.current()));
        self.list(index);
        self.settle_local(index, record, sources, now);
        self.pair(index);
        self.settle_peer(index, record, sources);
        index
    }

    #[cold]
    fn look_again(&mut self, index: u32, record: &ConnectionRecord, sources: &mut Sources, now: Instant) {
        self.settle_local(index, record, sources, now);
        self.settle_peer(index, record, sources);
    }

    /// Who the end is. A cgroup's name may change (a container is renamed), so it is asked for again; who had an address at the
    /// connection's start, and which process it was, does not.
    fn settle_local(&mut self, index: u32, record: &ConnectionRecord, sources: &mut Sources, now: Instant) {
        let Some(end) = self.ends.get_mut(index) else { return };
        end.version = sources.version();
        let was_pending = end.is(Flag::LOCAL_PENDING);
        if tells(record.owner.cgroup) {
            end.cgroup = record.owner.cgroup;
        }
        if end.local.is_some() && !was_pending && !tells(end.cgroup) {
            return;
        }
        let found = sources.local(record, end.cgroup, end.at, now);
        let better = found.name.is_some() && (end.local.is_none() || found.rank <= end.local_rank);
        if better {
            end.local_rank = found.rank;
        }
        let is_pending = found.may_beat(end.local_rank);
        let is_new = better && end.local != found.name;
        if is_new {
            end.local = found.name;
        }
        end.set(Flag::LOCAL_PENDING, is_pending);
        if is_new || was_pending != is_pending {
            self.news |= end.is(Flag::HELD);
            self.tell(index);
        }
    }

    /// Who the peer is: its own socket, else who had its address, behind the translation if there is one.
    pub(super) fn settle_peer(&mut self, index: u32, record: &ConnectionRecord, sources: &Sources) {
        if self.peer_by_socket(index) {
            return;
        }
        let Some(end) = self.ends.get(index) else { return };
        let (at, is_paired) = (end.at, self.ends.get(end.partner).is_some());
        let pending = Flag::PEER_PENDING.or(Flag::TRANSLATION_PENDING);
        let is_settled = end.peer.is_some() && !end.is(pending);
        if !is_paired && (is_settled || !sources.know_addresses()) {
            if let Some(end) = self.ends.get_mut(index) {
                end.set(pending, false);
            }
            return;
        }
        let found = match self.other(index, record, sources) {
            Other::At(other) => sources.address(other, at),
            Other::Pending => Found::default(),
        };
        // The translation may have led to the socket.
        if self.peer_by_socket(index) {
            return;
        }
        let Some(end) = self.ends.get(index) else { return };
        let partner = self.ends.get(end.partner);
        let provisional = partner.and_then(|partner| partner.local.clone());
        let is_pending = found.is_pending() || partner.is_some_and(|partner| partner.is(Flag::LOCAL_PENDING));
        if let Some(end) = self.ends.get_mut(index) {
            end.set(Flag::PEER_PENDING, is_pending);
            if let Some(name) = found.name.or(provisional) {
                end.peer = Some(name);
            }
        }
    }

    /// Takes the name that the peer's own socket has; false if there is none, or a better one may be on its way.
    fn peer_by_socket(&mut self, index: u32) -> bool {
        let Some(end) = self.ends.get(index) else { return false };
        let partner = self.ends.get(end.partner).filter(|partner| !partner.is(Flag::LOCAL_PENDING));
        let Some(name) = partner.and_then(|partner| partner.local.clone()) else { return false };
        if let Some(end) = self.ends.get_mut(index) {
            end.set(Flag::PEER_PENDING.or(Flag::TRANSLATION_PENDING), false);
            end.peer = Some(name);
        }
        true
    }

    /// Where the other socket is. The translation is asked for where there may be one: of a client's connection to an address that is
    /// translated; of a server's from an address of this node that is not its socket's, since that may be a masquerade's.
    fn other(&mut self, index: u32, record: &ConnectionRecord, sources: &Sources) -> Other {
        let as_seen = without_client_port(record.peer, record.role == Role::Server);
        let Some(end) = self.ends.get(index) else { return Other::At(as_seen) };
        if let Some(alias) = &end.alias {
            return Other::At(alias.actual);
        }
        let Some(translator) = sources.translator().filter(|_| !end.is(Flag::TRANSLATION_KNOWN)) else {
            return Other::At(as_seen);
        };
        let may_be_masqueraded = || {
            record.role == Role::Server
                && self.addresses.contains(&record.peer.address)
                && self.ends.get(end.partner).is_none()
                && sources.address(as_seen, end.at).name.is_none()
        };
        if !end.tuple.is_complete() || !(sources.is_translated(record.peer) || may_be_masqueraded()) {
            return Other::At(as_seen);
        }
        let answer = translator.ask(record);
        if let Some(end) = self.ends.get_mut(index) {
            end.set(Flag::TRANSLATION_PENDING, answer == Translated::Pending);
            end.set(Flag::TRANSLATION_KNOWN, answer != Translated::Pending);
        }
        match answer {
            Translated::To(translation) => {
                let alias = alias(&translation, record);
                let actual = alias.actual;
                self.list_alias(index, alias);
                self.pair(index);
                Other::At(actual)
            }
            Translated::Pending => Other::Pending,
            Translated::Same | Translated::Unknown => Other::At(as_seen),
        }
    }
}

/// At a glance: those that [`Ends::waits`] need not look at are left out.
#[inline]
fn may_wait(end: &End, record: &ConnectionRecord) -> bool {
    let is_pending = end.is(Flag::LOCAL_PENDING.or(Flag::PEER_PENDING).or(Flag::TRANSLATION_PENDING));
    (is_pending || (record.event == Event::Close && end.peer.is_none())) && !end.is(Flag::WAITED)
}

/// The cgroup says more than the process.
fn tells(cgroup: u64) -> bool {
    !matches!(cgroup, 0 | ROOT)
}

/// The translated connection from its other side.
fn alias(translation: &Translation, record: &ConnectionRecord) -> Alias {
    let Translation { client, asked, backend, seen } = *translation;
    let netns = record.id.netns;
    if (record.local, record.peer) == (backend, seen) {
        Alias { tuple: Tuple::between(asked, client, netns), actual: without_client_port(client, true) }
    } else {
        Alias { tuple: Tuple::between(seen, backend, netns), actual: backend }
    }
}

/// A client's port says nothing of who it is.
fn without_client_port(end: Endpoint, is_client: bool) -> Endpoint {
    Endpoint { port: if is_client { 0 } else { end.port }, ..end }
}
