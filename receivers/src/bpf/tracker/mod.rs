//! From the kernel's events to records: totals become deltas, idle connections get their records, ends are told once.
//!
//! - Deltas start from the last record that was delivered. An update is delivered to all pipelines or to none; what is refused comes
//!   with the connection's next record. An end is given once.
//! - Σ deltas of a connection = its last totals, or for one that is older than the receiver: less the first record's. No delta is
//!   negative: live counters that seem to go back are an older or torn observation.
//! - Per pass every connection has one record: its sample's, or an idle one.
//! - What comes after a connection's end is discarded and counted.

mod batches;
mod ends;
mod observation;

use std::time::Duration;

use hashbrown::HashMap;
use longwave_ebpf_abi::{ConnectionEvent, flag, kind};
use longwave_pipeline::model::{ConnectionId, PassEnd, Totals, UnixNanos};

use super::counts;
use super::identity::{Identity, Place, Places, Slots};
use super::owner::{self, Listeners, SharedCgroups};
use super::recent::Recent;
use super::sink::Sink;
use super::state::{State, mark};
use super::timeline::Timeline;
pub use batches::BATCH;
use batches::{Batches, Undo};
use observation::{
    advance, difference, gauges, identity, idle_heartbeat, learn_role, observe, opened, record, refresh,
};

/// What the tracker is told once.
#[derive(Clone, Debug)]
pub struct Rules {
    /// First 32 bits of the boot id.
    pub boot: u32,
    /// Write a record for each connection without a sample in a pass.
    pub idle_records: bool,
    /// Passes without a sample after which a connection is taken for gone.
    pub vanish_after: u16,
    /// Connections remembered at most.
    pub most: usize,
    /// cgroups that tell nothing.
    pub shared_cgroups: SharedCgroups,
}

/// What was discarded and why, and what should never happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Discards {
    /// A sample of a connection that has ended.
    pub late_update: u64,
    /// A second report of one end.
    pub duplicate_end: u64,
    /// A second sample in one pass; its content comes with the next record.
    pub repeated_sample: u64,
    /// Connections not remembered: there are more than `max_connections`.
    pub tracker_full: u64,
    /// Listeners not remembered.
    pub listeners_full: u64,
    /// Bytes that live records told of and the final count did not confirm.
    pub overcounted_bytes: u64,
}

/// All open connections.
pub struct Tracker<S> {
    sink: S,
    rules: Rules,
    connections: HashMap<u64, Connection, foldhash::fast::RandomState>,
    identities: Slots<Identity>,
    places: Places,
    listeners: Listeners,
    /// The listeners' version up to which owners and roles were looked up.
    resolved: u64,
    recent: Recent,
    /// What refused records told of, until the next record.
    owed: HashMap<u64, Owed, foldhash::fast::RandomState>,
    batches: Batches,
    discards: Discards,
    pass: u16,
    /// The last pass in which samples may be missing.
    unclean: u16,
    tick: UnixNanos,
}

/// A connection's value in the table; the key is its cookie, since a socket has one connection at a time.
#[derive(Clone, Copy, Debug)]
struct Connection {
    generation: u64,
    state: State,
}

#[derive(Clone, Copy, Debug)]
struct Owed {
    totals: Totals,
    una: u32,
}

// === impl Discards ===

impl Discards {
    /// By the reason that self-telemetry exports.
    pub fn by_reason(&self) -> [(&'static str, u64); 5] {
        [
            ("late_update", self.late_update),
            ("duplicate_end", self.duplicate_end),
            ("repeated_sample", self.repeated_sample),
            ("tracker_full", self.tracker_full),
            ("listeners_full", self.listeners_full),
        ]
    }
}

// === impl Tracker ===

impl<S: Sink> Tracker<S> {
    /// No connections yet.
    pub fn new(rules: Rules, sink: S) -> Self {
        Self {
            sink,
            rules,
            connections: HashMap::default(),
            identities: Slots::default(),
            places: Places::default(),
            listeners: Listeners::default(),
            resolved: 0,
            recent: Recent::default(),
            owed: HashMap::default(),
            batches: Batches::default(),
            discards: Discards::default(),
            pass: 0,
            unclean: 0,
            tick: UnixNanos::default(),
        }
    }

    /// Connections remembered.
    pub fn tracked(&self) -> usize {
        self.connections.len()
    }

    /// What was discarded.
    pub fn discards(&self) -> Discards {
        self.discards
    }

    /// The sink.
    pub fn into_sink(self) -> S {
        self.sink
    }

    /// Forgets ends of a moment ago. Not while a pass is under way.
    pub fn turn_recent(&mut self) {
        self.recent.turn();
    }

    /// A pass begins; its updates belong to the window that ends at `tick`.
    pub fn begin_pass(&mut self, tick: UnixNanos, last: bool) {
        self.sink.begin_pass(last);
        self.pass = self.pass.wrapping_add(1);
        self.tick = tick;
    }

    /// The watermark: everything of the windows up to `tick` was told.
    pub fn end_pass(&mut self, tick: UnixNanos, last: bool) {
        self.flush();
        self.sink.pass_end(PassEnd { tick, last });
    }

    /// An event of the samples ring.
    pub fn sample(&mut self, event: &ConnectionEvent, timeline: &Timeline) {
        if self.recent.has(event) {
            self.discards.late_update += 1;
            return;
        }
        if event.kind == kind::VANISHED {
            self.vanished(event, timeline);
            return;
        }
        if self.is_of_the_past(event, self.tick, timeline) {
            return;
        }
        if !self.connections.contains_key(&event.cookie) && !self.begin(event, timeline) {
            return;
        }
        self.update(event, timeline);
    }

    /// After the samples: records of all connections that had none in this pass. `complete`: no sample can have been lost, so that
    /// silence means something.
    pub fn idle(&mut self, complete: bool, mono_now: u64, timeline: &Timeline) {
        self.flush();
        if !complete {
            self.unclean = self.pass;
        }
        let (pass, unclean) = (self.pass, self.unclean);
        let silent: Vec<u64> = self
            .connections
            .iter()
            .filter(|(_, c)| c.state.seen != pass)
            .map(|(cookie, _)| *cookie)
            .collect();
        for cookie in silent {
            let Some(connection) = self.connections.get(&cookie) else { continue };
            let silence = pass.wrapping_sub(connection.state.seen).min(pass.wrapping_sub(unclean));
            if silence >= self.rules.vanish_after {
                self.silent(cookie, mono_now, timeline);
            } else {
                self.idle_record(cookie, timeline.epoch(mono_now));
            }
        }
        self.flush();
        self.resolved = self.listeners.version();
        self.owed.shrink_to_fit();
    }

    /// Whether the event is of an older connection than its cookie's present one: then it is discarded. If it is of a newer one, that one's
    /// predecessor is ended.
    fn is_of_the_past(&mut self, event: &ConnectionEvent, tick: UnixNanos, timeline: &Timeline) -> bool {
        let Some(connection) = self.connections.get(&event.cookie) else { return false };
        let is_past = connection.generation > event.generation;
        if is_past {
            self.discards.late_update += 1;
        } else if connection.generation < event.generation {
            self.replaced(event.cookie, event.observed_ns, tick, timeline);
        }
        is_past
    }

    /// Remembers a connection; false if there is no room.
    fn begin(&mut self, event: &ConnectionEvent, timeline: &Timeline) -> bool {
        if self.connections.len() >= self.rules.most {
            self.discards.tracker_full += 1;
            return false;
        }
        let opened = opened(event, timeline);
        let mut marks = 0;
        for (bit, on) in [
            (mark::CLIENT, event.flags & flag::CLIENT != 0),
            (mark::SERVER, event.flags & flag::SERVER != 0),
            (mark::START_KNOWN, event.flags & flag::START_KNOWN != 0),
            (mark::IPV6, event.tuple.family == libc::AF_INET6 as u16),
        ] {
            marks |= if on { bit } else { 0 };
        }
        let server = marks & mark::SERVER != 0;
        let place = self.places.acquire(self.place(event, server));
        let identity = self.identities.insert(identity(event, place));
        let mut state = State::new(identity, opened, marks, counts::base(&event.counters));
        state.seen = self.pass.wrapping_sub(1);
        self.connections.insert(event.cookie, Connection { generation: event.generation, state });
        true
    }

    /// Forgets a connection and what belongs to it.
    fn forget(&mut self, cookie: u64) -> Option<(Connection, Identity, Place, Option<Owed>)> {
        let connection = self.connections.remove(&cookie)?;
        let identity = self.identities.get(connection.state.identity);
        let place = self.places.get(identity.place);
        self.identities.remove(connection.state.identity);
        self.places.release(identity.place);
        let owed = self.owed.remove(&cookie);
        if self.connections.is_empty() {
            self.connections.shrink_to_fit();
        }
        Some((connection, identity, place, owed))
    }

    fn update(&mut self, event: &ConnectionEvent, timeline: &Timeline) {
        let Some(connection) = self.connections.get_mut(&event.cookie) else { return };
        let generation = connection.generation;
        let state = &mut connection.state;
        let repeated = state.seen == self.pass;
        state.seen = self.pass;
        refresh(state, event, &mut self.identities);
        let version = self.listeners.version();
        if !state.is(mark::CLIENT) && !state.is(mark::SERVER) {
            learn_role(state, event, &self.listeners, &mut self.owed);
        }
        let (counts, sent) = observe(state, event);

        let before = state.totals();
        let owed = self.owed.remove(&event.cookie);
        let floor = owed.map_or(before, |owed| owed.totals);
        let totals = advance(&floor, &event.counters, sent, counts.received);
        if repeated || (!self.rules.idle_records && idle_heartbeat(state, event, &before, &totals)) {
            if repeated {
                self.discards.repeated_sample += 1;
            }
            if totals != before {
                self.owed.insert(event.cookie, Owed { totals, una: event.counters.snd_una });
            }
            return;
        }

        let first = !state.is(mark::REPORTED);
        let baseline = first && !state.is(mark::START_KNOWN);
        let acked = !baseline
            && if first {
                counts.acked > 0
            } else {
                event.counters.snd_una.wrapping_sub(state.una) as i32 > 0
            };
        let undo = Undo { cookie: event.cookie, generation, totals: before, una: state.una, first };
        state.set_totals(&totals);
        state.una = event.counters.snd_una;
        state.set(mark::REPORTED, true);

        let state = *state;
        if version != self.resolved {
            self.look_up_owner(event, &state);
        }
        let identity = self.identities.get(state.identity);
        let id = self.id(event.cookie, generation, &identity);
        let mut record = record(id, &state, &identity, &self.places.get(identity.place));
        record.first = first;
        record.observed = timeline.epoch(event.observed_ns);
        record.tick = self.tick;
        record.totals = totals;
        record.delta = if baseline { Totals::default() } else { difference(&totals, &before) };
        record.acked = acked;
        record.gauges = gauges(&event.counters, &counts);
        self.push_update(record, undo);
    }

    fn idle_record(&mut self, cookie: u64, observed: UnixNanos) {
        let owed = self.owed.remove(&cookie);
        let Some(connection) = self.connections.get_mut(&cookie) else { return };
        let generation = connection.generation;
        let state = &mut connection.state;
        if !self.rules.idle_records && owed.is_none() && state.is(mark::REPORTED) {
            return;
        }
        if state.is(mark::START_KNOWN) && state.opened() >= self.tick {
            // It began in the next window.
            if let Some(owed) = owed {
                self.owed.insert(cookie, owed);
            }
            return;
        }
        let before = state.totals();
        let first = !state.is(mark::REPORTED);
        let baseline = first && !state.is(mark::START_KNOWN);
        let undo = Undo { cookie, generation, totals: before, una: state.una, first };
        let Owed { totals, una } = owed.unwrap_or(Owed { totals: before, una: state.una });
        let acked = !baseline && una.wrapping_sub(state.una) as i32 > 0;
        state.set_totals(&totals);
        state.una = una;
        state.set(mark::REPORTED, true);
        let state = *state;
        let identity = self.identities.get(state.identity);
        let id = self.id(cookie, generation, &identity);
        let mut record = record(id, &state, &identity, &self.places.get(identity.place));
        record.first = first;
        record.observed = observed;
        record.tick = self.tick;
        record.delta = if baseline { Totals::default() } else { difference(&totals, &before) };
        record.acked = acked;
        self.push_update(record, undo);
    }

    fn id(&self, cookie: u64, generation: u64, identity: &Identity) -> ConnectionId {
        let netns = self.places.get(identity.place).netns;
        ConnectionId { boot: self.rules.boot, netns, cookie, generation }
    }

    fn place(&self, event: &ConnectionEvent, server: bool) -> Place {
        let owner =
            owner::resolve(&event.owner, &event.tuple, server, &self.listeners, &self.rules.shared_cgroups);
        Place { netns: event.owner.netns, owner }
    }

    /// A listener that is known only now may tell whose it is.
    fn look_up_owner(&mut self, event: &ConnectionEvent, state: &State) {
        let mut identity = self.identities.get(state.identity);
        if self.places.get(identity.place).owner.pid != 0 {
            return;
        }
        let place = self.place(event, state.is(mark::SERVER));
        let known = identity.place;
        identity.place = self.places.acquire(place);
        self.places.release(known);
        self.identities.set(state.identity, identity);
    }
}

/// How long an end is remembered at least, while no pass is under way.
pub const RECENT: Duration = Duration::from_secs(1);

#[cfg(test)]
mod bench;
#[cfg(test)]
mod tests;
