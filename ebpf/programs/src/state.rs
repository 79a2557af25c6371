//! `state` and `state_again`: connection changes, the same code attached twice.
//!
//! The kernel skips a tracing program that would interrupt itself on its CPU, so a softirq that lands inside `state`
//! would lose its event. `state_again` runs right after `state` on every event, handles what `state` did not, and cannot
//! be skipped by the same interruption.

use aya_ebpf::helpers::generated::bpf_ktime_get_ns;
use longwave_ebpf_abi::{
    ConnectionEvent, LAYOUT_VERSION, Tracked, flag, kind,
    tally::{
        CLOSE_BUSY, CLOSE_CLAIMED, CLOSE_RING_FULL, CLOSE_SUPPRESSED, CLOSE_UNTRACKED, INSERTED,
        OPEN_RING_FULL, REMOVED, REPLACED, SECOND_CHANCE, TABLE_BUSY, TABLE_FULL,
    },
    tracked::internal,
};

use crate::{
    config::{offset, setting},
    counters,
    listen::{self, Holder},
    maps::{self, HANDLED, HANDLED_SLOTS, TRANSITIONS},
    owner, scope,
    socket::{Socket, tcp},
    tally::count,
    words,
};

/// First copy.
#[unsafe(no_mangle)]
#[unsafe(link_section = "tp_btf/inet_sock_set_state")]
pub extern "C" fn state(context: *const u64) -> i32 {
    // SAFETY: the tracepoint's arguments.
    unsafe { transition::<false>(context) };
    0
}

/// Second copy: handles only what the first did not.
#[unsafe(no_mangle)]
#[unsafe(link_section = "tp_btf/inet_sock_set_state")]
pub extern "C" fn state_again(context: *const u64) -> i32 {
    // SAFETY: the tracepoint's arguments.
    unsafe { transition::<true>(context) };
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
unsafe fn transition<const AGAIN: bool>(context: *const u64) {
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
    // DCCP, SCTP and MPTCP sockets pass here too. Fields beyond `struct sock` can be read of a `tcp_sock` only.
    let Some(socket) = socket.tcp() else { return };
    let cookie = socket.cookie();
    let mark = cookie << 16 | u64::from(old) << 8 | u64::from(new);
    if AGAIN && take_handled(cookie, mark) {
        return;
    }
    let second = if AGAIN { flag::SECOND_CHANCE } else { 0 };
    // SAFETY: the socket is the tracepoint's.
    let handled = unsafe {
        match change {
            Change::ActiveOpen | Change::PassiveOpen | Change::Established => {
                open(socket, cookie, change, old, second)
            }
            Change::Close => close(socket, cookie, old, second),
            Change::Listen | Change::Unlisten => listening(socket, cookie, new),
        }
    };
    if AGAIN && handled {
        count(SECOND_CHANCE);
    }
    if !AGAIN {
        put_handled(cookie, mark);
    }
}

/// Notes that this transition of this socket was handled on this CPU. One of two slots, so that it takes two other events
/// of the same set between `state` and `state_again` to lose it; user space then drops the second report.
#[inline(always)]
fn put_handled(cookie: u64, mark: u64) {
    let Some(slots) = HANDLED.get_ptr_mut(0) else { return };
    // SAFETY: the index is even and below HANDLED_SLOTS. One word each, so that an interruption cannot tear it.
    unsafe {
        let slot = slots.cast::<u64>().add((cookie as usize * 2) & (HANDLED_SLOTS - 2));
        if slot.read_volatile() == 0 { slot.write_volatile(mark) } else { slot.add(1).write_volatile(mark) }
    }
}

/// Whether `state` handled this transition; takes the note away.
#[inline(always)]
fn take_handled(cookie: u64, mark: u64) -> bool {
    let Some(slots) = HANDLED.get_ptr_mut(0) else { return false };
    // SAFETY: as above.
    unsafe {
        let slot = slots.cast::<u64>().add((cookie as usize * 2) & (HANDLED_SLOTS - 2));
        if slot.read_volatile() == mark {
            slot.write_volatile(0);
            return true;
        }
        if slot.add(1).read_volatile() == mark {
            slot.add(1).write_volatile(0);
            return true;
        }
    }
    false
}

/// A connection begins (CLOSE → SYN_SENT, or a child leaves SYN_RECV) or is established. Whether there was anything to do.
///
/// # Safety
/// The socket is the tracepoint's.
#[inline(always)]
unsafe fn open(socket: Socket, cookie: u64, change: Change, old: u8, second: u16) -> bool {
    let address = socket.address();
    let (mut exists, mut claimed) = (false, false);
    let mut tracked = core::ptr::null::<Tracked>();
    let mut room = core::mem::MaybeUninit::<Tracked>::uninit();
    if let Some(entry) = maps::entry(address) {
        exists = true;
        // SAFETY: an entry of the table; its cookie tells whose.
        unsafe {
            let flags = (&raw const (*entry).flags).read_volatile();
            claimed = flags & internal::CLAIMED != 0;
            if (&raw const (*entry).cookie).read_volatile() == cookie {
                if change == Change::ActiveOpen {
                    // Begun already; but an entry that outlived its close does not count.
                    if flags & (flag::ESTABLISHED | internal::CLAIMED) == 0 {
                        return false;
                    }
                } else {
                    // Also a simultaneous open's SYN_RECV: still the connection that its SYN_SENT began, and its client.
                    if flags & flag::ESTABLISHED != 0 {
                        return false;
                    }
                    (&raw mut (*entry).flags).write_volatile(flags | flag::ESTABLISHED);
                    (&raw mut (*entry).established_ns).write_volatile(bpf_ktime_get_ns());
                    (&raw mut (*entry).tuple.local_port).write_volatile(socket.local_port());
                    tracked = entry;
                }
            }
        }
    }
    if tracked.is_null() {
        if change == Change::Established || !scope::includes(socket) {
            return false;
        }
        let value = room.as_mut_ptr();
        // SAFETY: the value is on the stack, of whole words.
        unsafe {
            words::zero(value);
            let now = bpf_ktime_get_ns();
            (&raw mut (*value).cookie).write_volatile(cookie);
            (&raw mut (*value).rtt_min_lifetime_us).write_volatile(u32::MAX);
            (&raw mut (*value).generation).write_volatile(now);
            socket.tuple(&raw mut (*value).tuple);
            owner::of_socket(&raw mut (*value).owner, socket);
            let mut flags = flag::START_KNOWN;
            if change == Change::ActiveOpen {
                flags |= flag::CLIENT;
                owner::of_current(&raw mut (*value).owner);
            } else {
                flags |= flag::SERVER | flag::ESTABLISHED;
                (&raw mut (*value).established_ns).write_volatile(now);
            }
            (&raw mut (*value).flags).write_volatile(flags);
        }
        match maps::insert(address, value, if exists { 0 } else { maps::NOEXIST }) {
            // Replaced, but told: its close could not delete it.
            0 if claimed => {}
            0 => count(if exists { REPLACED } else { INSERTED }),
            maps::E2BIG => count(TABLE_FULL),
            maps::EEXIST => return false,
            _ => count(TABLE_BUSY),
        }
        tracked = value;
    }
    if setting!(emit_open) == 0 || change == Change::ActiveOpen {
        return true;
    }
    let Some(event) = maps::reserve::<ConnectionEvent>(&TRANSITIONS) else {
        count(OPEN_RING_FULL);
        return true;
    };
    // SAFETY: room for one event; an entry, or the value above.
    unsafe {
        let flags = remembered(event, tracked);
        Header::new(kind::OPEN, old, flags | second).write(event);
        let minimum = counters::fill(&raw mut (*event).counters, socket);
        (&raw mut (*event).counters.rtt_min_lifetime_us).write_volatile(minimum);
        maps::submit_transition(event);
    }
    true
}

/// A connection ends, or fails to begin. Whether there was anything to do.
///
/// # Safety
/// The socket is the tracepoint's.
#[inline(always)]
unsafe fn close(socket: Socket, cookie: u64, old: u8, second: u16) -> bool {
    let address = socket.address();
    let mut entry = None;
    if let Some(found) = maps::entry(address) {
        // SAFETY: an entry of the table; its cookie tells whose.
        unsafe {
            if (&raw const (*found).cookie).read_volatile() == cookie {
                if (&raw const (*found).flags).read_volatile() & internal::CLAIMED != 0 {
                    return false;
                }
                entry = Some(found);
            }
        }
    }
    if entry.is_none() {
        // A child that never left SYN_RECV never opened.
        if old == tcp::SYN_RECV || !scope::includes(socket) {
            return false;
        }
        if setting!(pre_existing) == 0 {
            count(CLOSE_SUPPRESSED);
            return false;
        }
        count(CLOSE_UNTRACKED);
    }
    let Some(event) = maps::reserve::<ConnectionEvent>(&TRANSITIONS) else {
        // SAFETY: an entry of the table.
        let ours = entry.is_none_or(|entry| unsafe { claim(address, entry) });
        if ours {
            count(CLOSE_RING_FULL);
        }
        return ours;
    };
    // SAFETY: room for one event, an entry of the table, a socket of the tracepoint.
    unsafe {
        let mut lifetime = u32::MAX;
        let mut flags = second;
        if let Some(entry) = entry {
            flags |= remembered(event, entry);
            lifetime = (&raw const (*entry).rtt_min_lifetime_us).read_volatile();
        } else {
            flags |= flag::UNTRACKED | if old == tcp::SYN_SENT { flag::CLIENT } else { 0 };
            words::zero(event);
            (&raw mut (*event).cookie).write_volatile(cookie);
            (&raw mut (*event).observed_ns).write_volatile(bpf_ktime_get_ns());
            socket.tuple(&raw mut (*event).tuple);
            owner::of_socket(&raw mut (*event).owner, socket);
        }
        finish(event, socket, old, flags, lifetime);
        if let Some(entry) = entry
            && !claim(address, entry)
        {
            maps::discard(event);
            return false;
        }
        maps::submit_transition(event);
    }
    true
}

/// Deletes the entry of a connection that closes. Deleting is claiming: from here on the entry may be another connection's. False if
/// the close is another program's to tell.
///
/// # Safety
/// `entry` is an entry of the table.
#[inline(always)]
unsafe fn claim(address: u64, entry: *mut Tracked) -> bool {
    match maps::remove(address) {
        0 => count(REMOVED),
        maps::ENOENT => {
            count(CLOSE_CLAIMED);
            return false;
        }
        // SAFETY: it was not deleted.
        _ => unsafe {
            let flags = (&raw const (*entry).flags).read_volatile();
            (&raw mut (*entry).flags).write_volatile(flags | internal::CLAIMED);
            count(CLOSE_BUSY);
        },
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

/// What the table remembers; with [`Header`] and the counters, the whole event. Gives the flags to put into the header.
///
/// # Safety
/// `event` is valid for writes, `value` an entry or one's copy.
#[inline(always)]
pub unsafe fn remembered(event: *mut ConnectionEvent, value: *const Tracked) -> u16 {
    // SAFETY: fields of both.
    unsafe {
        (&raw mut (*event).cookie).write_volatile((&raw const (*value).cookie).read_volatile());
        (&raw mut (*event).generation).write_volatile((&raw const (*value).generation).read_volatile());
        (&raw mut (*event).established_ns)
            .write_volatile((&raw const (*value).established_ns).read_volatile());
        (&raw mut (*event).observed_ns).write_volatile(bpf_ktime_get_ns());
        words::copy(&raw mut (*event).tuple, &raw const (*value).tuple);
        words::copy(&raw mut (*event).owner, &raw const (*value).owner);
        (&raw const (*value).flags).read_volatile() & !internal::CLAIMED
    }
}

/// The final counters, and how it ended.
///
/// # Safety
/// `event` is valid for writes and otherwise filled, `socket` a full TCP socket.
#[inline(always)]
unsafe fn finish(event: *mut ConnectionEvent, socket: Socket, old: u8, flags: u16, lifetime: u32) {
    // SAFETY: fields of the event.
    unsafe {
        let minimum = counters::fill(&raw mut (*event).counters, socket);
        let lifetime = if minimum < lifetime { minimum } else { lifetime };
        (&raw mut (*event).counters.rtt_min_lifetime_us).write_volatile(lifetime);
        let mut header = Header::new(kind::CLOSE, old, flags | counters::marks_of(socket));
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
unsafe fn listening(socket: Socket, cookie: u64, new: u8) -> bool {
    if !scope::includes(socket) {
        return false;
    }
    // SAFETY: the socket is the tracepoint's.
    unsafe {
        if new == tcp::LISTEN {
            maps::note_listener(cookie);
            listen::emit(socket, cookie, kind::LISTEN, Holder::Current);
        } else {
            maps::forget_listener(cookie);
            listen::emit(socket, cookie, kind::UNLISTEN, Holder::Nobody);
        }
    }
    true
}
