//! Opens and ends: what is told once.

use longwave_ebpf_abi::{ConnectionEvent, ListenEvent, flag, kind};
use longwave_pipeline::model::{CloseReason, End, Event, TcpState, Totals, UnixNanos};

use super::super::counts::{self, Counts};
use super::super::ending;
use super::super::sink::Sink;
use super::super::state::{State, mark};
use super::super::timeline::Timeline;
use super::observation::{
    advance, difference, gauges, identity, learn_role, observe, opened, record, refresh, refresh_marks,
};
use super::{Connection, Identity, Owed, Place, Tracker};

impl<S: Sink> Tracker<S> {
    /// OPEN or CLOSE. `tick`: the end of the window that it belongs to.
    pub fn transition(&mut self, event: &ConnectionEvent, tick: UnixNanos, timeline: &Timeline) {
        self.flush_updates();
        match event.kind {
            kind::OPEN => self.open(event, tick, timeline),
            _ => self.close(event, tick, timeline),
        }
    }

    /// LISTEN or UNLISTEN.
    pub fn listen(&mut self, event: &ListenEvent) {
        if !self.listeners.apply(event) {
            self.discards.listeners_full += 1;
        }
    }

    fn open(&mut self, event: &ConnectionEvent, tick: UnixNanos, timeline: &Timeline) {
        if self.recent.has(event) {
            self.discards.late_update += 1;
            return;
        }
        if self.is_of_the_past(event, tick, timeline) {
            return;
        }
        let new = !self.connections.contains_key(&event.cookie);
        if new && !self.begin(event, timeline) {
            return;
        }
        let Some(connection) = self.connections.get_mut(&event.cookie) else { return };
        let state = &mut connection.state;
        if new {
            // Not idle in the pass before it is first sampled; samples that came first were newer.
            refresh(state, event, &mut self.identities);
            observe(state, event);
            // The kernel is inside the transition: nothing moves.
            state.set(mark::BASE_SURE, true);
        }
        let counts = Counts::of(event, &event.counters, state.is(mark::CLIENT));
        let before = state.totals();
        let totals = advance(&before, &event.counters, counts.sent, counts.received);
        let first = !state.is(mark::REPORTED);
        state.set_totals(&totals);
        if new {
            state.una = event.counters.snd_una;
        }
        state.set(mark::REPORTED, true);
        let (state, generation) = (*state, connection.generation);
        let identity = self.identities.get(state.identity);
        let id = self.id(event.cookie, generation, &identity);
        let mut record = record(id, &state, &identity, &self.places.get(identity.place));
        record.event = Event::Open;
        record.first = first;
        record.state = TcpState::Established;
        record.observed = timeline.epoch(event.observed_ns);
        record.tick = tick;
        record.delta = difference(&totals, &before);
        record.gauges = gauges(&event.counters, &counts);
        self.push_event(record);
    }

    fn close(&mut self, event: &ConnectionEvent, tick: UnixNanos, timeline: &Timeline) {
        if self.recent.has(event) {
            self.discards.duplicate_end += 1;
            return;
        }
        let held = self.connections.get(&event.cookie).map(|connection| connection.generation);
        let held = match held {
            // What user space remembers serves a close that the kernel could not place.
            Some(_) if event.flags & flag::UNTRACKED != 0 => self.forget(event.cookie),
            Some(generation) if generation == event.generation => self.forget(event.cookie),
            Some(generation) if generation < event.generation => {
                self.replaced(event.cookie, event.observed_ns, tick, timeline);
                None
            }
            _ => None,
        };
        let (connection, identity, place, owed) = match held {
            Some((mut connection, identity, mut place, owed)) => {
                refresh_marks(&mut connection.state, event);
                if place.owner.pid == 0 && connection.state.is(mark::SERVER) {
                    // Its listener may have become known only now.
                    place = self.place(event, true);
                }
                (connection, identity, place, owed)
            }
            None => {
                let (connection, identity, place) = self.unheld(event, timeline);
                (connection, identity, place, None)
            }
        };
        let mut state = connection.state;
        if !state.is(mark::CLIENT) && !state.is(mark::SERVER) && counts::established(event) {
            learn_role(&mut state, event, &self.listeners, &mut self.owed);
        }
        let counts = Counts::of(event, &event.counters, state.is(mark::CLIENT));
        let before = state.totals();
        let floor = owed.map_or(before, |owed: Owed| owed.totals);
        let totals = Totals {
            // Final: the counters are at rest.
            sent_bytes: counts.sent,
            received_bytes: counts.received,
            ..advance(&floor, &event.counters, counts.sent, counts.received)
        };
        self.discards.overcounted_bytes += before.sent_bytes.saturating_sub(counts.sent)
            + before.received_bytes.saturating_sub(counts.received);
        let first = !state.is(mark::REPORTED);
        let baseline = first && !state.is(mark::START_KNOWN);
        state.observe(event.state, &event.counters, counts.unsent(), counts.unread);

        let id = super::ConnectionId {
            boot: self.rules.boot,
            netns: place.netns,
            cookie: event.cookie,
            generation: connection.generation,
        };
        let end = ending::end(event, &counts, state.is(mark::SERVER));
        let mut record = record(id, &state, &identity, &place);
        record.event = if matches!(end, End::Failed(_)) { Event::Fail } else { Event::Close };
        record.end = Some(end);
        record.errno = event.error;
        record.first = first;
        record.observed = timeline.epoch(event.observed_ns);
        record.tick = tick;
        record.totals = totals;
        record.delta = if baseline { Totals::default() } else { difference(&totals, &before) };
        record.acked = !baseline
            && if first {
                counts.acked > 0
            } else {
                event.counters.snd_una.wrapping_sub(state.una) as i32 > 0
            };
        record.gauges = gauges(&event.counters, &counts);
        self.recent.add(event.cookie, connection.generation, event.observed_ns);
        self.push_event(record);
    }

    /// What would be remembered of the connection of a close that nothing is remembered of.
    fn unheld(&self, event: &ConnectionEvent, timeline: &Timeline) -> (Connection, Identity, Place) {
        let mut marks = 0;
        for (bit, on) in [
            (mark::CLIENT, event.flags & flag::CLIENT != 0),
            (mark::SERVER, event.flags & flag::SERVER != 0),
            (mark::START_KNOWN, event.flags & flag::START_KNOWN != 0),
            (mark::IPV6, event.tuple.family == libc::AF_INET6 as u16),
        ] {
            marks |= if on { bit } else { 0 };
        }
        let mut state = State::new(0, opened(event, timeline), marks, counts::base(&event.counters));
        refresh_marks(&mut state, event);
        let server = event.flags & flag::SERVER != 0
            || (event.flags & flag::CLIENT == 0 && self.listeners.has(event.owner.netns, &event.tuple));
        (Connection { generation: event.generation, state }, identity(event, 0), self.place(event, server))
    }

    /// The kernel found the socket gone. What is remembered is all that is known.
    pub(super) fn vanished(&mut self, event: &ConnectionEvent, timeline: &Timeline) {
        self.flush_updates();
        let tick = self.tick;
        match self.connections.get(&event.cookie).map(|connection| connection.generation) {
            Some(generation) if generation == event.generation => {
                self.end(event.cookie, event.observed_ns, tick, timeline)
            }
            Some(generation) if generation > event.generation => self.discards.late_update += 1,
            held => {
                if held.is_some() {
                    self.replaced(event.cookie, event.observed_ns, tick, timeline);
                }
                let (connection, identity, place) = self.unheld(event, timeline);
                self.tell_vanished(
                    event.cookie,
                    (connection, identity, place, None),
                    event.observed_ns,
                    tick,
                    timeline,
                );
            }
        }
    }

    /// Neither samples nor heartbeats came for too long.
    pub(super) fn silent(&mut self, cookie: u64, mono_now: u64, timeline: &Timeline) {
        self.flush_updates();
        self.end(cookie, mono_now, self.tick, timeline);
    }

    /// Another connection of the same socket was seen, so the one that is remembered has ended unseen.
    pub(super) fn replaced(&mut self, cookie: u64, mono_now: u64, tick: UnixNanos, timeline: &Timeline) {
        self.flush_updates();
        self.end(cookie, mono_now, tick, timeline);
    }

    fn end(&mut self, cookie: u64, mono: u64, tick: UnixNanos, timeline: &Timeline) {
        if let Some(held) = self.forget(cookie) {
            self.tell_vanished(cookie, held, mono, tick, timeline);
        }
    }

    fn tell_vanished(
        &mut self,
        cookie: u64,
        (connection, identity, place, owed): (Connection, Identity, Place, Option<Owed>),
        mono: u64,
        tick: UnixNanos,
        timeline: &Timeline,
    ) {
        let state = connection.state;
        let id = super::ConnectionId {
            boot: self.rules.boot,
            netns: place.netns,
            cookie,
            generation: connection.generation,
        };
        let before = state.totals();
        let totals = owed.map_or(before, |owed| owed.totals);
        let first = !state.is(mark::REPORTED);
        let mut record = record(id, &state, &identity, &place);
        record.event = Event::Vanished;
        record.end = Some(End::Closed(CloseReason::Vanished));
        record.first = first;
        record.observed = timeline.epoch(mono);
        record.tick = tick;
        record.totals = totals;
        record.delta = if first && !state.is(mark::START_KNOWN) {
            Totals::default()
        } else {
            difference(&totals, &before)
        };
        self.recent.add(cookie, connection.generation, mono);
        self.push_event(record);
    }
}
