//! Sockets that ended: receives them, and reports how their connections ended.

use std::mem;

use longwave_pipeline::model::TcpState;

use super::super::ended::{self, EndedContext};
use super::super::event;
use super::super::known::{KnownConnection, mark};
use super::super::namespace::Namespace;
use super::super::socket::BATCH;
use super::super::wire::DiagSocket;
use super::SockDiag;
use crate::tracking::Transition;
use crate::tracking::timeline::{Clock, SystemClock};

/// Maximum number of ended sockets that wait until a list is complete. Further ones are dropped and counted.
const MAX_WAITING: usize = 131_072;

/// A socket that ended, and the time at which the kernel's message was received.
#[derive(Clone, Copy, Debug)]
pub struct EndedSocket {
    netns: u32,
    observed_ns: u64,
    socket: DiagSocket,
}

// === impl SockDiag ===

impl SockDiag {
    /// Receives the sockets that ended in all namespaces, and passes on their events.
    pub fn receive_ended(&mut self, on: &mut dyn FnMut(Transition<'_>)) -> usize {
        self.with_namespaces(|source, entered| {
            for namespace in entered.iter_mut() {
                let (netns, now, pass) = (namespace.inode, SystemClock.monotonic(), source.pass);
                namespace.receive_ended(pass, &mut |socket| source.let_wait(netns, now, socket));
            }
            let ended = mem::take(&mut source.ended);
            let successors = source.successors(&ended, entered);
            for (ended, successor) in ended.iter().zip(successors) {
                source.end(ended, successor, on);
            }
            ended.len()
        })
    }

    /// Looks up the small sockets (FIN_WAIT2, TIME_WAIT) that replaced ended ones, if [`ended::needs_successor`]. Returns their states.
    fn successors(&self, ended: &[EndedSocket], entered: &mut [Namespace]) -> Vec<Option<TcpState>> {
        let mut successors = vec![None; ended.len()];
        for namespace in entered {
            let wanted: Vec<usize> = (0..ended.len())
                .filter(|index| {
                    let EndedSocket { netns, socket, .. } = &ended[*index];
                    *netns == namespace.inode
                        && ended::needs_successor(socket, self.connections.get(&socket.cookie))
                })
                .collect();
            for indices in wanted.chunks(BATCH) {
                let sockets = indices.iter().map(|index| &ended[*index].socket);
                // After a failure, the counts are marked as uncertain.
                for (index, state) in
                    indices.iter().zip(namespace.requests.states(sockets).unwrap_or_default())
                {
                    let state = state.map(TcpState::from_kernel);
                    successors[*index] =
                        state.filter(|state| matches!(state, TcpState::FinWait2 | TcpState::TimeWait));
                }
            }
        }
        successors
    }

    /// Passes on the events of a socket that ended.
    pub fn end(
        &mut self,
        ended: &EndedSocket,
        successor: Option<TcpState>,
        on: &mut dyn FnMut(Transition<'_>),
    ) {
        let EndedSocket { netns, observed_ns, socket } = ended;
        let Some(info) = &socket.info else {
            self.counts.malformed += 1;
            return;
        };
        let mut known = self.connections.remove(&socket.cookie);
        self.holders.remove(&socket.cookie);
        if known.is_some_and(|known| known.has(mark::GONE)) {
            self.counts.late_end += 1;
            return;
        }
        if socket.peer_port == 0 {
            self.end_without_peer(ended, known, on);
            return;
        }
        let mut generation = 0;
        if let Some(former) = known.filter(|known| !known.is_same(socket, &self.hasher)) {
            on(Transition::Connection(&event::vanished(socket.cookie, former.generation, *observed_ns)));
            (known, generation) = (None, *observed_ns);
        }
        let has_listener = self.listening.has(*netns, socket.local_port);
        let context = EndedContext { known: known.as_ref(), has_listener, successor };
        let mut close = ended::close(socket, info, &context, *netns, *observed_ns);
        close.generation = generation;
        if let Some(known) = &known {
            known.complete(&mut close);
        }
        let is_new = known.is_none_or(|known| known.has(mark::CONNECTING));
        if is_new && ended::is_established(info) {
            on(Transition::Connection(&event::open(&close)));
        }
        on(Transition::Connection(&close));
    }

    /// Passes on the events of a socket that listened, that the kernel disconnected, or that had no connection.
    fn end_without_peer(
        &mut self,
        ended: &EndedSocket,
        known: Option<KnownConnection>,
        on: &mut dyn FnMut(Transition<'_>),
    ) {
        let EndedSocket { netns, observed_ns, socket } = ended;
        if let Some(known) = known {
            let mut close = ended::close_without_counters(socket, *netns, *observed_ns);
            known.complete(&mut close);
            on(Transition::Connection(&close));
        } else if let Some(event) = self.listening.remove(socket.cookie) {
            on(Transition::Listen(&event));
        } else if socket.unacknowledged > 0 {
            self.counts.disconnected += 1;
        } else {
            self.counts.never_connected += 1;
        }
    }

    /// Stores a socket that ended until the list is complete.
    pub fn let_wait(&mut self, netns: u32, observed_ns: u64, socket: Option<DiagSocket>) {
        match socket {
            None => self.counts.malformed += 1,
            Some(_) if self.ended.len() >= MAX_WAITING => self.counts.waiting_full += 1,
            Some(socket) => self.ended.push(EndedSocket { netns, observed_ns, socket }),
        }
    }
}
