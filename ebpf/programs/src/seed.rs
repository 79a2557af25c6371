//! Seeding: enters connections that are older than the programs into the table, and reports listeners. Idempotent.
//!
//! Later walks of the descriptors only store which processes have a descriptor of a connection or listener.

use aya_ebpf::helpers::generated::{bpf_seq_write, bpf_sock_from_file};
use longwave_ebpf_abi::{
    TableEntry,
    entry::ControlWord,
    flag, kind,
    tally::{Program, SEED_RACED, SEEDED, TABLE_FULL},
};

use crate::{
    config::{offset, setting},
    listen::{self, OwnerSource},
    maps::{self, CPU_MEMORY},
    owner::{self, Pointer},
    scope,
    socket::{Socket, load, tcp},
    table::{self, SocketSlots, Table},
    tally::count,
    words,
};

/// Visits one descriptor. User space runs it for all descriptors of all processes, in all namespaces.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task_file")]
pub extern "C" fn seed_files(context: *const *const u8) -> i32 {
    // SAFETY: the context of the iterator is `meta`, `task`, `fd`, `file`.
    unsafe {
        let task = context.add(1).read_volatile();
        let file = context.add(3).read_volatile();
        if task.is_null() || file.is_null() || !bound_read(context) {
            return 0;
        }
        maps::set_walker();
        let socket = bpf_sock_from_file(file.cast_mut().cast()).cast::<u8>().cast_const();
        if socket.is_null() {
            return 0;
        }
        let Some(socket) = Socket(load::<Pointer>(socket, offset!(socket_sk)).0).tcp() else { return 0 };
        seed(socket, Some(task));
    }
    0
}

/// Visits one TCP socket. User space runs it for all sockets of a network namespace.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/tcp")]
pub extern "C" fn seed_namespace(context: *const *const u8) -> i32 {
    // SAFETY: the context of the iterator is `meta`, `sk_common`.
    unsafe {
        let socket = context.add(1).read_volatile();
        if socket.is_null() || !bound_read(context) {
            return 0;
        }
        let Some(socket) = Socket(socket).tcp() else { return 0 };
        seed(socket, None);
    }
    0
}

/// Writes output, which ends a read of user space after a bounded number of elements. Returns false if it does not fit. Then the kernel visits
/// the element again in the next read.
///
/// # Safety
/// `context` is that of an iterator.
#[inline(always)]
unsafe fn bound_read(context: *const *const u8) -> bool {
    let output = 0u64;
    // SAFETY: `sequence` is the sequence file of the iterator.
    unsafe {
        let sequence: *const u8 = load::<Pointer>(context.read_volatile(), 0).0;
        bpf_seq_write(sequence.cast_mut().cast(), (&raw const output).cast(), 8) == 0
    }
}

/// Enters a connection into the table, or reports a listener.
///
/// # Safety
/// `socket` and `task` are those of the iterator.
#[inline(always)]
unsafe fn seed(socket: Socket, task: Option<*const u8>) {
    let state = socket.state();
    if matches!(state, tcp::TIME_WAIT | tcp::NEW_SYN_RECV | tcp::CLOSE | tcp::SYN_RECV)
        || !scope::includes(socket)
    {
        return;
    }
    let cookie = socket.cookie();
    if state == tcp::LISTEN {
        let source = match task {
            Some(task) => OwnerSource::Task(task),
            None if maps::contains_listener(cookie) => return,
            None => OwnerSource::SocketOnly,
        };
        maps::insert_listener(cookie);
        // SAFETY: socket and task are those of the iterator.
        unsafe { listen::emit(socket, cookie, kind::LISTEN, source, Program::Seed) };
        return;
    }
    // SAFETY: socket and task are those of the iterator.
    unsafe { insert(socket, cookie, state, task) };
}

/// Enters a connection into the table while seeding runs. If it has an entry, stores the task in it.
///
/// # Safety
/// `socket` and `task` are those of the iterator.
#[inline(always)]
unsafe fn insert(socket: Socket, cookie: u64, state: u8, task: Option<*const u8>) {
    let Some(memory) = CPU_MEMORY.get_ptr_mut(0) else { return };
    // SAFETY: the memory is that of this CPU, and only one seeding program runs at a time.
    let slots = unsafe { SocketSlots::new(socket, memory, Program::Seed) };
    if let Some(slot) = slots.find_connection(cookie) {
        if let Some(task) = task
            && let Some(entry) = table::entry(slot.index)
        {
            // SAFETY: `entry` is an entry of the table, and the task that of the iterator.
            unsafe { owner::enter_holder(slot, entry, task) };
        }
        return;
    }
    if setting!(pre_existing) == 0 || !maps::is_seeding() {
        return;
    }
    let Some(slot) = slots.reserve() else { return count(Program::Seed, TABLE_FULL) };
    let Some(entry) = table::entry(slot.index) else { return };
    // SAFETY: this program has claimed the slot, so that it is the only writer of the entry.
    unsafe { fill(entry, socket, cookie, state, task) };
    let slot = slots.publish(slot);
    count(Program::Seed, SEEDED);
    // If the socket closed before the slot was published, the close was reported without the entry. If it is open again, the new
    // connection has another entry.
    let is_gone = socket.state() == tcp::CLOSE || socket.cookie() != cookie;
    if (is_gone || slots.find_other(&slot).is_some()) && table::remove(Table, slot) {
        count(Program::Seed, SEED_RACED);
    }
}

/// Fills the entry of a connection that is older than the programs.
///
/// # Safety
/// `entry` is valid for writes, and the caller is its only writer. `socket` and `task` are those of the iterator.
#[inline(always)]
unsafe fn fill(entry: *mut TableEntry, socket: Socket, cookie: u64, state: u8, task: Option<*const u8>) {
    // SAFETY: `entry`, `socket` and `task` are valid, as the caller guarantees.
    unsafe {
        words::zero(entry);
        (&raw mut (*entry).cookie).write_volatile(cookie);
        let flags = if state == tcp::SYN_SENT { flag::CLIENT } else { flag::ESTABLISHED };
        let holder = if task.is_some() { flag::HOLDER } else { 0 };
        (&raw mut (*entry).control).write_volatile(ControlWord::new(flags | holder).pack());
        socket.tuple(&raw mut (*entry).tuple);
        owner::of_socket(&raw mut (*entry).owner, socket);
        if let Some(task) = task {
            owner::of_task(&raw mut (*entry).owner, task);
        }
    }
}
