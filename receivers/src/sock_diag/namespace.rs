//! The network namespaces whose sockets are read, each with two netlink sockets.

use std::fs::File;
use std::io;
use std::mem;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::config::NamespaceScope;
use super::socket::{DiagnosisSocket, Received};
use super::wire::DiagSocket;
use crate::host::{capabilities, namespaces};

/// A namespace that was entered.
pub(super) struct Namespace {
    /// Inode of the namespace.
    pub inode: u32,
    pub requests: DiagnosisSocket,
    pub ended: DiagnosisSocket,
    /// File that lists the netlink sockets of the namespace, with the number of messages that each lost.
    table: Option<File>,
    /// Inode of `ended`.
    ended_inode: u64,
    /// Number of messages that were lost.
    pub lost: u64,
    /// Whether messages were lost that are not counted yet.
    is_overflown: bool,
    /// Number of the last pass in which, or since the pass before it, messages were lost.
    pub lost_pass: Option<u32>,
    /// Whether the connections in its next list are older than Longwave.
    pub is_seeding: bool,
    /// Whether the last list was complete.
    pub is_listed: bool,
}

/// The namespaces, and when to search for new ones.
pub(super) struct Namespaces {
    pub entered: Vec<Namespace>,
    scope: NamespaceScope,
    receive_buffer: usize,
    own: u32,
    searched: Option<(Instant, Duration)>,
    /// Number of messages that were lost in namespaces that Longwave has left.
    lost_before: u64,
    /// Number of namespaces that could not be entered at the last search.
    pub refused: u64,
}

/// Maximum number of messages that one call receives from a namespace.
pub(super) const MAX_RECEIVED: usize = 65_536;

/// Number of overflows after which one call stops receiving.
const MAX_OVERFLOWS: usize = 64;

/// Minimum ratio of the time between two searches to the duration of a search.
const MIN_IDLE_RATIO: u32 = 100;

/// Maximum number of bytes that are read of the file that lists netlink sockets.
const MAX_TABLE: usize = 1 << 20;

// === impl Namespace ===

impl Namespace {
    /// Opens the sockets in the calling thread's namespace.
    fn open(inode: u32, receive_buffer: usize) -> io::Result<Self> {
        let ended = DiagnosisSocket::for_ended_sockets(receive_buffer)?;
        let ended_inode = File::from(ended.as_fd().try_clone_to_owned()?).metadata()?.ino();
        Ok(Self {
            inode,
            requests: DiagnosisSocket::for_requests()?,
            ended,
            table: File::open("/proc/thread-self/net/netlink").ok(),
            ended_inode,
            lost: 0,
            is_overflown: false,
            lost_pass: None,
            is_seeding: false,
            is_listed: false,
        })
    }

    /// Calls `visit` with each socket that ended. Then counts the messages that were lost.
    pub fn receive_ended(&mut self, pass: u32, visit: &mut dyn FnMut(Option<DiagSocket>)) {
        for _ in 0..MAX_OVERFLOWS {
            match self.ended.receive_ended(MAX_RECEIVED, visit) {
                Received::Overflow => self.set_overflown(pass),
                Received::Failed(error) => {
                    tracing::debug!("sock_diag: cannot receive the sockets that ended: {error}");
                    self.set_overflown(pass);
                    return;
                }
                Received::Limit => return,
                Received::Everything => {
                    self.count_lost();
                    return;
                }
            }
        }
    }

    /// Marks that messages were lost in `pass`, or since the pass before it.
    pub fn set_overflown(&mut self, pass: u32) {
        self.is_overflown = true;
        self.lost_pass = Some(pass);
    }

    /// Counts the messages that were lost, if there are any. The kernel drops messages until its buffer is empty, so that their number is
    /// final only then. Without the kernel's number, each overflow is one message.
    fn count_lost(&mut self) {
        if mem::take(&mut self.is_overflown) {
            let read = self.table.as_ref().and_then(|table| lost_messages(table, self.ended_inode));
            self.lost = read.unwrap_or(self.lost + 1).max(self.lost);
        }
    }
}

/// Reads how many messages the netlink socket with this inode lost.
fn lost_messages(table: &File, inode: u64) -> Option<u64> {
    let mut text = vec![0; MAX_TABLE];
    let mut length = 0;
    while length < text.len() {
        match table.read_at(&mut text[length..], length as u64).ok()? {
            0 => break,
            read => length += read,
        }
    }
    // The last columns are the lost messages and the inode.
    let text = String::from_utf8_lossy(&text[..length]);
    text.lines().find_map(|line| {
        let mut columns = line.split_whitespace().rev();
        (columns.next()?.parse() == Ok(inode)).then(|| columns.next()?.parse().ok())?
    })
}

// === impl Namespaces ===

impl Namespaces {
    /// Enters this process's namespace.
    ///
    /// # Errors
    /// The kernel does not provide socket diagnostics here.
    pub fn new(scope: NamespaceScope, receive_buffer: usize) -> io::Result<Self> {
        let own = namespaces::own().unwrap_or(0) as u32;
        let mut entered = Namespace::open(own, receive_buffer)?;
        entered.is_seeding = true;
        Ok(Self {
            entered: vec![entered],
            scope,
            receive_buffer,
            own,
            searched: None,
            lost_before: 0,
            refused: 0,
        })
    }

    /// Returns whether other namespaces are wanted and can be entered.
    pub fn enters_others(&self) -> bool {
        self.scope == NamespaceScope::All && capabilities::can_enter_namespaces()
    }

    /// Returns the number of messages that were lost.
    pub fn lost(&self) -> u64 {
        self.lost_before + self.entered.iter().map(|namespace| namespace.lost).sum::<u64>()
    }

    /// Enters new namespaces, and leaves those that only Longwave keeps alive. Does nothing until [`MIN_IDLE_RATIO`] times the duration of the
    /// last search has passed.
    pub fn update(&mut self) {
        let is_early = self.searched.is_some_and(|(at, took)| at.elapsed() < took * MIN_IDLE_RATIO);
        if is_early || !self.enters_others() {
            return;
        }
        let start = Instant::now();
        let found = namespaces::find().paths;
        self.entered.retain(|namespace| {
            let exists = namespace.inode == self.own || found.contains_key(&u64::from(namespace.inode));
            self.lost_before += if exists { 0 } else { namespace.lost };
            exists
        });
        let new: Vec<(u32, PathBuf)> = found
            .into_iter()
            .map(|(inode, path)| (inode as u32, path))
            .filter(|(inode, _)| self.entered.iter().all(|namespace| namespace.inode != *inode))
            .collect();
        self.refused = 0;
        if !new.is_empty() {
            let is_first = self.searched.is_none();
            for result in enter(&new, self.receive_buffer) {
                match result {
                    Ok(namespace) => self.entered.push(Namespace { is_seeding: is_first, ..namespace }),
                    Err(error) => {
                        tracing::debug!("sock_diag: cannot enter a network namespace: {error}");
                        self.refused += 1;
                    }
                }
            }
        }
        self.searched = Some((start, start.elapsed()));
    }
}

/// Opens sockets in these namespaces. Uses a separate thread, because a thread that entered a namespace cannot always return.
fn enter(new: &[(u32, PathBuf)], receive_buffer: usize) -> Vec<io::Result<Namespace>> {
    let enter = |inode: u32, path: &Path| {
        namespaces::enter(path)?;
        Namespace::open(inode, receive_buffer)
    };
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| new.iter().map(|(inode, path)| enter(*inode, path)).collect());
        thread
            .join()
            .unwrap_or_else(|_| vec![Err(io::Error::other("the thread that enters namespaces panicked"))])
    })
}

/// Returns the descriptors that are readable when ended sockets wait.
pub(super) fn descriptors(entered: &[Namespace]) -> impl Iterator<Item = std::os::fd::BorrowedFd<'_>> {
    entered.iter().map(|namespace| namespace.ended.as_fd())
}
