//! [`SockDiag`]: delivers what the kernel's socket diagnostics report as the events of a source.
//!
//! - The list of a pass and the sockets that ended are processed in this order: first the list, then what ended before or while it was read.
//! - A connection is new if no earlier list had it. It is reported as opened, without a time, unless a list shows SYN_SENT. Connections in the
//!   first list are older.
//! - A connection that no list has any more has ended. Its final counts come when the last descriptor is closed. If they were lost because the
//!   buffer overflowed, or do not come for [`MAX_MISSED_LISTS`] lists, it is reported as vanished. One list can miss a socket, because sockets
//!   come and go while the kernel writes it, so two are needed.

use std::io;
use std::mem;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use longwave_ebpf_abi::{ConnectionEvent, ListenEvent, flag};
use longwave_pipeline::model::TcpState;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use super::config::Config;
use super::ended::{self, Context};
use super::event;
use super::holders::{Found, Holder, HolderSearch};
use super::known::{KnownConnection, mark};
use super::listening::ListeningSockets;
use super::namespace::{MAX_RECEIVED, Namespace, Namespaces, descriptors};
use super::socket::{BATCH, Received};
use super::wire::{AF_INET, AF_INET6, CONNECTED, DiagSocket, LISTENING};
use crate::bpf::kernel::{PassReport, Transition};
use crate::bpf::source::{Source, SourceCounts, timespec};
use crate::bpf::timeline::{Clock, SystemClock};

/// Lists without a connection after which it is reported as vanished although no message was lost.
const MAX_MISSED_LISTS: u32 = 12;

/// Lists without a connection after which it is reported as vanished if messages were lost meanwhile.
const MISSED_AFTER_LOSS: u32 = 2;

/// Lists for which a connection that was reported as vanished is remembered.
const MAX_LISTS_GONE: u32 = 720;

/// Sockets that ended and wait, for a list to be complete. More are lost and counted.
const MAX_WAITING: usize = 131_072;

/// Time for which sockets that end are collected, so that a busy host does not wake the thread for each.
const COLLECT: Duration = Duration::from_millis(10);

/// Part of an interval for which one pass searches descriptors.
const SEARCH_PART: u32 = 50;

/// The kernel refused to list the sockets.
#[derive(Debug, thiserror::Error)]
#[error(
    "listing the TCP sockets: {0}: the kernel refused; was a seccomp filter installed, or the module tcp_diag removed?"
)]
pub(super) struct ListError(Errno);

/// A source of events without BPF.
pub(super) struct SockDiag {
    config: Config,
    namespaces: Namespaces,
    connections: HashMap<u64, KnownConnection, foldhash::fast::RandomState>,
    hasher: foldhash::fast::RandomState,
    listening: ListeningSockets,
    ended: Vec<Ended>,
    search: HolderSearch,
    /// Processes that were found, for the next sample of the connection.
    holders: HashMap<u64, Holder, foldhash::fast::RandomState>,
    /// Listeners of the list at the start, which are not passed on yet.
    first_listeners: Vec<ListenEvent>,
    /// Number of the current pass. The list at the start is number 1.
    pass: u32,
    counts: Counts,
}

/// A socket that ended, and when that was received.
#[derive(Clone, Copy, Debug)]
struct Ended {
    netns: u32,
    observed_ns: u64,
    socket: DiagSocket,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    malformed: u64,
    /// Sockets that ended, of which the kernel kept neither peer nor counts, and that no list had.
    disconnected: u64,
    waiting_full: u64,
    table_full: u64,
    late_end: u64,
    failed_lists: u64,
    changed_lists: u64,
    never_connected: u64,
}

/// Events of a pass that are delivered after its list.
#[derive(Default)]
struct NewConnections {
    opened: Vec<ConnectionEvent>,
    samples: Vec<ConnectionEvent>,
}

// === impl SockDiag ===

impl SockDiag {
    /// Opens the sockets and lists the connections that are older than Longwave.
    ///
    /// # Errors
    /// The kernel does not provide socket diagnostics here.
    pub fn start(config: &Config) -> io::Result<Self> {
        let buffer = usize::try_from(config.receive_buffer.get()).unwrap_or(usize::MAX);
        let namespaces = Namespaces::new(config.namespaces, buffer)?;
        let mut source = Self {
            config: config.clone(),
            namespaces,
            connections: HashMap::default(),
            hasher: foldhash::fast::RandomState::default(),
            listening: ListeningSockets::default(),
            ended: Vec::new(),
            search: HolderSearch::default(),
            holders: HashMap::default(),
            first_listeners: Vec::new(),
            pass: 0,
            counts: Counts::default(),
        };
        source.namespaces.update();
        let mut listeners = Vec::new();
        let listed = source.list(&mut |transition| {
            if let Transition::Listen(event) = transition {
                listeners.push(*event);
            }
        });
        listed.map_err(|error| io::Error::from(error.0))?;
        source.first_listeners = listeners;
        Ok(source)
    }

    /// Returns how many connections are older than Longwave, before the first pass.
    pub fn known(&self) -> usize {
        self.connections.len()
    }

    /// Returns the namespaces.
    pub fn namespaces(&self) -> &Namespaces {
        &self.namespaces
    }

    /// Lists the sockets of all namespaces. Passes on events of listeners, and then those of connections, unless this is the list at the start.
    fn list(&mut self, on: &mut dyn FnMut(Transition<'_>)) -> Result<usize, ListError> {
        self.pass += 1;
        let (mut new, mut events, mut failure) = (NewConnections::default(), 0, None);
        self.with_namespaces(|source, entered| {
            for (index, namespace) in entered.iter_mut().enumerate() {
                let result = source.list_namespace(namespace, &mut new, on, &mut events);
                namespace.is_listed = result.is_ok();
                match result {
                    Ok(is_whole) => source.counts.changed_lists += u64::from(!is_whole),
                    Err(error) => {
                        source.counts.failed_lists += 1;
                        // That of its own, the first one, says that nothing works.
                        failure = failure.take().or((index == 0).then_some(ListError(error)));
                    }
                }
            }
        });
        for event in new.opened.iter().chain(&new.samples) {
            on(Transition::Connection(event));
        }
        events += new.opened.len() + new.samples.len();
        failure.map_or(Ok(events), Err)
    }

    fn list_namespace(
        &mut self,
        namespace: &mut Namespace,
        new: &mut NewConnections,
        on: &mut dyn FnMut(Transition<'_>),
        events: &mut usize,
    ) -> Result<bool, Errno> {
        let (netns, pass) = (namespace.inode, self.pass);
        let mut is_whole = true;
        for family in [AF_INET, AF_INET6] {
            let listening = &mut self.listening;
            let visit = &mut |socket: &DiagSocket| {
                if let Some(event) = listening.observe(socket, netns, pass, SystemClock.monotonic()) {
                    on(Transition::Listen(&event));
                }
            };
            is_whole &= namespace.requests.list(family, LISTENING, visit, &mut || {})?;
        }
        self.listening.remove_missing(netns, pass, &mut |event| on(Transition::Listen(event)));
        let is_seeding = mem::take(&mut namespace.is_seeded);
        let (mut waiting, mut is_overflown) = (Vec::new(), false);
        for family in [AF_INET, AF_INET6] {
            let Namespace { requests, ended, .. } = namespace;
            let visit = &mut |socket: &DiagSocket| {
                if let Some(sample) = self.observe(socket, netns, is_seeding, new) {
                    *events += 1;
                    on(Transition::Connection(&sample));
                }
            };
            // Sockets that end meanwhile are received, so that their buffer does not overflow.
            let between = &mut || {
                let now = SystemClock.monotonic();
                let received = ended.receive_ended(MAX_RECEIVED, &mut |socket| waiting.push((now, socket)));
                is_overflown |= matches!(received, Received::Overflow | Received::Failed(_));
            };
            is_whole &= requests.list(family, CONNECTED, visit, between)?;
        }
        if is_overflown {
            namespace.set_overflown(pass);
        }
        for (now, socket) in waiting {
            self.let_wait(netns, now, socket);
        }
        Ok(is_whole)
    }

    /// Processes a connection of a list. Returns its sample, unless other events must be delivered before.
    fn observe(
        &mut self,
        socket: &DiagSocket,
        netns: u32,
        is_seeding: bool,
        new: &mut NewConnections,
    ) -> Option<ConnectionEvent> {
        let now = SystemClock.monotonic();
        let mut sample = event::sample(socket, netns, now)?;
        let is_connecting = socket.state == TcpState::SynSent as u8;
        let is_full = self.connections.len() >= self.config.max_connections as usize;
        let mut generation = 0;
        match self.connections.get_mut(&socket.cookie) {
            Some(known) if !known.has(mark::GONE) && known.is_same(socket, &self.hasher) => {
                let was_connecting = known.has(mark::CONNECTING);
                known.observe(&mut sample, socket, self.pass);
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
        known.observe(&mut sample, socket, self.pass);
        self.connections.insert(socket.cookie, known);
        if !is_seeding {
            if !is_connecting {
                new.opened.push(event::open(&sample));
            }
            new.samples.push(sample);
        }
        None
    }

    /// Receives the sockets that ended in all namespaces, and passes on their events.
    fn receive_ended(&mut self, on: &mut dyn FnMut(Transition<'_>)) -> usize {
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

    /// Looks up the small sockets that took over from ended ones, where that makes a difference.
    fn successors(&self, ended: &[Ended], entered: &mut [Namespace]) -> Vec<Option<TcpState>> {
        let mut successors = vec![None; ended.len()];
        for namespace in entered {
            let wanted: Vec<usize> = (0..ended.len())
                .filter(|index| {
                    let Ended { netns, socket, .. } = &ended[*index];
                    *netns == namespace.inode
                        && ended::needs_successor(socket, self.connections.get(&socket.cookie))
                })
                .collect();
            for indices in wanted.chunks(BATCH) {
                let sockets = indices.iter().map(|index| &ended[*index].socket);
                // If it fails, the counts are marked as uncertain.
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
    fn end(&mut self, ended: &Ended, successor: Option<TcpState>, on: &mut dyn FnMut(Transition<'_>)) {
        let Ended { netns, observed_ns, socket } = ended;
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
            return;
        }
        let mut generation = 0;
        if let Some(former) = known.filter(|known| !known.is_same(socket, &self.hasher)) {
            on(Transition::Connection(&event::vanished(socket.cookie, former.generation, *observed_ns)));
            (known, generation) = (None, *observed_ns);
        }
        let has_listener = self.listening.has(*netns, socket.local_port);
        let context = Context { known: known.as_ref(), has_listener, successor };
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

    /// Stores a socket that ended until the list is complete.
    fn let_wait(&mut self, netns: u32, observed_ns: u64, socket: Option<DiagSocket>) {
        match socket {
            None => self.counts.malformed += 1,
            Some(_) if self.ended.len() >= MAX_WAITING => self.counts.waiting_full += 1,
            Some(socket) => self.ended.push(Ended { netns, observed_ns, socket }),
        }
    }

    /// Reports connections that lists do not have any more and whose end was not received.
    fn report_missing(&mut self, on: &mut dyn FnMut(Transition<'_>)) {
        let (pass, entered) = (self.pass, &self.namespaces.entered);
        let now = SystemClock.monotonic();
        self.connections.retain(|cookie, known| {
            if known.last_pass == pass {
                return true;
            }
            let missed = pass - known.last_pass;
            let namespace = entered.iter().find(|namespace| namespace.inode == known.netns);
            if known.has(mark::GONE) {
                return namespace.is_some() && missed < MAX_LISTS_GONE;
            }
            let is_over = namespace.is_none_or(|namespace| {
                let is_lost = namespace.lost_pass.is_some_and(|lost| lost >= known.last_pass);
                namespace.is_listed && missed >= if is_lost { MISSED_AFTER_LOSS } else { MAX_MISSED_LISTS }
            });
            if is_over {
                on(Transition::Connection(&event::vanished(*cookie, known.generation, now)));
                known.set(mark::GONE);
            }
            true
        });
    }

    /// Searches descriptors for the processes of connections that are in their second list, and of listeners.
    fn search_holders(&mut self, on: &mut dyn FnMut(Transition<'_>)) {
        if !self.search.is_running() {
            let unowned = self.connections.iter().filter(|(_, known)| {
                known.passes >= 2 && known.inode != 0 && !known.has(mark::LOOKED_UP | mark::GONE)
            });
            let unowned = unowned.map(|(cookie, known)| (known.inode, *cookie));
            self.search.begin(unowned.chain(self.listening.unowned()));
        }
        if !self.search.is_running() {
            return;
        }
        let Found { holders, missing } = self.search.run(self.config.interval.get() / SEARCH_PART);
        let results = holders.into_iter().map(|(cookie, holder)| (cookie, Some(holder)));
        for (cookie, holder) in results.chain(missing.into_iter().map(|cookie| (cookie, None))) {
            if let Some(known) = self.connections.get_mut(&cookie) {
                known.set(mark::LOOKED_UP);
                self.holders.extend(holder.map(|holder| (cookie, holder)));
            } else if let Some(events) = self.listening.looked_up(cookie, holder.as_ref()) {
                events.iter().for_each(|event| on(Transition::Listen(event)));
            }
        }
    }

    /// Runs `work` with the namespaces, which it may use beside everything else.
    fn with_namespaces<T>(&mut self, work: impl FnOnce(&mut Self, &mut Vec<Namespace>) -> T) -> T {
        let mut entered = mem::take(&mut self.namespaces.entered);
        let result = work(self, &mut entered);
        self.namespaces.entered = entered;
        result
    }
}

impl Source for SockDiag {
    type PassError = ListError;

    fn pass(&mut self, on: &mut dyn FnMut(Transition<'_>)) -> Result<PassReport, ListError> {
        let start = Instant::now();
        self.namespaces.update();
        let result = self.list(on);
        self.receive_ended(on);
        self.report_missing(on);
        if self.config.owners {
            self.search_holders(on);
        }
        let visited = self.connections.len() as u64;
        result.map(|events| PassReport {
            events,
            visited,
            duration: start.elapsed(),
            ..PassReport::default()
        })
    }

    fn drain_transitions(&mut self, on: &mut dyn FnMut(Transition<'_>)) -> usize {
        let mut listening = 0;
        for event in mem::take(&mut self.first_listeners) {
            on(Transition::Listen(&event));
            listening += 1;
        }
        self.receive_ended(on) + listening
    }

    fn wait(&mut self, stop: BorrowedFd<'_>, at_most: Duration) -> bool {
        let collect = at_most.min(COLLECT);
        let is_stopped = |fds: &[PollFd<'_>]| fds.first().is_some_and(|fd| !fd.revents().is_empty());
        let mut fds = vec![PollFd::from_borrowed_fd(stop, PollFlags::IN)];
        // A signal has the effect of a timeout: the caller waits again.
        let _ = poll(&mut fds, Some(&timespec(collect)));
        if !is_stopped(&fds) {
            let ended = descriptors(&self.namespaces.entered);
            fds.extend(ended.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
            let _ = poll(&mut fds, Some(&timespec(at_most - collect)));
        }
        is_stopped(&fds)
    }

    fn counts(&self) -> SourceCounts {
        let counts = &self.counts;
        SourceCounts {
            lost: vec![
                ("receive_buffer_full", self.namespaces.lost()),
                ("waiting_full", counts.waiting_full),
                ("disconnected", counts.disconnected),
                ("table_full", counts.table_full),
                ("malformed", counts.malformed),
            ],
            events: vec![
                ("late_end", counts.late_end),
                ("never_connected", counts.never_connected),
                ("changed_list", counts.changed_lists),
                ("failed_list", counts.failed_lists),
                ("namespace_refused", self.namespaces.refused),
            ],
            lost_samples: counts.failed_lists,
        }
    }

    fn fault(&self) -> Option<String> {
        None
    }
}
