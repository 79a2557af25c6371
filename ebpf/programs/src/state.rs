//! `state`, `state_again` and `state_third`: connection changes, the same code attached two or three times.
//!
//! The kernel skips a tracing program that would interrupt itself on its CPU, so a softirq that lands inside `state`
//! would lose its event. `state_again` runs right after `state` on every event, handles what `state` did not, and cannot
//! be skipped by the same interruption. Since Linux 7.0 a program at a tracepoint can be preempted, and while it is, the kernel skips it for
//! the other tasks of the CPU too: there `state_third` does for `state_again` what that does for `state`.

use aya_ebpf::helpers::generated::bpf_ktime_get_ns;
use longwave_ebpf_abi::{
    ConnectionEvent, LAYOUT_VERSION, Tracked, flag, kind,
    tally::{
        CLOSE_RING_FULL, CLOSE_SUPPRESSED, CLOSE_UNTRACKED, OPEN_RING_FULL, Program, REPLACED, SECOND_CHANCE,
        TABLE_FULL,
    },
    tracked::Control,
};

use crate::{
    config::{offset, setting},
    counters,
    listen::{self, Holder},
    maps::{self, HANDLED_SLOTS, LOCAL, Local, TRANSITIONS},
    owner, scope,
    socket::{Socket, tcp},
    table::{self, Place, Slot, Table},
    tally::count,
    words,
};

/// First copy.
#[unsafe(no_mangle)]
#[unsafe(link_section = "tp_btf/inet_sock_set_state")]
pub extern "C" fn state(context: *const u64) -> i32 {
    // SAFETY: the tracepoint's arguments.
    unsafe { transition::<0>(context) };
    0
}

/// Second copy: handles only what the first did not.
#[unsafe(no_mangle)]
#[unsafe(link_section = "tp_btf/inet_sock_set_state")]
pub extern "C" fn state_again(context: *const u64) -> i32 {
    // SAFETY: the tracepoint's arguments.
    unsafe { transition::<1>(context) };
    0
}

/// Third copy: handles only what the other two did not.
#[unsafe(no_mangle)]
#[unsafe(link_section = "tp_btf/inet_sock_set_state")]
pub extern "C" fn state_third(context: *const u64) -> i32 {
    // SAFETY: the tracepoint's arguments.
    unsafe { transition::<2>(context) };
    0
}

/// What a transition means.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    ActiveOpen,
    PassiveOpen,
    Established,
    Close,
    Listen,
    Unlisten,
}

/// # Safety
/// `context` holds the arguments of `inet_sock_set_state`: socket, old state, new state.
#[inline(always)]
unsafe fn transition<const COPY: u8>(context: *const u64) {
    // SAFETY: three arguments of 8 bytes.
    let (socket, old, new) = unsafe {
        (
            Socket(context.cast::<*const u8>().read_volatile()),
            context.add(1).read_volatile() as u8,
            context.add(2).read_volatile() as u8,
        )
    };
    let change = match (old, new) {
        _ if old == new => return,
        (tcp::LISTEN, tcp::CLOSE) => Change::Unlisten,
        (_, tcp::CLOSE) => Change::Close,
        (_, tcp::LISTEN) => Change::Listen,
        (tcp::CLOSE, tcp::SYN_SENT) => Change::ActiveOpen,
        (tcp::SYN_RECV, _) => Change::PassiveOpen,
        (tcp::SYN_SENT, tcp::ESTABLISHED) if setting!(connect_time) != 0 || setting!(emit_open) != 0 => {
            Change::Established
        }
        _ => return,
    };
    let Some(local) = LOCAL.get_ptr_mut(0) else { return };
    let known = socket.known_cookie();
    let is_last = COPY + 1 == setting!(copies);
    // SAFETY: this CPU's memory.
    if COPY > 0 && unsafe { was_handled(local, known, mark(known, old, new), is_last) } {
        return;
    }
    // DCCP, SCTP and MPTCP sockets pass here too. Fields beyond `struct sock` can be read of a `tcp_sock` only.
    let Some(socket) = socket.tcp() else { return };
    let cookie = if known != 0 { known } else { socket.cookie() };
    let by = match COPY {
        0 => Program::State,
        1 => Program::StateAgain,
        _ => Program::StateThird,
    };
    // SAFETY: the socket is the tracepoint's, the memory this CPU's.
    let handled = unsafe {
        let event =
            Transition { socket, place: Place::of(socket, local, by), cookie, is_new: known == 0, old, by };
        match change {
            Change::ActiveOpen | Change::PassiveOpen | Change::Established => open(&event, change),
            Change::Close => close(&event),
            Change::Listen | Change::Unlisten => listening(&event, new),
        }
    };
    if COPY > 0 && handled {
        count(by, SECOND_CHANCE);
    }
    if !is_last {
        // SAFETY: this CPU's memory.
        unsafe { put_handled(local, cookie, mark(cookie, old, new)) };
    }
}

/// A transition that concerns Longwave.
struct Transition {
    socket: Socket,
    place: Place,
    cookie: u64,
    /// The socket had no cookie before, so that the table has no entry of it.
    is_new: bool,
    old: u8,
    /// The program that handles it.
    by: Program,
}

impl Transition {
    /// The flag of a transition that the first copy missed.
    #[inline(always)]
    fn second_chance(&self) -> u16 {
        if matches!(self.by, Program::State) { 0 } else { flag::SECOND_CHANCE }
    }
}

/// One word for a transition of a socket.
#[inline(always)]
fn mark(cookie: u64, old: u8, new: u8) -> u64 {
    cookie << 16 | u64::from(old) << 8 | u64::from(new)
}

/// Notes that this transition of this socket was handled on this CPU. One of two slots, so that it takes two other events
/// of the same set between the copies to lose it; user space then drops the second report.
///
/// # Safety
/// `local` is this CPU's.
#[inline(always)]
unsafe fn put_handled(local: *mut Local, cookie: u64, mark: u64) {
    // SAFETY: the index is even and below HANDLED_SLOTS. One word each, so that an interruption cannot tear it.
    unsafe {
        let slot = local.cast::<u64>().add((cookie as usize * 2) & (HANDLED_SLOTS - 2));
        if slot.read_volatile() == 0 { slot.write_volatile(mark) } else { slot.add(1).write_volatile(mark) }
    }
}

/// Whether an earlier copy handled this transition. The last copy removes the note.
///
/// # Safety
/// `local` is this CPU's.
#[inline(always)]
unsafe fn was_handled(local: *mut Local, cookie: u64, mark: u64, is_last: bool) -> bool {
    const { assert!(core::mem::offset_of!(Local, handled) == 0) }
    // SAFETY: as above.
    unsafe {
        let slot = local.cast::<u64>().add((cookie as usize * 2) & (HANDLED_SLOTS - 2));
        for slot in [slot, slot.add(1)] {
            if slot.read_volatile() == mark {
                if is_last {
                    slot.write_volatile(0);
                }
                return true;
            }
        }
    }
    false
}

/// A connection begins (CLOSE → SYN_SENT, or a child leaves SYN_RECV) or is established. Returns whether there was anything to do.
///
/// # Safety
/// The socket is the tracepoint's.
#[inline(always)]
unsafe fn open(event: &Transition, change: Change) -> bool {
    let Transition { socket, place, cookie, is_new, old, by } = *event;
    let mut tracked = core::ptr::null_mut::<Tracked>();
    let found = if is_new { None } else { place.find_connection(cookie) };
    if let Some(slot) = found {
        let Some(entry) = table::entry(slot.index) else { return false };
        // SAFETY: the entry of this connection.
        let control = Control::unpack(unsafe { (&raw const (*entry).control).read_volatile() });
        let established = control.flags & flag::ESTABLISHED != 0;
        if change == Change::ActiveOpen {
            if !established && control.flags & flag::START_KNOWN != 0 {
                // It has begun already.
                return false;
            }
            // The entry outlived the close of the socket's previous connection.
            forget_replaced(slot, by);
        } else {
            // Also a simultaneous open's SYN_RECV: still the connection that its SYN_SENT began, and its client.
            if established {
                return false;
            }
            let control = Control { flags: control.flags | flag::ESTABLISHED, ..control };
            // SAFETY: as above. The sampler leaves a socket alone that is not established.
            unsafe {
                (&raw mut (*entry).control).write_volatile(control.pack());
                (&raw mut (*entry).established_ns).write_volatile(bpf_ktime_get_ns());
                (&raw mut (*entry).tuple.local_port).write_volatile(socket.local_port());
            }
            tracked = entry;
        }
    }
    if tracked.is_null() {
        if change == Change::Established || !scope::includes(socket) {
            return false;
        }
        let Some(slot) = place.reserve() else {
            count(by, TABLE_FULL);
            return true;
        };
        let Some(entry) = table::entry(slot.index) else { return false };
        // SAFETY: a reserved slot's entry is this program's.
        unsafe { fill(entry, socket, cookie, change) };
        let slot = place.publish(slot);
        // Seeding may have met the socket's previous connection and not known of its close. It starts after the flag is set, so it sees the
        // slot that was just published where the flag is not seen here.
        if maps::is_seeding()
            && let Some(other) = place.find_other(&slot)
        {
            forget_replaced(other, by);
        }
        tracked = entry;
    }
    if setting!(emit_open) == 0 || change == Change::ActiveOpen {
        return true;
    }
    let Some(record) = maps::reserve::<ConnectionEvent>(&TRANSITIONS) else {
        count(by, OPEN_RING_FULL);
        return true;
    };
    // SAFETY: room for one event; the entry of this connection.
    unsafe {
        let control = remembered(record, tracked);
        Header::new(kind::OPEN, old, control.flags | event.second_chance()).write(record);
        let minimum = counters::fill(&raw mut (*record).counters, socket);
        (&raw mut (*record).counters.rtt_min_lifetime_us).write_volatile(minimum);
        maps::submit_transition(record);
    }
    true
}

/// Fills the entry of a connection that begins.
///
/// # Safety
/// `entry` is valid for writes, and the caller's alone.
#[inline(always)]
unsafe fn fill(entry: *mut Tracked, socket: Socket, cookie: u64, change: Change) {
    // SAFETY: by the caller's promise.
    unsafe {
        words::zero(entry);
        let now = bpf_ktime_get_ns();
        (&raw mut (*entry).cookie).write_volatile(cookie);
        (&raw mut (*entry).generation).write_volatile(now);
        socket.tuple(&raw mut (*entry).tuple);
        owner::of_socket(&raw mut (*entry).owner, socket);
        let flags = if change == Change::ActiveOpen {
            owner::of_current(&raw mut (*entry).owner);
            flag::START_KNOWN | flag::CLIENT
        } else {
            (&raw mut (*entry).established_ns).write_volatile(now);
            flag::START_KNOWN | flag::SERVER | flag::ESTABLISHED
        };
        (&raw mut (*entry).control).write_volatile(Control::new(flags).pack());
    }
}

/// Frees the slot of a connection whose close was missed.
#[inline(always)]
fn forget_replaced(slot: Slot, by: Program) {
    if table::take(Table, slot) {
        count(by, REPLACED);
    }
}

/// A connection ends, or fails to begin. Returns whether there was anything to do.
///
/// # Safety
/// The socket is the tracepoint's.
#[inline(always)]
unsafe fn close(event: &Transition) -> bool {
    let Transition { socket, place, cookie, is_new, old, by } = *event;
    let owned = if is_new { None } else { place.own_connection(cookie) };
    if owned.is_none() {
        // A child that never left SYN_RECV never opened.
        if old == tcp::SYN_RECV || !scope::includes(socket) {
            return false;
        }
        if setting!(pre_existing) == 0 {
            count(by, CLOSE_SUPPRESSED);
            return false;
        }
        count(by, CLOSE_UNTRACKED);
    }
    let Some(record) = maps::reserve::<ConnectionEvent>(&TRANSITIONS) else {
        if let Some(slot) = owned {
            table::free(Table, slot);
        }
        count(by, CLOSE_RING_FULL);
        return true;
    };
    // SAFETY: room for one event, an entry that is this program's, a socket of the tracepoint.
    unsafe {
        let mut control = Control::new(0);
        match owned.and_then(|slot| Some((slot, table::entry(slot.index)?))) {
            Some((slot, entry)) => {
                control = remembered(record, entry);
                table::free(Table, slot);
            }
            None => {
                control.flags = flag::UNTRACKED | if old == tcp::SYN_SENT { flag::CLIENT } else { 0 };
                words::zero(record);
                (&raw mut (*record).cookie).write_volatile(cookie);
                (&raw mut (*record).observed_ns).write_volatile(bpf_ktime_get_ns());
                socket.tuple(&raw mut (*record).tuple);
                owner::of_socket(&raw mut (*record).owner, socket);
            }
        }
        control.flags |= event.second_chance();
        finish(record, socket, old, control);
        maps::submit_transition(record);
    }
    true
}

/// What every event begins with, in two words: `version` … `error`, `soft_error` … padding.
pub struct Header {
    pub kind: u8,
    pub state: u8,
    pub flags: u16,
    pub error: u16,
    pub soft_error: u16,
    pub sk_flags: u16,
    pub shutdown: u8,
}

impl Header {
    pub const fn new(kind: u8, state: u8, flags: u16) -> Self {
        Self { kind, state, flags, error: 0, soft_error: 0, sk_flags: 0, shutdown: 0 }
    }

    /// Writes it, padding included.
    ///
    /// # Safety
    /// `event` is valid for writes.
    #[inline(always)]
    pub unsafe fn write(self, event: *mut ConnectionEvent) {
        const { assert!(core::mem::offset_of!(ConnectionEvent, cookie) == 16) }
        let first = u64::from(LAYOUT_VERSION)
            | u64::from(self.kind) << 16
            | u64::from(self.state) << 24
            | u64::from(self.flags) << 32
            | u64::from(self.error) << 48;
        let second =
            u64::from(self.soft_error) | u64::from(self.sk_flags) << 16 | u64::from(self.shutdown) << 32;
        // SAFETY: the first 16 bytes of the event; the target is little-endian.
        unsafe {
            event.cast::<u64>().write_volatile(first);
            event.cast::<u64>().add(1).write_volatile(second);
        }
    }
}

/// What the table remembers; with [`Header`] and the counters, the whole event.
///
/// # Safety
/// `event` is valid for writes, `entry` for reads.
#[inline(always)]
pub unsafe fn remembered(event: *mut ConnectionEvent, entry: *const Tracked) -> Control {
    // SAFETY: fields of both.
    unsafe {
        (&raw mut (*event).cookie).write_volatile((&raw const (*entry).cookie).read_volatile());
        (&raw mut (*event).generation).write_volatile((&raw const (*entry).generation).read_volatile());
        (&raw mut (*event).established_ns)
            .write_volatile((&raw const (*entry).established_ns).read_volatile());
        (&raw mut (*event).observed_ns).write_volatile(bpf_ktime_get_ns());
        words::copy(&raw mut (*event).tuple, &raw const (*entry).tuple);
        words::copy(&raw mut (*event).owner, &raw const (*entry).owner);
        Control::unpack((&raw const (*entry).control).read_volatile())
    }
}

/// The final counters, and how it ended.
///
/// # Safety
/// `event` is valid for writes and otherwise filled, `socket` a full TCP socket.
#[inline(always)]
unsafe fn finish(event: *mut ConnectionEvent, socket: Socket, old: u8, control: Control) {
    // SAFETY: fields of the event.
    unsafe {
        let minimum = counters::fill(&raw mut (*event).counters, socket);
        let lifetime = if minimum < control.rtt_min_us { minimum } else { control.rtt_min_us };
        (&raw mut (*event).counters.rtt_min_lifetime_us).write_volatile(lifetime);
        let mut header = Header::new(kind::CLOSE, old, control.flags | counters::marks_of(socket));
        // From any state beyond the handshake, it was established; noted in the table only where it is asked for.
        if old != tcp::SYN_SENT && old != tcp::SYN_RECV {
            header.flags |= flag::ESTABLISHED;
        }
        header.error = socket.load::<u32>(offset!(err)) as u16;
        header.soft_error = socket.load::<u32>(offset!(err_soft)) as u16;
        header.sk_flags = socket.load::<u64>(offset!(flags)) as u16;
        header.shutdown = socket.load::<u8>(offset!(shutdown));
        header.write(event);
        // The source port was not chosen yet at SYN_SENT.
        if (&raw const (*event).tuple.local_port).read_volatile() == 0 {
            (&raw mut (*event).tuple.local_port).write_volatile(u16::from_be(socket.load(offset!(sport))));
        }
    }
}

/// A socket begins or stops listening.
#[inline(always)]
unsafe fn listening(event: &Transition, new: u8) -> bool {
    let Transition { socket, cookie, by, .. } = *event;
    if !scope::includes(socket) {
        return false;
    }
    // SAFETY: the socket is the tracepoint's.
    unsafe {
        if new == tcp::LISTEN {
            maps::note_listener(cookie);
            listen::emit(socket, cookie, kind::LISTEN, Holder::Current, by);
        } else {
            maps::forget_listener(cookie);
            listen::emit(socket, cookie, kind::UNLISTEN, Holder::Nobody, by);
        }
    }
    true
}
