//! `state`, `state_again` and `state_third`: state changes of connections. The same code is attached two or three times.
//!
//! The kernel skips a tracing program that would interrupt itself on its CPU. So a softirq during `state` would lose its event.
//! `state_again` runs right after `state` for every event and handles what `state` did not. The same interruption cannot skip both.
//!
//! Since Linux 7.0 a program of a tracepoint can be preempted, and the kernel skips it for all other tasks of the CPU until it continues.
//! There `state_third` handles what `state_again` did not.

use aya_ebpf::helpers::generated::bpf_ktime_get_ns;
use longwave_ebpf_abi::{
    ConnectionEvent, LAYOUT_VERSION, TableEntry,
    entry::ControlWord,
    flag, kind,
    tally::{
        CLOSE_RING_FULL, CLOSE_SUPPRESSED, CLOSE_UNTRACKED, OPEN_RING_FULL, Program, REPLACED, SECOND_CHANCE,
        TABLE_FULL,
    },
};

use crate::{
    atomic,
    config::{offset, setting},
    counters::{self, Chrono},
    listen::{self, OwnerSource},
    maps::{self, CPU_MEMORY, CpuMemory, HANDLED_WORDS, TRANSITIONS},
    owner, scope,
    socket::{Socket, tcp},
    table::{self, Slot, SocketSlots, Table},
    tally::count,
    words,
};

/// First copy: handles each event that it is not skipped for.
#[unsafe(no_mangle)]
#[unsafe(link_section = "tp_btf/inet_sock_set_state")]
pub extern "C" fn state(context: *const u64) -> i32 {
    // SAFETY: the context contains the arguments of the tracepoint.
    unsafe { transition::<0>(context) };
    0
}

/// Second copy: handles only the events that the first one did not.
#[unsafe(no_mangle)]
#[unsafe(link_section = "tp_btf/inet_sock_set_state")]
pub extern "C" fn state_again(context: *const u64) -> i32 {
    // SAFETY: the context contains the arguments of the tracepoint.
    unsafe { transition::<1>(context) };
    0
}

/// Third copy: handles only the events that the other two did not.
#[unsafe(no_mangle)]
#[unsafe(link_section = "tp_btf/inet_sock_set_state")]
pub extern "C" fn state_third(context: *const u64) -> i32 {
    // SAFETY: the context contains the arguments of the tracepoint.
    unsafe { transition::<2>(context) };
    0
}

/// Kind of a transition.
#[derive(Clone, Copy, PartialEq, Eq)]
enum TransitionKind {
    ActiveOpen,
    PassiveOpen,
    Established,
    Close,
    Listen,
    Unlisten,
}

/// Handles a state change of a socket, unless an earlier copy did.
///
/// # Safety
/// `context` contains the arguments of `inet_sock_set_state`: socket, old state, new state.
#[inline(always)]
unsafe fn transition<const COPY: u8>(context: *const u64) {
    // SAFETY: the context has three arguments of 8 bytes.
    let (socket, old, new) = unsafe {
        (
            Socket(context.cast::<*const u8>().read_volatile()),
            context.add(1).read_volatile() as u8,
            context.add(2).read_volatile() as u8,
        )
    };
    let kind = match (old, new) {
        _ if old == new => return,
        (tcp::ESTABLISHED, tcp::FIN_WAIT1) | (tcp::CLOSE_WAIT, tcp::LAST_ACK) => {
            // Only of interest in a process, where nothing can have skipped the first copy.
            if COPY == 0 {
                // SAFETY: the socket is that of the tracepoint.
                unsafe { finish(socket, old) };
            }
            return;
        }
        (tcp::LISTEN, tcp::CLOSE) => TransitionKind::Unlisten,
        (_, tcp::CLOSE) => TransitionKind::Close,
        (_, tcp::LISTEN) => TransitionKind::Listen,
        (tcp::CLOSE, tcp::SYN_SENT) => TransitionKind::ActiveOpen,
        (tcp::SYN_RECV, _) => TransitionKind::PassiveOpen,
        (tcp::SYN_SENT, tcp::ESTABLISHED) if setting!(connect_time) != 0 || setting!(emit_open) != 0 => {
            TransitionKind::Established
        }
        _ => return,
    };
    let Some(memory) = CPU_MEMORY.get_ptr_mut(0) else { return };
    let known = socket.known_cookie();
    let is_last = COPY + 1 == setting!(state_copies);
    // SAFETY: the memory is that of this CPU.
    if COPY > 0 && unsafe { was_handled(memory, known, transition_id(known, old, new), is_last) } {
        return;
    }
    // The tracepoint also reports DCCP, SCTP and MPTCP sockets. The verifier allows fields beyond `struct sock` for a `tcp_sock` only.
    let Some(socket) = socket.tcp() else { return };
    let cookie = if known != 0 { known } else { socket.cookie() };
    let program = match COPY {
        0 => Program::State,
        1 => Program::StateAgain,
        _ => Program::StateThird,
    };
    // SAFETY: the socket is that of the tracepoint, the memory that of this CPU.
    let handled = unsafe {
        let slots = SocketSlots::new(socket, memory, program);
        let event = Transition { socket, slots, cookie, is_new: known == 0, old, program };
        match kind {
            TransitionKind::ActiveOpen | TransitionKind::PassiveOpen | TransitionKind::Established => {
                open(&event, kind)
            }
            TransitionKind::Close => close(&event),
            TransitionKind::Listen | TransitionKind::Unlisten => report_listener(&event, new),
        }
    };
    if COPY > 0 && handled {
        count(program, SECOND_CHANCE);
    }
    if !is_last {
        // SAFETY: the memory is that of this CPU.
        unsafe { insert_handled(memory, cookie, transition_id(cookie, old, new)) };
    }
}

/// A state change that Longwave handles.
struct Transition {
    socket: Socket,
    slots: SocketSlots,
    cookie: u64,
    /// Whether the socket had no cookie before. Then the table has no entry of it.
    is_new: bool,
    /// State that the socket left.
    old: u8,
    /// Program that handles the transition.
    program: Program,
}

impl Transition {
    /// Returns the flag of a transition that the first copy missed; 0 for all others.
    #[inline(always)]
    fn second_chance(&self) -> u16 {
        if matches!(self.program, Program::State) { 0 } else { flag::SECOND_CHANCE }
    }
}

/// Returns the id of a transition in [`CpuMemory::handled`].
#[inline(always)]
fn transition_id(cookie: u64, old: u8, new: u8) -> u64 {
    cookie << 16 | u64::from(old) << 8 | u64::from(new)
}

/// Records that a transition was handled on this CPU.
///
/// Each set has two words, so that the record is only lost if two other events of the same set occur between the copies. Then the
/// transition is reported twice, and user space drops the second report.
///
/// # Safety
/// `memory` is that of this CPU.
#[inline(always)]
unsafe fn insert_handled(memory: *mut CpuMemory, cookie: u64, id: u64) {
    // SAFETY: the index is even and below `HANDLED_WORDS`. An id is one word, so that an interruption cannot tear it.
    unsafe {
        let set = memory.cast::<u64>().add((cookie as usize * 2) & (HANDLED_WORDS - 2));
        if set.read_volatile() == 0 { set.write_volatile(id) } else { set.add(1).write_volatile(id) }
    }
}

/// Returns whether an earlier copy handled this transition. The last copy removes the record of it.
///
/// # Safety
/// `memory` is that of this CPU.
#[inline(always)]
unsafe fn was_handled(memory: *mut CpuMemory, cookie: u64, id: u64, is_last: bool) -> bool {
    const { assert!(core::mem::offset_of!(CpuMemory, handled) == 0) }
    // SAFETY: as in `insert_handled`.
    unsafe {
        let set = memory.cast::<u64>().add((cookie as usize * 2) & (HANDLED_WORDS - 2));
        for word in [set, set.add(1)] {
            if word.read_volatile() == id {
                if is_last {
                    word.write_volatile(0);
                }
                return true;
            }
        }
    }
    false
}

/// Handles CLOSE → SYN_SENT, a child that leaves SYN_RECV, and SYN_SENT → ESTABLISHED. Returns false if there was nothing to do.
///
/// # Safety
/// The socket of the event is that of the tracepoint.
#[inline(always)]
unsafe fn open(event: &Transition, kind: TransitionKind) -> bool {
    let Transition { socket, slots, cookie, is_new, old, program } = *event;
    let mut own_entry = core::ptr::null_mut::<TableEntry>();
    let found = if is_new { None } else { slots.find_connection(cookie) };
    if let Some(slot) = found {
        let Some(entry) = table::entry(slot.index) else { return false };
        // SAFETY: `entry` is an entry of the table.
        let control = ControlWord::unpack(unsafe { (&raw const (*entry).control).read_volatile() });
        let established = control.flags & flag::ESTABLISHED != 0;
        if kind == TransitionKind::ActiveOpen {
            if !established && control.flags & flag::START_KNOWN != 0 {
                // The connection is in the table already.
                return false;
            }
            // The entry is of the socket's previous connection, whose close was missed.
            remove_replaced(slot, program);
        } else {
            // A simultaneous open passes SYN_RECV too. It remains the connection that SYN_SENT began, with the role of client.
            if established {
                return false;
            }
            let mut flags = control.flags | flag::ESTABLISHED;
            // The acknowledgement of the SYN has been counted by now.
            if kind == TransitionKind::Established && socket.load::<u64>(offset!(bytes_acked)) == 0 {
                flags |= flag::NO_SYN;
            }
            let control = ControlWord { flags, ..control };
            // SAFETY: `entry` is an entry of the table. The sampler does not write entries of sockets that are not established.
            unsafe {
                (&raw mut (*entry).control).write_volatile(control.pack());
                let opened = (&raw const (*entry).generation).read_volatile();
                (&raw mut (*entry).connect_ns).write_volatile(time_since_syn(socket, opened));
                (&raw mut (*entry).tuple.local_port).write_volatile(socket.local_port());
            }
            own_entry = entry;
        }
    }
    if own_entry.is_null() {
        if kind == TransitionKind::Established || !scope::includes(socket) {
            return false;
        }
        let Some(slot) = slots.reserve() else {
            count(program, TABLE_FULL);
            return true;
        };
        let Some(entry) = table::entry(slot.index) else { return false };
        // SAFETY: this program has claimed the slot, so that it is the only writer of the entry.
        unsafe { fill(entry, socket, cookie, kind) };
        let slot = slots.publish(slot);
        // Seeding may have entered the socket's previous connection while that closed. User space sets the flag before seeding starts. So
        // if the flag is not set here, seeding finds the slot that was just published.
        if maps::is_seeding()
            && let Some(other) = slots.find_other(&slot)
        {
            remove_replaced(other, program);
        }
        own_entry = entry;
    }
    if setting!(emit_open) == 0 || kind == TransitionKind::ActiveOpen {
        return true;
    }
    let Some(record) = maps::reserve_short(&TRANSITIONS) else {
        count(program, OPEN_RING_FULL);
        return true;
    };
    // SAFETY: `record` is a reserved record, `own_entry` an entry of the table.
    unsafe {
        let control = copy_entry(record, own_entry);
        Header::new(kind::OPEN, old, control.flags | event.second_chance()).write(record);
        let minimum = counters::fill(&raw mut (*record).counters, socket);
        (&raw mut (*record).counters.rtt_min_lifetime_us).write_volatile(minimum);
        maps::submit_transition(record);
    }
    true
}

/// Fills the entry of a connection that opens.
///
/// # Safety
/// `entry` is valid for writes, and the caller is its only writer.
#[inline(always)]
unsafe fn fill(entry: *mut TableEntry, socket: Socket, cookie: u64, kind: TransitionKind) {
    // SAFETY: `entry` is valid, as the caller guarantees.
    unsafe {
        words::zero(entry);
        let now = bpf_ktime_get_ns();
        (&raw mut (*entry).cookie).write_volatile(cookie);
        (&raw mut (*entry).generation).write_volatile(now);
        socket.tuple(&raw mut (*entry).tuple);
        owner::of_socket(&raw mut (*entry).owner, socket);
        let flags = if kind == TransitionKind::ActiveOpen {
            owner::of_current(&raw mut (*entry).owner);
            flag::START_KNOWN | flag::CLIENT
        } else {
            flag::START_KNOWN | flag::SERVER | flag::ESTABLISHED
        };
        (&raw mut (*entry).control).write_volatile(ControlWord::new(flags).pack());
    }
}

/// Returns the time since the first SYN in ns; 0 if unknown. `opened` is when the socket entered SYN_SENT.
///
/// With `TCP_FASTOPEN_CONNECT` the SYN leaves at the first write. The first round trip of a connection is that of its SYN, unless the SYN was
/// repeated.
#[inline(always)]
fn time_since_syn(socket: Socket, opened: u64) -> u64 {
    if opened == 0 {
        return 0;
    }
    if !socket.bit(offset!(fastopen_connect)) {
        // SAFETY: the helper takes no arguments.
        return unsafe { bpf_ktime_get_ns() } - opened;
    }
    if socket.load::<u32>(offset!(total_retrans)) != 0 {
        return 0;
    }
    // In units of 1/8 µs.
    u64::from(socket.load::<u32>(offset!(srtt_us))) * 125
}

/// Stores the process that closes the socket, or shuts it down, in the connection's entry.
///
/// # Safety
/// The socket is that of the tracepoint. The calling program is `state`.
#[inline(always)]
unsafe fn finish(socket: Socket, old: u8) {
    let cookie = socket.known_cookie();
    if cookie == 0 || socket.load::<i32>(offset!(lock_owned)) == 0 {
        return;
    }
    let Some(memory) = CPU_MEMORY.get_ptr_mut(0) else { return };
    let Some(socket) = socket.tcp() else { return };
    // SAFETY: as the caller guarantees. `entry` is an entry of the table.
    unsafe {
        let Some(slot) = SocketSlots::new(socket, memory, Program::State).find_connection(cookie) else {
            return;
        };
        let Some(entry) = table::entry(slot.index) else { return };
        let control = &raw mut (*entry).control;
        let flags = ControlWord::unpack(control.read_volatile()).flags;
        let owner = &raw mut (*entry).owner;
        let found = owner::of_closer(owner, socket, old, flags);
        if found == 0 {
            return;
        }
        let before = ControlWord::unpack(atomic::set_bits(control, ControlWord::flag_bits(found))).flags;
        if before & !flags & flag::HOLDER != 0 {
            // A walk has entered a process meanwhile. If the walk continues, it finds the bit of this one.
            owner::of_current(owner);
        }
    }
}

/// Removes the entry of a connection whose close was missed.
#[inline(always)]
fn remove_replaced(slot: Slot, program: Program) {
    if table::remove(Table, slot) {
        count(program, REPLACED);
    }
}

/// Handles the close or the failure of a connection. Returns false if there was nothing to do.
///
/// # Safety
/// The socket of the event is that of the tracepoint.
#[inline(always)]
unsafe fn close(event: &Transition) -> bool {
    let Transition { socket, slots, cookie, is_new, old, program } = *event;
    let claimed = if is_new { None } else { slots.claim_connection(cookie) };
    if claimed.is_none() {
        // A child that never left SYN_RECV never opened.
        if old == tcp::SYN_RECV || !scope::includes(socket) {
            return false;
        }
        if setting!(pre_existing) == 0 {
            count(program, CLOSE_SUPPRESSED);
            return false;
        }
        count(program, CLOSE_UNTRACKED);
    }
    let Some((record, limits_flag)) = reserve_close(socket) else {
        if let Some(slot) = claimed {
            table::free(Table, slot);
        }
        count(program, CLOSE_RING_FULL);
        return true;
    };
    // SAFETY: `record` is a reserved record, `entry` that of a claimed slot, and the socket that of the tracepoint.
    unsafe {
        let mut control = ControlWord::new(0);
        match claimed.and_then(|slot| Some((slot, table::entry(slot.index)?))) {
            Some((slot, entry)) => {
                control = copy_entry(record, entry);
                table::free(Table, slot);
            }
            None => {
                control.flags = flag::UNTRACKED | if old == tcp::SYN_SENT { flag::CLIENT } else { 0 };
                words::zero(record.cast::<maps::ShortEvent>());
                (&raw mut (*record).cookie).write_volatile(cookie);
                (&raw mut (*record).observed_ns).write_volatile(bpf_ktime_get_ns());
                socket.tuple(&raw mut (*record).tuple);
                owner::of_socket(&raw mut (*record).owner, socket);
            }
        }
        control.flags |= event.second_chance() | limits_flag;
        control.flags |= owner::of_closer(&raw mut (*record).owner, socket, old, control.flags);
        if socket.bit(offset!(repair)) {
            control.flags |= flag::REPAIR;
        }
        finish_close(record, socket, old, control);
        maps::submit_transition(record);
    }
    true
}

/// Reserves the record of a close, and fills in its limits. Returns it with the flag that it has limits, or else 0. `None` if the ring is full.
///
/// Most connections are short and wait for nothing. A record without limits leaves room for more closes in the ring.
#[inline(always)]
fn reserve_close(socket: Socket) -> Option<(*mut ConnectionEvent, u16)> {
    if !counters::has_limits(socket) {
        return Some((maps::reserve_short(&TRANSITIONS)?, 0));
    }
    let record = maps::reserve::<ConnectionEvent>(&TRANSITIONS)?;
    // Filled in here, because the verifier of 6.1 does not know later which of the records has limits.
    // SAFETY: `record` is a reserved record.
    unsafe {
        let limits = &raw mut (*record).limits;
        let (pacing_rate, ca_ops) = (socket.load(offset!(pacing_rate)), socket.load(offset!(ca_ops)));
        counters::fill_rare_limits(limits, pacing_rate, ca_ops);
        counters::fill_limits(limits, socket, Chrono::of(socket, counters::jiffies()));
    }
    Some((record, flag::LIMITS))
}

/// The first two words of a [`ConnectionEvent`].
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

    /// Writes the header, version and padding included.
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
        // SAFETY: the header is the first 16 bytes of the event. The target is little-endian.
        unsafe {
            event.cast::<u64>().write_volatile(first);
            event.cast::<u64>().add(1).write_volatile(second);
        }
    }
}

/// Fills in all of an event except its header and counters, from a table entry. Returns the entry's control word, with the flags of events.
///
/// # Safety
/// `event` is valid for writes, `entry` for reads.
#[inline(always)]
pub unsafe fn copy_entry(event: *mut ConnectionEvent, entry: *const TableEntry) -> ControlWord {
    // SAFETY: the pointers are to fields of both.
    unsafe {
        (&raw mut (*event).cookie).write_volatile((&raw const (*entry).cookie).read_volatile());
        (&raw mut (*event).generation).write_volatile((&raw const (*entry).generation).read_volatile());
        (&raw mut (*event).connect_ns).write_volatile((&raw const (*entry).connect_ns).read_volatile());
        (&raw mut (*event).observed_ns).write_volatile(bpf_ktime_get_ns());
        words::copy(&raw mut (*event).tuple, &raw const (*entry).tuple);
        words::copy(&raw mut (*event).owner, &raw const (*entry).owner);
        let control = ControlWord::unpack((&raw const (*entry).control).read_volatile());
        // In events, the bit of `WAITING` is `LIMITS`.
        ControlWord { flags: control.flags & !flag::WAITING, ..control }
    }
}

/// Fills in the header and the final counters of a close.
///
/// # Safety
/// `event` is valid for writes and otherwise filled in. `socket` is a full TCP socket.
#[inline(always)]
unsafe fn finish_close(event: *mut ConnectionEvent, socket: Socket, old: u8, control: ControlWord) {
    // SAFETY: the pointers are to fields of the event.
    unsafe {
        let minimum = counters::fill(&raw mut (*event).counters, socket);
        let lifetime = if minimum < control.rtt_min_us { minimum } else { control.rtt_min_us };
        (&raw mut (*event).counters.rtt_min_lifetime_us).write_volatile(lifetime);
        let mut header = Header::new(kind::CLOSE, old, control.flags | counters::inexact_flags_of(socket));
        // Without `connect_time` the entry of an active open lacks this flag. Each state after the handshake implies it.
        if old != tcp::SYN_SENT && old != tcp::SYN_RECV {
            header.flags |= flag::ESTABLISHED;
        }
        header.error = socket.load::<u32>(offset!(err)) as u16;
        header.soft_error = socket.load::<u32>(offset!(err_soft)) as u16;
        header.sk_flags = socket.load::<u64>(offset!(flags)) as u16;
        header.shutdown = socket.load::<u8>(offset!(shutdown));
        header.write(event);
        // The kernel had not chosen the local port yet at SYN_SENT.
        if (&raw const (*event).tuple.local_port).read_volatile() == 0 {
            (&raw mut (*event).tuple.local_port).write_volatile(u16::from_be(socket.load(offset!(sport))));
        }
    }
}

/// Reports a socket that begins or stops listening. Returns false if it is out of scope.
///
/// # Safety
/// The socket of the event is that of the tracepoint.
#[inline(always)]
unsafe fn report_listener(event: &Transition, new: u8) -> bool {
    let Transition { socket, cookie, program, .. } = *event;
    if !scope::includes(socket) {
        return false;
    }
    // SAFETY: the socket is that of the tracepoint.
    unsafe {
        if new == tcp::LISTEN {
            maps::insert_listener(cookie);
            listen::emit(socket, cookie, kind::LISTEN, OwnerSource::Current, program);
        } else {
            maps::remove_listener(cookie);
            listen::emit(socket, cookie, kind::UNLISTEN, OwnerSource::SocketOnly, program);
        }
    }
    true
}
