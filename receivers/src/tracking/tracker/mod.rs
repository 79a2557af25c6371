//! Turns the kernel's events into records: totals become deltas, idle connections get records, each close is reported once.
//!
//! ```text
//! event → Tracker (which connection?) → Connection::advance → Step → record → Outbox → sink
//! ```
//!
//! - A delta starts from the last record that was delivered. An update is delivered to all pipelines or to none. The content of a refused
//!   update is in the connection's next record. The last record of a connection is delivered once.
//! - The sum of a connection's deltas is its last totals; for a seeded connection, less the totals of its first record, unless this is a
//!   failure. No delta is negative: live counters that seem to decrease are an older or torn observation, and a close takes nothing back.
//! - In each pass every connection has one record: that of its sample, or an idle one.
//! - What arrives after the last record of its connection is discarded and counted.

mod congestion;
mod connection;
mod counts;
mod gone;
mod identity;
mod limits;
mod outbox;
mod outcome;
mod record;
mod table;

use std::mem;
use std::ops::Range;
use std::time::Duration;

use longwave_ebpf_abi::{ConnectionEvent, ListenEvent, flag, kind};
use longwave_pipeline::model::{Event, PassEnd, Role, UnixNanos};

use super::owner::{self, Listeners, SharedCgroups};
use super::sink::Sink;
use super::timeline::Timeline;
use congestion::{CongestionNames, NO_NAME};
use connection::{Connection, Observation, Step};
pub use counts::opened_actively;
use gone::GoneConnections;
use identity::{Identity, Origin};
pub use limits::LimitFields;
use limits::Rare;
pub use outbox::BATCH;
use outbox::{Outbox, Undo};
use record::record;
use table::{Connections, Detached, Entry, rare_of, store_rare};

/// Settings of the tracker, fixed at its start.
#[derive(Clone, Debug)]
pub struct Rules {
    /// First 32 bits of the boot id.
    pub boot: u32,
    /// Write a record for each connection without a sample in a pass.
    pub idle_records: bool,
    /// Passes without a sample after which a connection is reported as vanished.
    pub vanish_after: u16,
    /// Maximum number of connections that are tracked at the same time.
    pub max_connections: usize,
    /// cgroups that do not identify an owner.
    pub shared_cgroups: SharedCgroups,
    /// What the kernel reports of limits.
    pub limits: LimitFields,
}

/// Counts of discarded events by reason, and of overcounted bytes, which should stay 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Discards {
    /// Samples of connections that have closed, failed or vanished.
    pub late_update: u64,
    /// Second reports of one close.
    pub duplicate_end: u64,
    /// Second samples in one pass; their content is in the next record.
    pub repeated_sample: u64,
    /// Samples of connections that are not tracked, because there are more than `max_connections`.
    pub tracker_full: u64,
    /// Listeners that are not stored, because there are too many.
    pub listeners_full: u64,
    /// Bytes in records of open connections that their final counts did not confirm.
    pub overcounted_bytes: u64,
}

/// Tracks all open connections.
pub struct Tracker<S> {
    rules: Rules,
    connections: Connections,
    listeners: Listeners,
    /// Version of the listeners up to which owners were resolved.
    resolved_version: u64,
    gone: GoneConnections,
    congestion: CongestionNames,
    outbox: Outbox<S>,
    discards: Discards,
    /// Number of the current pass; wraps.
    pass: u16,
    /// Number of the last pass in which samples may be missing.
    incomplete_pass: u16,
    tick: UnixNanos,
    /// CLOCK_MONOTONIC at `tick`, nanoseconds. Set before idle records are written.
    tick_ns: u64,
}

/// Number of connections that are read from memory at a time.
pub const STRIDE: usize = 32;

/// Shortest time between two calls of [`Tracker::rotate_gone`]. Late events of a gone connection are recognized for at least this time.
pub const GONE_ROTATION: Duration = Duration::from_secs(1);

// === impl Discards ===

impl Discards {
    /// Returns the counts by the reason that self-telemetry exports.
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
    /// Creates a tracker without connections.
    pub fn new(rules: Rules, sink: S) -> Self {
        Self {
            rules,
            connections: Connections::default(),
            listeners: Listeners::default(),
            resolved_version: 0,
            gone: GoneConnections::default(),
            congestion: CongestionNames::default(),
            outbox: Outbox::new(sink),
            discards: Discards::default(),
            pass: 0,
            incomplete_pass: 0,
            tick: UnixNanos::default(),
            tick_ns: 0,
        }
    }

    /// Returns how many connections are tracked.
    pub fn tracked(&self) -> usize {
        self.connections.len()
    }

    /// Returns what was discarded so far.
    pub fn discards(&self) -> Discards {
        self.discards
    }

    /// Returns the sink; what was not flushed is lost.
    pub fn into_sink(self) -> S {
        self.outbox.sink
    }

    /// Removes the older entries of the gone connections. Must not be called during a pass.
    pub fn rotate_gone(&mut self) {
        self.gone.rotate();
    }

    /// Begins a pass. Its updates belong to the window that ends at `tick`.
    pub fn begin_pass(&mut self, tick: UnixNanos, last: bool) {
        self.outbox.sink.begin_pass(last);
        self.pass = self.pass.wrapping_add(1);
        self.tick = tick;
    }

    /// Sends the watermark: every record of the windows up to `tick` was sent before.
    pub fn end_pass(&mut self, tick: UnixNanos, last: bool) {
        self.flush();
        self.outbox.sink.pass_end(PassEnd { tick, last });
    }

    /// Sends the records that wait.
    pub fn flush(&mut self) {
        let refused = self.outbox.flush();
        self.connections.undo(refused);
    }

    /// Processes samples in their order, see [`Self::observe`].
    pub fn observe_samples(&mut self, samples: &[ConnectionEvent], tick: UnixNanos, timeline: &Timeline) {
        for stride in samples.chunks(STRIDE) {
            // The CPU overlaps the cache misses of this short loop.
            for sample in stride {
                let entry =
                    self.connections.find(sample.cookie).and_then(|index| self.connections.get(index));
                std::hint::black_box(entry.map(|entry| entry.identity.opened));
            }
            stride.iter().for_each(|sample| self.observe(sample, tick, timeline));
        }
    }

    /// Processes an event of a connection, or discards it. `tick` is the end of the window that the event belongs to. For a sample it is
    /// the tick of the current pass.
    pub fn observe(&mut self, event: &ConnectionEvent, tick: UnixNanos, timeline: &Timeline) {
        if event.kind != kind::SAMPLE {
            self.flush_updates();
        }
        let cookie = event.cookie;
        let index = self.connections.find(cookie);
        let tracked = index.and_then(|index| self.connections.get(index));
        let tracked = tracked.map(|entry| entry.connection.generation);
        let is_close = event.kind == kind::CLOSE;
        // For a close, this also loads the cache line of the entry that `finish` adds.
        if (is_close || tracked != Some(event.generation)) && self.gone.contains(event) {
            let discarded =
                if is_close { &mut self.discards.duplicate_end } else { &mut self.discards.late_update };
            *discarded += 1;
            return;
        }
        let observation = Observation::of(event, tick, timeline);
        let is_tracked = match tracked {
            Some(generation) if generation == event.generation => true,
            // A close that the kernel side could not assign has no generation.
            Some(_) if event.flags & flag::UNTRACKED != 0 => true,
            Some(generation) if generation < event.generation => {
                // The close of the socket's previous connection was not reported.
                self.vanish(cookie, &observation);
                false
            }
            Some(_) if !is_close => {
                self.discards.late_update += 1;
                return;
            }
            _ => false,
        };
        if is_close || event.kind == kind::VANISHED {
            if event.flags & flag::UNTRACKED != 0 {
                self.gone.add_unassigned(cookie, event.observed_ns);
            }
            let known = if is_tracked { self.detach(event) } else { None };
            let gone = known.unwrap_or_else(|| self.detached(event, timeline));
            self.finish(cookie, gone, &observation);
        } else if let Some(index) = index.filter(|_| is_tracked).or_else(|| self.track(event, timeline)) {
            self.advance(index, &observation);
        }
    }

    /// Returns whether the owner of a connection that was opened in this range of monotonic time, in ns, is only supposed.
    pub fn has_supposed_owner(&self, opened: Range<u64>) -> bool {
        let connections = &self.connections;
        connections.iter().any(|Entry { connection, identity, .. }| {
            opened.contains(&connection.generation)
                && connection.role() != Role::Client
                && owner::is_supposed(connections.origins.get(identity.origin).owner.source)
        })
    }

    /// Begins a walk of all descriptors: its LISTEN events replace what is known of the listeners' processes.
    pub fn begin_walk(&mut self) {
        self.listeners.begin_walk();
    }

    /// Processes a LISTEN or UNLISTEN event.
    pub fn listen(&mut self, event: &ListenEvent) {
        if !self.listeners.apply(event) {
            self.discards.listeners_full += 1;
        }
    }

    /// Writes the records of all connections without a sample in this pass. `complete` is false if samples may have been lost: a
    /// connection without a sample may then still exist.
    pub fn idle(&mut self, complete: bool, mono_now: u64, timeline: &Timeline) {
        self.flush();
        if !complete {
            self.incomplete_pass = self.pass;
        }
        self.tick_ns = timeline.due(self.tick);
        let pass = self.pass;
        let since_incomplete = pass.wrapping_sub(self.incomplete_pass);
        let observation = Observation::without_counters(Event::Update, mono_now, self.tick, timeline);
        for index in self.connections.indices() {
            let Some(Entry { cookie, connection, .. }) = self.connections.get(index) else { continue };
            let silent = pass.wrapping_sub(connection.last_pass);
            if silent == 0 {
                continue;
            }
            if silent.min(since_incomplete) >= self.rules.vanish_after {
                self.vanish(*cookie, &observation);
            } else {
                self.advance(index, &observation);
            }
        }
        self.flush();
        self.resolved_version = self.listeners.version();
        self.connections.pending.shrink_to_fit();
        self.connections.compact();
    }

    /// Starts to track the connection of an event. Returns its index; `None` if there is no room.
    fn track(&mut self, event: &ConnectionEvent, timeline: &Timeline) -> Option<u32> {
        if self.tracked() >= self.rules.max_connections {
            self.discards.tracker_full += 1;
            return None;
        }
        let mut detached = self.detached(event, timeline);
        detached.connection.last_pass = self.pass.wrapping_sub(1);
        Some(self.connections.insert(event.cookie, detached))
    }

    /// Returns the connection of an event that is not in the table.
    fn detached(&self, event: &ConnectionEvent, timeline: &Timeline) -> Detached {
        let connection = Connection::new(event, &self.listeners);
        let opened =
            if connection.start_known() { timeline.epoch(event.generation) } else { UnixNanos::default() };
        let origin = self.origin(event, &connection);
        let identity = Identity::new(event, opened);
        Detached { connection, identity, origin, pending: None, rare: Rare::default() }
    }

    /// Removes the connection of `event`, which is its last one.
    fn detach(&mut self, event: &ConnectionEvent) -> Option<Detached> {
        let mut gone = self.connections.remove(event.cookie)?;
        if event.tuple.peer_port == 0 {
            // The receiver `sock_diag` has no addresses of a socket that is gone or disconnected, and they are needed to find its listener.
            return Some(gone);
        }
        let known = gone.origin.owner;
        // Its listener may have become known since its last sample.
        let may_be_accepted = known.pid == 0 && gone.connection.role() != Role::Client;
        if may_be_accepted || owner::is_more_certain(&event.owner, event.flags, known.source) {
            gone.origin = self.origin(event, &gone.connection);
        }
        Some(gone)
    }

    /// Advances a tracked connection and sends its record. What needs no record is pending until the next one.
    fn advance(&mut self, index: u32, observation: &Observation<'_>) {
        let Connections { entries, pending, rare: all_rare, .. } = &mut self.connections;
        let Some(Entry { cookie, connection, identity }) = entries.get_mut(index) else { return };
        let cookie = *cookie;
        let is_idle = observation.counters.is_none();
        let is_sample = observation.event == Event::Update && !is_idle;
        let is_repeated = is_sample && mem::replace(&mut connection.last_pass, self.pass) == self.pass;
        if is_idle && connection.start_known() && connection.generation >= self.tick_ns {
            // It began in the next window.
            return;
        }
        let unsent = pending.remove(&cookie);
        let rare = rare_of(all_rare, cookie, connection);
        name_congestion(&mut self.congestion, connection, observation);
        let step = connection.advance(observation, unsent, &rare, &self.listeners);
        let is_quiet = unsent.is_none()
            && !step.first
            && !step.has_moved()
            && observation.counters.is_none_or(|event| event.flags & flag::HEARTBEAT != 0);
        if is_repeated || (is_quiet && !self.rules.idle_records) {
            self.discards.repeated_sample += u64::from(is_repeated);
            if step.has_moved() {
                pending.insert(cookie, step.after);
            }
            return;
        }
        let rare = connection.deliver(&step);
        store_rare(all_rare, cookie, connection, rare);
        let (connection, mut identity) = (*connection, *identity);
        if let Some(event) = observation.counters {
            self.refresh(index, &mut identity, event, &connection);
        }
        let origin = self.connections.origins.get(identity.origin);
        let name = self.congestion.name(connection.congestion);
        let Rules { boot, limits, .. } = &self.rules;
        let record = record(*boot, cookie, &connection, &identity, &origin, observation, &step, limits, name);
        if step.event == Event::Update {
            let Step { before, first, .. } = step;
            let undo = Undo { cookie, generation: connection.generation, before, first };
            let refused = self.outbox.push_update(record, undo);
            self.connections.undo(refused);
        } else {
            self.outbox.push_event(record);
        }
    }

    /// Reports a tracked connection as vanished.
    fn vanish(&mut self, cookie: u64, at: &Observation<'_>) {
        self.flush_updates();
        if let Some(vanished) = self.connections.remove(cookie) {
            self.finish(cookie, vanished, &Observation { event: Event::Vanished, counters: None, ..*at });
        }
    }

    /// Advances a connection for the last time and sends its record.
    fn finish(&mut self, cookie: u64, gone: Detached, observation: &Observation<'_>) {
        let Detached { mut connection, identity, origin, pending, rare } = gone;
        name_congestion(&mut self.congestion, &mut connection, observation);
        let step = connection.advance(observation, pending, &rare, &self.listeners);
        self.discards.overcounted_bytes += step.overcounted_bytes;
        let name = self.congestion.name(connection.congestion);
        let Rules { boot, limits, .. } = &self.rules;
        let record = record(*boot, cookie, &connection, &identity, &origin, observation, &step, limits, name);
        // This is done late, so that its cache miss overlaps with the look-up of the next event. Closes are a quarter faster.
        self.gone.add(cookie, connection.generation, observation.observed_ns);
        self.outbox.push_event(record);
    }

    /// Stores what became known after a connection's first event: its local port, or its owner.
    fn refresh(
        &mut self,
        index: u32,
        identity: &mut Identity,
        event: &ConnectionEvent,
        connection: &Connection,
    ) {
        let former = *identity;
        if event.tuple.local_port != 0 {
            identity.local_port = event.tuple.local_port;
        }
        let has_new_listeners = self.listeners.version() != self.resolved_version;
        let is_new_owner = || {
            let known = self.connections.origins.get(former.origin).owner;
            (has_new_listeners && known.pid == 0)
                || owner::is_more_certain(&event.owner, event.flags, known.source)
        };
        let may_have_owner = has_new_listeners || event.flags & (flag::HOLDER | flag::CLOSER) != 0;
        if may_have_owner && is_new_owner() {
            identity.origin = self.connections.origins.acquire(self.origin(event, connection));
            self.connections.origins.release(former.origin);
        }
        if let Some(entry) = self.connections.get_mut(index) {
            entry.identity = *identity;
        }
    }

    fn origin(&self, event: &ConnectionEvent, connection: &Connection) -> Origin {
        let may_be_accepted = connection.role() != Role::Client;
        let shared = &self.rules.shared_cgroups;
        let owner =
            owner::resolve(&event.owner, event.flags, &event.tuple, may_be_accepted, &self.listeners, shared);
        Origin { netns: event.owner.netns, owner }
    }

    /// Sends the updates that wait, so that the next delta starts from what was delivered.
    fn flush_updates(&mut self) {
        let refused = self.outbox.flush_updates();
        self.connections.undo(refused);
    }
}

/// Stores the congestion control that an observation has. Most have none.
fn name_congestion(names: &mut CongestionNames, connection: &mut Connection, observation: &Observation<'_>) {
    let Some(event) = observation.counters else { return };
    let index = names.index(event.limits.congestion_control);
    if index != NO_NAME {
        connection.congestion = index;
    }
}

#[cfg(test)]
pub mod tests;
