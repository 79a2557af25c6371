//! Listening sockets: what tells user space which process serves what.

use aya_ebpf::helpers::generated::bpf_ktime_get_ns;
use longwave_ebpf_abi::{
    LAYOUT_VERSION, ListenEvent,
    tally::{LISTEN_RING_FULL, Program},
};

use crate::{
    maps::{self, TRANSITIONS},
    owner,
    socket::Socket,
    tally::count,
    words,
};

/// Where a listener's owner is known from.
pub enum Holder {
    Current,
    Task(*const u8),
    Nobody,
}

/// Emits `LISTEN` or `UNLISTEN`.
///
/// # Safety
/// A task is one that the verifier knows.
#[inline(always)]
pub unsafe fn emit(socket: Socket, cookie: u64, kind: u8, holder: Holder, by: Program) {
    let Some(event) = maps::reserve::<ListenEvent>(&TRANSITIONS) else {
        count(by, LISTEN_RING_FULL);
        return;
    };
    // SAFETY: room for one event.
    unsafe {
        words::zero(event);
        (&raw mut (*event).version).write_volatile(LAYOUT_VERSION);
        (&raw mut (*event).kind).write_volatile(kind);
        (&raw mut (*event).cookie).write_volatile(cookie);
        (&raw mut (*event).observed_ns).write_volatile(bpf_ktime_get_ns());
        socket.tuple(&raw mut (*event).tuple);
        let owner = &raw mut (*event).owner;
        owner::of_socket(owner, socket);
        match holder {
            Holder::Current => owner::of_current(owner),
            Holder::Task(task) => owner::of_task(owner, task),
            Holder::Nobody => {}
        }
        maps::submit_transition(event);
    }
}
