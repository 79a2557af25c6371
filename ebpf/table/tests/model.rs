//! Explores the table's protocol with [loom]: one thread opens and closes connections of a socket, another one samples or seeds.
//!
//! The steps are those of `ebpf/programs`. Reads acquire and writes release, as plain memory accesses do on x86.
//!
//! [loom]: https://docs.rs/loom
#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::Mutex as PlainMutex;

use longwave_ebpf_table::{Key, Keys, Slot, claim, free, is_unchanged, publish, remove, reserve, scan};
use loom::sync::Arc;
use loom::sync::atomic::Ordering::{AcqRel, Acquire, Release, SeqCst};
use loom::sync::atomic::{AtomicU64, fence};
use loom::thread;

/// Keys in the only bucket.
const WAYS: u32 = 2;

/// Address of the socket that the sampler and seeding read.
const SOCKET: u64 = 0xffff_8881_0000_0040;
/// Address of a second socket, of which only the table is modelled.
const OTHER: u64 = 0xffff_8881_0000_0a40;

/// Preemptions that loom explores in one execution.
const PREEMPTIONS: usize = 3;

/// Model of an entry of the table.
struct ModelEntry {
    cookie: AtomicU64,
    generation: AtomicU64,
    progress: AtomicU64,
    control: AtomicU64,
}

/// Model of a socket of the kernel.
struct ModelSocket {
    cookie: AtomicU64,
    /// 0 in CLOSE, else 1.
    is_open: AtomicU64,
    written: AtomicU64,
}

/// Last report of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FinalReport {
    /// `state` reported the close with the entry.
    Closed,
    /// `state` reported the close without an entry.
    Untracked,
    /// The sampler reported the connection as vanished.
    Vanished,
}

/// Memory of the kernel side and its reports.
struct Host {
    keys: [AtomicU64; WAYS as usize],
    entries: [ModelEntry; WAYS as usize],
    socket: ModelSocket,
    /// Cookie and generation of each report. A plain mutex, because loom need not explore the order of reports.
    finals: PlainMutex<Vec<(u64, u64, FinalReport)>>,
    /// Cookie, generation and `written` of each sample.
    samples: PlainMutex<Vec<(u64, u64, u64)>>,
    /// Cookies of the connections for which the table had no free slot.
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

/// Compares and swaps with a full barrier, as BPF does. Loom supports full barriers only as fences.
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
        let entry = || ModelEntry { cookie: zero(), generation: zero(), progress: zero(), control: zero() };
        Self {
            keys: [zero(), zero()],
            entries: [entry(), entry()],
            socket: ModelSocket { cookie: zero(), is_open: zero(), written: zero() },
            finals: PlainMutex::default(),
            samples: PlainMutex::default(),
            refused: PlainMutex::default(),
        }
    }

    fn entry(&self, slot: Slot) -> &ModelEntry {
        &self.entries[slot.index as usize]
    }

    fn find_connection(&self, address: u64, cookie: u64) -> Option<Slot> {
        let find = |is_seeded: bool| {
            scan(self, address, |index| {
                let entry = &self.entries[index as usize];
                entry.cookie.load(Acquire) == cookie && (entry.generation.load(Acquire) == 0) == is_seeded
            })
        };
        find(false).or_else(|| find(true))
    }

    /// Returns the slot at an index and the address for which it is published.
    fn visit(&self, index: u32) -> Option<(Slot, u64)> {
        let slot = Slot::new(self.load((), index), index);
        slot.key.address().map(|address| (slot, address))
    }

    fn find_other(&self, address: u64, slot: Slot) -> Option<Slot> {
        scan(self, address, |index| index != slot.index)
    }

    fn fill(&self, slot: Slot, cookie: u64, generation: u64) {
        let entry = self.entry(slot);
        entry.progress.store(0, Release);
        entry.control.store(0, Release);
        entry.cookie.store(cookie, Release);
        entry.generation.store(generation, Release);
    }

    fn report(&self, cookie: u64, generation: u64, report: FinalReport) {
        self.finals.lock().unwrap().push((cookie, generation, report));
    }

    /// Opens a connection: the kernel prepares the socket, `state` enters it into the table, the kernel changes the socket's state.
    fn open(&self, address: u64, cookie: u64, generation: u64) {
        if address == SOCKET {
            self.socket.written.store(cookie * 100 + generation, Release);
            self.socket.cookie.store(cookie, Release);
        }
        if let Some(stale) = self.find_connection(address, cookie) {
            remove(self, stale);
        }
        match reserve(self, address) {
            Some(slot) => {
                self.fill(slot, cookie, generation);
                let slot = publish(self, slot, address);
                if let Some(stale) = self.find_other(address, slot) {
                    remove(self, stale);
                }
            }
            None => self.refused.lock().unwrap().push(cookie),
        }
        if address == SOCKET {
            self.socket.is_open.store(1, Release);
        }
    }

    /// Closes a connection: `state` frees its entry and reports it, then the kernel changes the socket's state.
    fn close(&self, address: u64, cookie: u64) {
        match self.find_connection(address, cookie).filter(|slot| claim(self, *slot)) {
            None => self.report(cookie, 0, FinalReport::Untracked),
            Some(slot) => {
                let generation = self.entry(slot).generation.load(Acquire);
                free(self, slot);
                self.report(cookie, generation, FinalReport::Closed);
            }
        }
        if address == SOCKET {
            self.socket.is_open.store(0, Release);
        }
    }

    /// Visits the socket as a seeding program does.
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
        let is_gone = self.socket.is_open.load(Acquire) == 0 || self.socket.cookie.load(Acquire) != cookie;
        if is_gone || self.find_other(SOCKET, slot).is_some() {
            remove(self, slot);
        }
    }

    /// Visits the whole table as `sample` does.
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
                if remove(self, slot) {
                    self.report(cookie, generation, FinalReport::Vanished);
                }
                continue;
            }
            if !is_open {
                // The connection is opening: its entry is written before the socket's state changes.
                continue;
            }
            entry.progress.store(written, Release);
            let replaced = compare_and_swap(&entry.control, control, control + 1);
            if replaced && is_unchanged(self, slot) {
                self.samples.lock().unwrap().push((cookie, generation, written));
                continue;
            }
            if replaced {
                compare_and_swap(&entry.control, control + 1, control);
            }
            entry.progress.store(0, Release);
        }
    }

    /// Returns cookie, generation and progress of each published entry of a socket.
    fn live(&self, address: u64) -> Vec<(u64, u64, u64)> {
        let published = (0..WAYS).filter_map(|index| self.visit(index));
        let of_socket = published.filter(|(_, published_for)| *published_for == address);
        of_socket
            .map(|(slot, _)| {
                let entry = self.entry(slot);
                (entry.cookie.load(Acquire), entry.generation.load(Acquire), entry.progress.load(Acquire))
            })
            .collect()
    }

    fn finals_of(&self, cookie: u64, generation: u64) -> Vec<FinalReport> {
        let finals = self.finals.lock().unwrap();
        let of_connection = finals.iter().filter(|(of, at, _)| (*of, *at) == (cookie, generation));
        of_connection.map(|(_, _, report)| *report).collect()
    }
}

/// Explores all interleavings of `left` and `right` on a host that `before` prepares, and checks each result with `after`.
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

/// *Scenario*: a connection closes and another one opens in the same socket memory, during two passes of the sampler.
/// *Guarantees*: the close is reported once. The new connection has one entry without data of the old one. No sample mixes the two.
#[test]
fn a_close_during_a_pass_is_reported_once() {
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
            assert_eq!(host.finals_of(1, 10).len(), 1, "{:?}", host.finals.lock().unwrap());
            assert_eq!(host.finals_of(2, 20), []);
            let live = host.live(SOCKET);
            assert!(matches!(live[..], [(2, 20, 0 | 220)]), "{live:?}");
            for (cookie, generation, written) in host.samples.lock().unwrap().iter() {
                assert!(*written == cookie * 100 + generation, "mixed: {cookie} {generation} {written}");
            }
        },
    );
}

/// *Scenario*: a connection closes and opens again with the same cookie (`connect` to AF_UNSPEC), during two passes of the sampler.
/// *Guarantees*: the close is reported once, under the generation of the first connection. The second connection has one entry.
#[test]
fn a_reconnect_during_a_pass_makes_two_connections() {
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
            assert_eq!(host.finals_of(1, 10).len(), 1, "{:?}", host.finals.lock().unwrap());
            assert_eq!(host.finals_of(1, 20), []);
            let live = host.live(SOCKET);
            assert!(matches!(live[..], [(1, 20, 0 | 110 | 120)]), "{live:?}");
        },
    );
}

/// *Scenario*: the close of a connection was missed, and another one opens in the same socket memory, during a pass of the sampler.
/// *Guarantees*: either the sampler or the open removes the old entry, once. The new connection keeps its entry.
#[test]
fn a_stale_entry_is_removed_once() {
    explore(
        |host| {
            host.open(SOCKET, 1, 10);
            host.socket.is_open.store(0, Release);
        },
        |host| host.open(SOCKET, 2, 20),
        Host::sample,
        |host| {
            assert!(host.finals_of(1, 10).len() <= 1);
            assert_eq!(host.finals_of(2, 20), []);
            let live = host.live(SOCKET);
            assert!(matches!(live[..], [(2, 20, _)]), "{live:?}");
        },
    );
}

/// *Scenario*: seeding visits an older connection while it closes.
/// *Guarantees*: the close is reported. Only the sampler may report the connection a second time, from a seeded entry. User space discards
/// that report by its cookie.
#[test]
fn an_older_connection_closes_during_seeding() {
    explore(
        |host| {
            host.socket.cookie.store(1, Release);
            host.socket.is_open.store(1, Release);
        },
        |host| host.close(SOCKET, 1),
        Host::seed,
        |host| {
            host.sample();
            let finals = host.finals_of(1, 0);
            let expected = [
                &[FinalReport::Closed][..],
                &[FinalReport::Untracked],
                &[FinalReport::Untracked, FinalReport::Vanished],
            ];
            assert!(expected.contains(&&finals[..]), "{finals:?}");
            assert_eq!(host.live(SOCKET), []);
        },
    );
}

/// *Scenario*: seeding visits an older connection while it closes, and while its socket opens again with the same cookie and closes.
/// *Guarantees*: both closes are reported, the second one with its generation: seeding never hides a connection whose open was observed.
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
            assert!(!host.finals_of(1, 0).is_empty());
            assert_eq!(host.finals_of(1, 20), [FinalReport::Closed], "{:?}", host.finals.lock().unwrap());
            assert_eq!(host.live(SOCKET), []);
        },
    );
}

/// *Scenario*: as in `a_seeded_socket_is_opened_again`, but the second connection stays open.
/// *Guarantees*: the socket has one entry, that of the second connection. Seeding leaves none.
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
            assert_eq!(host.finals_of(1, 20), [], "{:?}", host.finals.lock().unwrap());
            let live = host.live(SOCKET);
            assert!(matches!(live[..], [(1, 20, 0)]), "{live:?}");
        },
    );
}

/// *Scenario*: two CPUs open and close connections of three sockets in a table of two slots.
/// *Guarantees*: each close is reported once. It is reported without an entry if and only if the table refused the connection.
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
                let finals = [host.finals_of(cookie, generation), host.finals_of(cookie, 0)].concat();
                let expected =
                    if refused.contains(&cookie) { FinalReport::Untracked } else { FinalReport::Closed };
                assert_eq!(finals, [expected], "{cookie}: {refused:?}");
            }
            assert!(host.visit(0).is_none() && host.visit(1).is_none());
        },
    );
}
