//! Seeding: connections and listeners that are older than the programs. Idempotent.

use aya_ebpf::helpers::generated::{bpf_seq_write, bpf_sock_from_file};
use longwave_ebpf_abi::{
    Tracked, flag, kind,
    tally::{Program, SEED_RACED, SEEDED, TABLE_FULL},
    tracked::Control,
};

use crate::{
    config::{offset, setting},
    listen::{self, Holder},
    maps::{self, LOCAL},
    owner::{self, Pointer},
    scope,
    socket::{Socket, load, tcp},
    table::{self, Place, Table},
    tally::count,
    words,
};

/// Every descriptor of every process, in all namespaces.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task_file")]
pub extern "C" fn seed_files(context: *const *const u8) -> i32 {
    // SAFETY: the iterator's context: meta, task, descriptor, file.
    unsafe {
        let task = context.add(1).read_volatile();
        let file = context.add(3).read_volatile();
        if task.is_null() || file.is_null() {
            return 0;
        }
        let socket = bpf_sock_from_file(file.cast_mut().cast()).cast::<u8>().cast_const();
        if socket.is_null() {
            return 0;
        }
        let Some(socket) = Socket(load::<Pointer>(socket, offset!(socket_sk)).0).tcp() else { return 0 };
        seed(context, socket, Some(task));
    }
    0
}

/// Every TCP socket of the reader's network namespace.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/tcp")]
pub extern "C" fn seed_namespace(context: *const *const u8) -> i32 {
    // SAFETY: the iterator's context: meta, socket.
    unsafe {
        let socket = context.add(1).read_volatile();
        if socket.is_null() {
            return 0;
        }
        let Some(socket) = Socket(socket).tcp() else { return 0 };
        seed(context, socket, None);
    }
    0
}

/// # Safety
/// The socket and the task are the iterator's.
#[inline(always)]
unsafe fn seed(context: *const *const u8, socket: Socket, task: Option<*const u8>) {
    let state = socket.state();
    if matches!(state, tcp::TIME_WAIT | tcp::NEW_SYN_RECV | tcp::CLOSE | tcp::SYN_RECV)
        || !scope::includes(socket)
    {
        return;
    }
    let cookie = socket.cookie();
    // Bounds the length of a read; one that does not fit is visited again.
    // SAFETY: the iterator's sequence file.
    unsafe {
        let sequence: *const u8 = load::<Pointer>(context.read_volatile(), 0).0;
        if bpf_seq_write(sequence.cast_mut().cast(), (&raw const cookie).cast(), 8) != 0 {
            return;
        }
    }
    if state == tcp::LISTEN {
        let holder = match task {
            Some(task) => Holder::Task(task),
            None if maps::listener_noted(cookie) => return,
            None => Holder::Nobody,
        };
        maps::note_listener(cookie);
        // SAFETY: the iterator's socket and task.
        unsafe { listen::emit(socket, cookie, kind::LISTEN, holder, Program::Seed) };
        return;
    }
    if setting!(pre_existing) != 0 {
        // SAFETY: the iterator's socket and task.
        unsafe { insert(socket, cookie, state, task) };
    }
}

/// # Safety
/// The socket and the task are the iterator's.
#[inline(always)]
unsafe fn insert(socket: Socket, cookie: u64, state: u8, task: Option<*const u8>) {
    let Some(local) = LOCAL.get_ptr_mut(0) else { return };
    // SAFETY: this CPU's memory; one seeding runs at a time.
    let place = unsafe { Place::of(socket, local, Program::Seed) };
    if place.find_connection(cookie).is_some() {
        return;
    }
    let Some(slot) = place.reserve() else { return count(Program::Seed, TABLE_FULL) };
    let Some(entry) = table::entry(slot.index) else { return };
    // SAFETY: a reserved slot's entry is this program's.
    unsafe { fill(entry, socket, cookie, state, task) };
    let slot = place.publish(slot);
    count(Program::Seed, SEEDED);
    // The socket may have closed before it was in the table: then its close was reported without the entry. It may even be open again as
    // another connection, which has an entry of its own.
    let gone = socket.state() == tcp::CLOSE || socket.cookie() != cookie;
    if (gone || place.find_other(&slot).is_some()) && table::take(Table, slot) {
        count(Program::Seed, SEED_RACED);
    }
}

/// Fills the entry of a connection that is older than the programs.
///
/// # Safety
/// `entry` is valid for writes, and the caller's alone. The socket and the task are the iterator's.
#[inline(always)]
unsafe fn fill(entry: *mut Tracked, socket: Socket, cookie: u64, state: u8, task: Option<*const u8>) {
    // SAFETY: by the caller's promise.
    unsafe {
        words::zero(entry);
        (&raw mut (*entry).cookie).write_volatile(cookie);
        let flags = if state == tcp::SYN_SENT { flag::CLIENT } else { flag::ESTABLISHED };
        (&raw mut (*entry).control).write_volatile(Control::new(flags).pack());
        socket.tuple(&raw mut (*entry).tuple);
        owner::of_socket(&raw mut (*entry).owner, socket);
        if let Some(task) = task {
            owner::of_task(&raw mut (*entry).owner, task);
        }
    }
}
