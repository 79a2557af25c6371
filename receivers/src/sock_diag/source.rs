//! [`SockDiag`]: delivers what the kernel's socket diagnostics report as the events of a source.
//!
//! - A pass first processes its list, and then the sockets that ended before or while the list was read.
//! - A connection is new if no earlier list had it. It is reported as opened, without a time, unless a list shows SYN_SENT. Connections in the
//!   first list are older.
//! - A connection that no list has any more has ended. Its final counts come when the last descriptor is closed. If they were lost because the
//!   buffer overflowed, or do not come for many lists, it is reported as vanished. One list can miss a socket, because sockets come and go
//!   while the kernel writes it, so two are needed.

mod counts;
mod ending;
mod listed;

use std::io;
use std::mem;
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::BorrowedFd;
use std::time::Duration;

use hashbrown::HashMap;
use longwave_ebpf_abi::ListenEvent;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

pub use counts::initial_counts;

use counts::Counts;
use ending::EndedSocket;
use listed::NewConnections;

use super::config::Config;
use super::event;
use super::holders::{Holder, HolderSearch, SearchResult};
use super::known::{KnownConnection, mark};
use super::listening::ListeningSockets;
use super::namespace::{MAX_RECEIVED, Namespace, Namespaces, descriptors};
use super::socket::Received;
use super::wire::{AF_INET, AF_INET6, CONNECTED, DiagSocket, LISTENING};
use crate::tracking::timeline::{Clock, SystemClock};
use crate::tracking::tracker::LimitFields;
use crate::tracking::{PassCounts, Source, SourceCounts, Transition, timespec};

/// Time for which sockets that end are collected, so that a busy host does not wake the thread for each of them.
const COLLECT: Duration = Duration::from_millis(10);

/// Ratio of an interval to the time for which one pass searches descriptors.
const SEARCH_RATIO: u32 = 50;

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
    /// Number of `connections` that were reported as vanished, at the last pass.
    vanished: usize,
    hasher: foldhash::fast::RandomState,
    listening: ListeningSockets,
    ended: Vec<EndedSocket>,
    search: HolderSearch,
    /// Processes that were found, by cookie. The next sample of the connection reports them.
    holders: HashMap<u64, Holder, foldhash::fast::RandomState>,
    /// Events of the listeners in the list at the start, until they are delivered.
    first_listeners: Vec<ListenEvent>,
    /// Length of the kernel's `tcp_info` in bytes; 0 if no socket has been seen.
    info_length: u16,
    /// Number of the current pass. The list at the start is number 1.
    pass: u32,
    counts: Counts,
}

// === impl SockDiag ===

impl SockDiag {
    /// Opens the sockets and lists the connections that are older than Longwave.
    ///
    /// # Errors
    /// The kernel does not provide socket diagnostics here.
    pub fn start(config: &Config) -> io::Result<Self> {
        let buffer = usize::try_from(config.receive_buffer.get()).unwrap_or(usize::MAX);
        let mut source = Self::new(config, Namespaces::new(config.namespaces, buffer)?);
        source.namespaces.update();
        // The list of this listener shows the length of the kernel's `tcp_info`, from which `limits` follows.
        let _probe = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
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

    fn new(config: &Config, namespaces: Namespaces) -> Self {
        Self {
            config: config.clone(),
            namespaces,
            connections: HashMap::default(),
            vanished: 0,
            hasher: foldhash::fast::RandomState::default(),
            listening: ListeningSockets::default(),
            ended: Vec::new(),
            search: HolderSearch::default(),
            holders: HashMap::default(),
            first_listeners: Vec::new(),
            info_length: 0,
            pass: 0,
            counts: Counts::default(),
        }
    }

    /// Returns the number of connections. Before the first pass, all of them are older than Longwave.
    pub fn known(&self) -> usize {
        self.connections.len()
    }

    /// Returns which limits the kernel reports.
    pub fn limits(&self) -> LimitFields {
        event::limit_fields(self.info_length)
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
                        // Only a failure in the first namespace, Longwave's own, fails the pass.
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
            let (listening, info_length) = (&mut self.listening, &mut self.info_length);
            let visit = &mut |socket: &DiagSocket| {
                *info_length = socket.info.map_or(*info_length, |info| info.length);
                if let Some(event) = listening.observe(socket, netns, pass, SystemClock.monotonic()) {
                    on(Transition::Listen(&event));
                }
            };
            is_whole &= namespace.requests.list(family, LISTENING, visit, &mut || {})?;
        }
        self.listening.remove_missing(netns, pass, &mut |event| on(Transition::Listen(event)));
        let is_seeding = mem::take(&mut namespace.is_seeding);
        let (mut waiting, mut is_overflown, mut result) = (Vec::new(), false, Ok(is_whole));
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
            let listed = requests.list(family, CONNECTED, visit, between);
            result = result.and_then(|is_whole| Ok(is_whole & listed?));
        }
        if is_overflown {
            namespace.set_overflown(pass);
        }
        for (now, socket) in waiting {
            self.let_wait(netns, now, socket);
        }
        result
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
        let SearchResult { holders, missing } = self.search.run(self.config.interval.get() / SEARCH_RATIO);
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

    /// Runs `work` with the namespaces moved out of `self`, so that `work` can change both.
    fn with_namespaces<T>(&mut self, work: impl FnOnce(&mut Self, &mut Vec<Namespace>) -> T) -> T {
        let mut entered = mem::take(&mut self.namespaces.entered);
        let result = work(self, &mut entered);
        self.namespaces.entered = entered;
        result
    }
}

impl Source for SockDiag {
    type PassError = ListError;

    fn pass(&mut self, on: &mut dyn FnMut(Transition<'_>)) -> Result<PassCounts, ListError> {
        self.namespaces.update();
        let result = self.list(on);
        self.receive_ended(on);
        self.report_missing(on);
        if self.holders.is_empty() {
            self.holders.shrink_to_fit();
        }
        if self.config.owners {
            self.search_holders(on);
        }
        let visited = self.connections.len() as u64;
        result.map(|events| PassCounts { events, visited, runs: 0 })
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
        self.counts.named(self.namespaces.lost(), self.namespaces.refused)
    }

    fn fault(&self) -> Option<String> {
        None
    }
}

#[cfg(test)]
mod tests;
