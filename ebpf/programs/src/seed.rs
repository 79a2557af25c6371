//! Seeding: connections and listeners that are older than the programs. Idempotent.

use aya_ebpf::helpers::generated::{bpf_seq_write, bpf_sock_from_file};
use longwave_ebpf_abi::{
    Owner, Tracked, flag, kind,
    tally::{INSERTED, REMOVED, SEED_RACED, SEEDED, TABLE_BUSY, TABLE_FULL},
};

use crate::{
    config::{offset, setting},
    listen::{self, Holder},
    maps, owner,
    owner::Pointer,
    scope,
    socket::{Socket, load, tcp},
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
        unsafe { listen::emit(socket, cookie, kind::LISTEN, holder) };
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
    let address = socket.address();
    if let Some(entry) = maps::entry(address) {
        // SAFETY: an entry of the table; its cookie tells whose. A stale one is the sampler's business.
        unsafe {
            let has_cookie = (&raw const (*entry).cookie).read_volatile();
            let has_owner = (&raw const (*entry).owner.pid).read_volatile() != 0;
            if has_cookie == cookie
                && !has_owner
                && let Some(task) = task
            {
                let mut room = core::mem::MaybeUninit::<Owner>::uninit();
                let holder = room.as_mut_ptr();
                words::zero(holder);
                owner::of_socket(holder, socket);
                owner::of_task(holder, task);
                words::copy(&raw mut (*entry).owner, holder);
            }
        }
        return;
    }
    let mut room = core::mem::MaybeUninit::<Tracked>::uninit();
    let value = room.as_mut_ptr();
    // SAFETY: the value is on the stack, of whole words.
    unsafe {
        words::zero(value);
        (&raw mut (*value).cookie).write_volatile(cookie);
        (&raw mut (*value).rtt_min_lifetime_us).write_volatile(u32::MAX);
        let flags = if state == tcp::SYN_SENT { flag::CLIENT } else { flag::ESTABLISHED };
        (&raw mut (*value).flags).write_volatile(flags);
        socket.tuple(&raw mut (*value).tuple);
        owner::of_socket(&raw mut (*value).owner, socket);
        if let Some(task) = task {
            owner::of_task(&raw mut (*value).owner, task);
        }
    }
    match maps::insert(address, value, maps::NOEXIST) {
        0 => {}
        maps::E2BIG => return count(TABLE_FULL),
        maps::EEXIST => return,
        _ => return count(TABLE_BUSY),
    }
    count(INSERTED);
    count(SEEDED);
    // It may have closed before it was in the table; then its close was reported without us.
    if socket.state() == tcp::CLOSE && maps::remove(address) == 0 {
        count(REMOVED);
        count(SEED_RACED);
    }
}
