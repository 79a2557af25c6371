//! Connections that lists show, and those that are missing from lists.

use longwave_ebpf_abi::{ConnectionEvent, flag};
use longwave_pipeline::model::TcpState;

use super::super::event;
use super::super::known::{KnownConnection, mark};
use super::super::wire::DiagSocket;
use super::SockDiag;
use crate::tracking::Transition;
use crate::tracking::timeline::{Clock, SystemClock};

/// Number of lists without a connection after which it is reported as vanished if no message was lost.
const MAX_MISSED_LISTS: u32 = 12;

/// Number of lists without a connection after which it is reported as vanished if messages were lost meanwhile.
const MISSED_AFTER_LOSS: u32 = 2;

/// Number of lists for which a connection that was reported as vanished is kept, because its end may be received late. At most
/// `max_connections` such connections are kept.
const MAX_LISTS_GONE: u32 = 720;

/// Events of a pass that are delivered after its list.
#[derive(Default)]
pub struct NewConnections {
    pub opened: Vec<ConnectionEvent>,
    pub samples: Vec<ConnectionEvent>,
}

// === impl SockDiag ===

impl SockDiag {
    /// Processes a connection of a list. Returns its sample, unless other events must be delivered before.
    pub fn observe(
        &mut self,
        socket: &DiagSocket,
        netns: u32,
        is_seeding: bool,
        new: &mut NewConnections,
    ) -> Option<ConnectionEvent> {
        if socket.local_port == 0 || socket.state == TcpState::Close as u8 {
            // It ended while the kernel wrote its entry. Its final counts come in a message.
            return None;
        }
        let now = SystemClock.monotonic();
        let mut sample = event::sample(socket, netns, now)?;
        let is_connecting = socket.state == TcpState::SynSent as u8;
        let open = self.connections.len().saturating_sub(self.vanished);
        let is_full = open >= self.config.max_connections as usize;
        let mut generation = 0;
        match self.connections.get_mut(&socket.cookie) {
            Some(known) if !known.has(mark::GONE) && known.is_same(socket, &self.hasher) => {
                let was_connecting = known.has(mark::CONNECTING);
                known.observe(&mut sample, socket, self.pass, &self.listening);
                if !self.holders.is_empty()
                    && let Some(holder) = self.holders.remove(&socket.cookie)
                {
                    holder.complete(&mut sample.owner);
                    sample.flags |= flag::HOLDER;
                }
                if !was_connecting || is_connecting {
                    return Some(sample);
                }
                known.clear(mark::CONNECTING);
                new.opened.push(event::open(&sample));
                new.samples.push(sample);
                return None;
            }
            Some(known) => {
                // The socket has another connection now, or the lists had missed it.
                if !known.has(mark::GONE) {
                    new.opened.push(event::vanished(socket.cookie, known.generation, now));
                }
                generation = now;
            }
            None if is_full => {
                self.counts.table_full += 1;
                return None;
            }
            None => {}
        }
        if is_connecting && !is_seeding {
            generation = now;
        }
        let mut known = KnownConnection::new(socket, netns, generation, &self.hasher);
        if is_connecting && !is_seeding {
            known.set(mark::START_KNOWN);
        }
        known.observe(&mut sample, socket, self.pass, &self.listening);
        self.connections.insert(socket.cookie, known);
        if !is_seeding {
            if !is_connecting {
                new.opened.push(event::open(&sample));
            }
            new.samples.push(sample);
        }
        None
    }

    /// Reports connections that are missing from lists and whose end was not received.
    pub fn report_missing(&mut self, on: &mut dyn FnMut(Transition<'_>)) {
        let (pass, entered) = (self.pass, &self.namespaces.entered);
        let now = SystemClock.monotonic();
        let (max_vanished, mut vanished) = (self.config.max_connections as usize, 0);
        self.connections.retain(|cookie, known| {
            if known.last_pass == pass {
                return true;
            }
            let missed = pass - known.last_pass;
            let namespace = entered.iter().find(|namespace| namespace.inode == known.netns);
            if known.has(mark::GONE) {
                let is_kept = namespace.is_some() && missed < MAX_LISTS_GONE && vanished < max_vanished;
                vanished += usize::from(is_kept);
                return is_kept;
            }
            let is_over = namespace.is_none_or(|namespace| {
                let is_lost = namespace.lost_pass.is_some_and(|lost| lost >= known.last_pass);
                namespace.is_listed && missed >= if is_lost { MISSED_AFTER_LOSS } else { MAX_MISSED_LISTS }
            });
            if is_over {
                on(Transition::Connection(&event::vanished(*cookie, known.generation, now)));
                known.set(mark::GONE);
                vanished += 1;
            }
            true
        });
        self.vanished = vanished;
    }
}
