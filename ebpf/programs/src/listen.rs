//! Events of listening sockets, from which user space derives the owners of accepted connections.

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

/// Source of a listener's owner.
pub enum OwnerSource {
    /// The current process.
    Current,
    /// A process that has a descriptor of the socket.
    Task(*const u8),
    /// The socket only: the process is unknown.
    SocketOnly,
}

/// Emits `LISTEN` or `UNLISTEN`.
///
/// # Safety
/// The pointer of [`OwnerSource::Task`] is a `task_struct` with a type that the verifier tracks.
#[inline(always)]
pub unsafe fn emit(socket: Socket, cookie: u64, kind: u8, source: OwnerSource, program: Program) {
    let Some(event) = maps::reserve::<ListenEvent>(&TRANSITIONS) else {
        count(program, LISTEN_RING_FULL);
        return;
    };
    // SAFETY: `event` is a reserved record.
    unsafe {
        words::zero(event);
        (&raw mut (*event).version).write_volatile(LAYOUT_VERSION);
        (&raw mut (*event).kind).write_volatile(kind);
        (&raw mut (*event).cookie).write_volatile(cookie);
        (&raw mut (*event).observed_ns).write_volatile(bpf_ktime_get_ns());
        socket.tuple(&raw mut (*event).tuple);
        let owner = &raw mut (*event).owner;
        owner::of_socket(owner, socket);
        match source {
            OwnerSource::Current => {
                owner::of_current(owner);
            }
            OwnerSource::Task(task) => owner::of_task(owner, task),
            OwnerSource::SocketOnly => {}
        }
        maps::submit_transition(event);
    }
}
