//! The table's protocol under every interleaving that [loom] finds: a socket's life on one CPU, the sampler or seeding on another.
//!
//! The steps are those of `ebpf/programs`. Reads acquire and writes release, which is how x86 orders plain memory.
//!
//! [loom]: https://docs.rs/loom
#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::Mutex as PlainMutex;

use longwave_ebpf_table::{
    Fit, Key, Keys, Slot, find, free, is_unchanged, own, publish, reserve, scan, take,
};
use loom::sync::Arc;
use loom::sync::atomic::Ordering::{AcqRel, Acquire, Release, SeqCst};
use loom::sync::atomic::{AtomicU64, fence};
use loom::thread;

/// Keys of the only bucket.
const WAYS: u32 = 2;

/// Addresses of two sockets.
const SOCKET: u64 = 0xffff_8881_0000_0040;
const OTHER: u64 = 0xffff_8881_0000_0a40;

/// Switches between threads that loom tries in one execution, beside those where a thread ends.
const PREEMPTIONS: usize = 3;

/// An entry: whose, and what samples wrote.
struct Entry {
    cookie: AtomicU64,
    generation: AtomicU64,
    moved: AtomicU64,
    control: AtomicU64,
}

/// What the kernel knows of a socket: 0 in CLOSE.
struct Socket {
    cookie: AtomicU64,
    is_open: AtomicU64,
    written: AtomicU64,
}

/// How the end of a connection was reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// By its close, with the entry.
    Closed,
    /// By its close, without an entry.
    Untracked,
    /// By the sampler.
    Vanished,
}

/// Everything on the host, and what was reported.
struct Host {
    keys: [AtomicU64; WAYS as usize],
    entries: [Entry; WAYS as usize],
    socket: Socket,
    /// (cookie, generation, how). Not part of the model: loom does not need to see it.
    ends: PlainMutex<Vec<(u64, u64, End)>>,
    samples: PlainMutex<Vec<(u64, u64, u64)>>,
    refused: PlainMutex<Vec<u64>>,
}

impl Keys for &Host {
    type Bucket = ();

    const WAYS: u32 = WAYS;

    fn buckets(self) -> u32 {
        1
    }

    fn bucket(self, index: u32) -> Option<()> {
        (index == 0).then_some(())
    }

    fn load(self, (): (), way: u32) -> Key {
        Key(self.keys[way as usize].load(Acquire))
    }

    fn replace(self, (): (), way: u32, expected: Key, new: Key) -> bool {
        compare_and_swap(&self.keys[way as usize], expected.0, new.0)
    }

    fn set(self, (): (), way: u32, new: Key) {
        fence(SeqCst);
        self.keys[way as usize].swap(new.0, AcqRel);
        fence(SeqCst);
    }
}

/// A compare-and-swap with a full barrier, as BPF's is. Loom knows full barriers only as fences.
fn compare_and_swap(word: &AtomicU64, expected: u64, new: u64) -> bool {
    fence(SeqCst);
    let replaced = word.compare_exchange(expected, new, AcqRel, Acquire).is_ok();
    fence(SeqCst);
    replaced
}

// === impl Host ===

impl Host {
    fn new() -> Self {
        let zero = || AtomicU64::new(0);
        let entry = || Entry { cookie: zero(), generation: zero(), moved: zero(), control: zero() };
        Self {
            keys: [zero(), zero()],
            entries: [entry(), entry()],
            socket: Socket { cookie: zero(), is_open: zero(), written: zero() },
            ends: PlainMutex::default(),
            samples: PlainMutex::default(),
            refused: PlainMutex::default(),
        }
    }

    fn entry(&self, slot: Slot) -> &Entry {
        &self.entries[slot.index as usize]
    }

    fn find_connection(&self, address: u64, cookie: u64) -> Option<Slot> {
        find(
            |except| scan(self, address, except),
            |index| {
                let entry = &self.entries[index as usize];
                match (entry.cookie.load(Acquire) == cookie, entry.generation.load(Acquire)) {
                    (false, _) => Fit::None,
                    (true, 0) => Fit::Seeded,
                    (true, _) => Fit::Opened,
                }
            },
        )
    }

    fn visit(&self, index: u32) -> Option<(Slot, u64)> {
        let slot = Slot::new(self.load((), index), index);
        slot.key.address().map(|address| (slot, address))
    }

    fn find_other(&self, address: u64, own: Slot) -> Option<Slot> {
        scan(self, address, own.index)
    }

    fn fill(&self, slot: Slot, cookie: u64, generation: u64) {
        let entry = self.entry(slot);
        entry.moved.store(0, Release);
        entry.control.store(0, Release);
        entry.cookie.store(cookie, Release);
        entry.generation.store(generation, Release);
    }

    fn end(&self, cookie: u64, generation: u64, how: End) {
        self.ends.lock().unwrap().push((cookie, generation, how));
    }

    /// The kernel makes a socket ready; `state`, when its connection begins; then the kernel changes the socket's state.
    fn open(&self, address: u64, cookie: u64, generation: u64) {
        if address == SOCKET {
            self.socket.written.store(cookie * 100 + generation, Release);
            self.socket.cookie.store(cookie, Release);
        }
        if let Some(stale) = self.find_connection(address, cookie) {
            take(self, stale);
        }
        match reserve(self, address) {
            Some(slot) => {
                self.fill(slot, cookie, generation);
                let slot = publish(self, slot, address);
                if let Some(stale) = self.find_other(address, slot) {
                    take(self, stale);
                }
            }
            None => self.refused.lock().unwrap().push(cookie),
        }
        if address == SOCKET {
            self.socket.is_open.store(1, Release);
        }
    }

    /// `state`, when a connection ends; then the kernel changes the socket's state.
    fn close(&self, address: u64, cookie: u64) {
        match self.find_connection(address, cookie).filter(|slot| own(self, *slot)) {
            None => self.end(cookie, 0, End::Untracked),
            Some(slot) => {
                let generation = self.entry(slot).generation.load(Acquire);
                free(self, slot);
                self.end(cookie, generation, End::Closed);
            }
        }
        if address == SOCKET {
            self.socket.is_open.store(0, Release);
        }
    }

    /// A seeding program that meets the socket, as one that a process holds.
    fn seed(&self) {
        if self.socket.is_open.load(Acquire) == 0 {
            return;
        }
        let cookie = self.socket.cookie.load(Acquire);
        if self.find_connection(SOCKET, cookie).is_some() {
            return;
        }
        let Some(slot) = reserve(self, SOCKET) else { return };
        self.fill(slot, cookie, 0);
        let slot = publish(self, slot, SOCKET);
        let gone = self.socket.is_open.load(Acquire) == 0 || self.socket.cookie.load(Acquire) != cookie;
        if gone || self.find_other(SOCKET, slot).is_some() {
            take(self, slot);
        }
    }

    /// `sample`, over the whole table.
    fn sample(&self) {
        for index in 0..WAYS {
            let Some((slot, address)) = self.visit(index) else { continue };
            if address != SOCKET {
                continue;
            }
            let entry = self.entry(slot);
            let (cookie, control) = (entry.cookie.load(Acquire), entry.control.load(Acquire));
            let written = self.socket.written.load(Acquire);
            let is_open = self.socket.is_open.load(Acquire) != 0;
            let generation = entry.generation.load(Acquire);
            if self.socket.cookie.load(Acquire) != cookie || !is_open && generation == 0 {
                if take(self, slot) {
                    self.end(cookie, generation, End::Vanished);
                }
                continue;
            }
            if !is_open {
                // It is opening: the entry is older than the state.
                continue;
            }
            entry.moved.store(written, Release);
            let replaced = compare_and_swap(&entry.control, control, control + 1);
            if replaced && is_unchanged(self, slot) {
                self.samples.lock().unwrap().push((cookie, generation, written));
                continue;
            }
            if replaced {
                compare_and_swap(&entry.control, control + 1, control);
            }
            entry.moved.store(0, Release);
        }
    }

    /// The live entry of a connection, after everything has come to rest.
    fn live(&self, address: u64) -> Vec<(u64, u64, u64)> {
        let held = (0..WAYS).filter_map(|index| self.visit(index)).filter(|(_, held)| *held == address);
        held.map(|(slot, _)| {
            let entry = self.entry(slot);
            (entry.cookie.load(Acquire), entry.generation.load(Acquire), entry.moved.load(Acquire))
        })
        .collect()
    }

    fn ends_of(&self, cookie: u64, generation: u64) -> Vec<End> {
        let ends = self.ends.lock().unwrap();
        let of = |(of, at, how): &(u64, u64, End)| (*of == cookie && *at == generation).then_some(*how);
        ends.iter().filter_map(of).collect()
    }
}

/// Explores `left` beside `right`, on a host that `before` prepared; then checks with `after`.
fn explore(
    before: impl Fn(&Host) + Sync + Send + 'static,
    left: impl Fn(&Host) + Copy + Sync + Send + 'static,
    right: impl Fn(&Host) + Copy + Sync + Send + 'static,
    after: impl Fn(&Host) + Sync + Send + 'static,
) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(PREEMPTIONS);
    builder.check(move || {
        let host = Arc::new(Host::new());
        before(&host);
        let other = Arc::clone(&host);
        let other = thread::spawn(move || right(&other));
        left(&host);
        other.join().unwrap();
        after(&host);
    });
}

/// *Scenario*: a connection closes and another one opens on the same socket memory, while the sampler takes two passes.
/// *Guarantees*: the end is reported once; the new connection has one entry, which holds nothing of the old one; no sample mixes the two.
#[test]
fn a_close_is_reported_once_beside_the_sampler() {
    explore(
        |host| host.open(SOCKET, 1, 10),
        |host| {
            host.close(SOCKET, 1);
            host.open(SOCKET, 2, 20);
        },
        |host| {
            host.sample();
            host.sample();
        },
        |host| {
            assert_eq!(host.ends_of(1, 10).len(), 1, "{:?}", host.ends.lock().unwrap());
            assert_eq!(host.ends_of(2, 20), []);
            let live = host.live(SOCKET);
            assert!(matches!(live[..], [(2, 20, 0 | 220)]), "{live:?}");
            for (cookie, generation, written) in host.samples.lock().unwrap().iter() {
                assert!(*written == cookie * 100 + generation, "mixed: {cookie} {generation} {written}");
            }
        },
    );
}

/// *Scenario*: a connection closes and opens again with the same cookie (`connect` to AF_UNSPEC), while the sampler takes two passes.
/// *Guarantees*: as above, by generation.
#[test]
fn a_reconnected_socket_is_two_connections_beside_the_sampler() {
    explore(
        |host| host.open(SOCKET, 1, 10),
        |host| {
            host.close(SOCKET, 1);
            host.open(SOCKET, 1, 20);
        },
        |host| {
            host.sample();
            host.sample();
        },
        |host| {
            assert_eq!(host.ends_of(1, 10).len(), 1, "{:?}", host.ends.lock().unwrap());
            assert_eq!(host.ends_of(1, 20), []);
            let live = host.live(SOCKET);
            assert!(matches!(live[..], [(1, 20, 0 | 110 | 120)]), "{live:?}");
        },
    );
}

/// *Scenario*: the close of a connection was missed, and another one opens on the same socket memory, while the sampler takes a pass.
/// *Guarantees*: the old entry is taken once, by the sampler or by the open; the new connection keeps its entry.
#[test]
fn a_stale_entry_is_taken_once() {
    explore(
        |host| {
            host.open(SOCKET, 1, 10);
            host.socket.is_open.store(0, Release);
        },
        |host| host.open(SOCKET, 2, 20),
        Host::sample,
        |host| {
            assert!(host.ends_of(1, 10).len() <= 1);
            assert_eq!(host.ends_of(2, 20), []);
            let live = host.live(SOCKET);
            assert!(matches!(live[..], [(2, 20, _)]), "{live:?}");
        },
    );
}

/// *Scenario*: seeding meets an older connection while it closes.
/// *Guarantees*: its end is reported. A second report can only be the sampler's, of a seeded entry: user space knows the cookie and
/// discards it.
#[test]
fn an_older_connection_closes_while_it_is_seeded() {
    explore(
        |host| {
            host.socket.cookie.store(1, Release);
            host.socket.is_open.store(1, Release);
        },
        |host| host.close(SOCKET, 1),
        Host::seed,
        |host| {
            host.sample();
            let ends = host.ends_of(1, 0);
            let expected = [&[End::Closed][..], &[End::Untracked], &[End::Untracked, End::Vanished]];
            assert!(expected.contains(&&ends[..]), "{ends:?}");
            assert_eq!(host.live(SOCKET), []);
        },
    );
}

/// *Scenario*: seeding meets an older connection while it closes and its socket is opened again with the same cookie, and closed.
/// *Guarantees*: both ends are reported, the second one with its generation: seeding never hides a connection that was seen to open.
#[test]
fn a_seeded_socket_is_opened_again() {
    explore(
        |host| {
            host.socket.cookie.store(1, Release);
            host.socket.is_open.store(1, Release);
        },
        |host| {
            host.close(SOCKET, 1);
            host.open(SOCKET, 1, 20);
            host.close(SOCKET, 1);
        },
        Host::seed,
        |host| {
            host.sample();
            assert!(!host.ends_of(1, 0).is_empty());
            assert_eq!(host.ends_of(1, 20), [End::Closed], "{:?}", host.ends.lock().unwrap());
            assert_eq!(host.live(SOCKET), []);
        },
    );
}

/// *Scenario*: the same, but the second connection stays open.
/// *Guarantees*: it has one entry, its own: seeding leaves no other one of its socket behind.
#[test]
fn a_seeded_socket_is_opened_again_and_stays_open() {
    explore(
        |host| {
            host.socket.cookie.store(1, Release);
            host.socket.is_open.store(1, Release);
        },
        |host| {
            host.close(SOCKET, 1);
            host.open(SOCKET, 1, 20);
        },
        Host::seed,
        |host| {
            assert_eq!(host.ends_of(1, 20), [], "{:?}", host.ends.lock().unwrap());
            let live = host.live(SOCKET);
            assert!(matches!(live[..], [(1, 20, 0)]), "{live:?}");
        },
    );
}

/// *Scenario*: a table with room for two; two CPUs open and close connections of different sockets, three at once at most.
/// *Guarantees*: every end is reported once; without an entry exactly where the open was refused.
#[test]
fn cpus_share_a_bucket_that_is_nearly_full() {
    explore(
        |host| host.open(SOCKET, 1, 10),
        |host| {
            host.open(OTHER, 2, 20);
            host.close(SOCKET, 1);
            host.close(OTHER, 2);
        },
        |host| {
            host.open(OTHER + 0xa00, 3, 30);
            host.close(OTHER + 0xa00, 3);
        },
        |host| {
            let refused = host.refused.lock().unwrap().clone();
            for (cookie, generation) in [(1, 10), (2, 20), (3, 30)] {
                let ends = [host.ends_of(cookie, generation), host.ends_of(cookie, 0)].concat();
                let expected = if refused.contains(&cookie) { End::Untracked } else { End::Closed };
                assert_eq!(ends, [expected], "{cookie}: {refused:?}");
            }
            assert!(host.visit(0).is_none() && host.visit(1).is_none());
        },
    );
}
