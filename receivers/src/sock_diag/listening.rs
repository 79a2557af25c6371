//! The sockets that listened at the last list.

use hashbrown::HashMap;
use longwave_ebpf_abi::{LAYOUT_VERSION, ListenEvent, Owner, kind};

use super::event::tuple;
use super::holders::Holder;
use super::wire::DiagSocket;

/// Listening sockets by cookie.
#[derive(Debug, Default)]
pub(super) struct ListeningSockets {
    by_cookie: HashMap<u64, ListeningSocket, foldhash::fast::RandomState>,
    /// Number of listening sockets of a namespace and port.
    ports: HashMap<(u32, u16), u32, foldhash::fast::RandomState>,
}

#[derive(Clone, Copy, Debug)]
struct ListeningSocket {
    event: ListenEvent,
    inode: u32,
    last_pass: u32,
    is_looked_up: bool,
}

// === impl ListeningSockets ===

impl ListeningSockets {
    /// Adds a socket of the list of pass `pass`. Returns the event if it is new.
    pub fn observe(
        &mut self,
        socket: &DiagSocket,
        netns: u32,
        pass: u32,
        observed_ns: u64,
    ) -> Option<ListenEvent> {
        if let Some(known) = self.by_cookie.get_mut(&socket.cookie) {
            known.last_pass = pass;
            return None;
        }
        let owner = Owner { netns, socket_cgroup: socket.cgroup, ..Owner::default() };
        let event = ListenEvent {
            version: LAYOUT_VERSION,
            kind: kind::LISTEN,
            cookie: socket.cookie,
            observed_ns,
            tuple: tuple(socket),
            owner,
            ..ListenEvent::default()
        };
        let inode = socket.inode;
        let socket = ListeningSocket { event, inode, last_pass: pass, is_looked_up: false };
        self.by_cookie.insert(event.cookie, socket);
        *self.ports.entry((netns, event.tuple.local_port)).or_default() += 1;
        Some(event)
    }

    /// Returns whether a socket listens on a port.
    pub fn has(&self, netns: u32, port: u16) -> bool {
        self.ports.contains_key(&(netns, port))
    }

    /// Removes the sockets of a namespace that are not in the list of pass `pass`, and passes on their events.
    pub fn remove_missing(&mut self, netns: u32, pass: u32, on: &mut dyn FnMut(&ListenEvent)) {
        let missing = self
            .by_cookie
            .extract_if(|_, socket| socket.event.owner.netns == netns && socket.last_pass != pass);
        for (_, socket) in missing {
            release(&mut self.ports, &socket.event);
            on(&unlisten(&socket.event));
        }
    }

    /// Removes a socket that ended. Returns its event, if it was known.
    pub fn remove(&mut self, cookie: u64) -> Option<ListenEvent> {
        let socket = self.by_cookie.remove(&cookie)?;
        release(&mut self.ports, &socket.event);
        Some(unlisten(&socket.event))
    }

    /// Returns inode and cookie of each socket whose process was not looked up.
    pub fn unowned(&self) -> impl Iterator<Item = (u32, u64)> {
        let unowned = self.by_cookie.values().filter(|socket| !socket.is_looked_up && socket.inode != 0);
        unowned.map(|socket| (socket.inode, socket.event.cookie))
    }

    /// Stores the result of a look-up. If a process was found, returns two events: one removes the socket, and one adds it with its process.
    pub fn looked_up(&mut self, cookie: u64, holder: Option<&Holder>) -> Option<[ListenEvent; 2]> {
        let socket = self.by_cookie.get_mut(&cookie)?;
        socket.is_looked_up = true;
        let holder = holder?;
        let removed = unlisten(&socket.event);
        holder.complete(&mut socket.event.owner);
        Some([removed, socket.event])
    }
}

fn unlisten(event: &ListenEvent) -> ListenEvent {
    ListenEvent { kind: kind::UNLISTEN, ..*event }
}

fn release(ports: &mut HashMap<(u32, u16), u32, foldhash::fast::RandomState>, event: &ListenEvent) {
    let key = (event.owner.netns, event.tuple.local_port);
    if let Some(count) = ports.get_mut(&key) {
        *count -= 1;
        if *count == 0 {
            ports.remove(&key);
        }
    }
}
