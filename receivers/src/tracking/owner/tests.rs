use std::net::{Ipv4Addr, Ipv6Addr};

use super::*;

const NETNS: u32 = 77;

fn v4(address: [u8; 4]) -> [u8; 16] {
    Ipv4Addr::from(address).to_ipv6_mapped().octets()
}

fn process(pid: u32, cgroup: u64) -> abi::Owner {
    let mut name = [0; 16];
    name[0] = b'a' + (pid % 26) as u8;
    abi::Owner { socket_cgroup: cgroup, process_cgroup: cgroup, name, pid, netns: NETNS }
}

fn listen(listeners: &mut Listeners, cookie: u64, local: [u8; 16], owner: abi::Owner) {
    let family = if local[..12] == ANY_V4[..12] { libc::AF_INET } else { libc::AF_INET6 } as u16;
    let tuple = Tuple { local, local_port: 80, family, ..Tuple::default() };
    assert!(listeners.apply(&ListenEvent {
        kind: kind::LISTEN,
        cookie,
        tuple,
        owner,
        ..ListenEvent::default()
    }));
}

fn accepted(listeners: &Listeners, local: [u8; 16], socket_cgroup: u64) -> Owner {
    let owner = abi::Owner { socket_cgroup, netns: NETNS, ..abi::Owner::default() };
    let tuple = Tuple { local, local_port: 80, ..Tuple::default() };
    resolve(&owner, flag::SERVER, &tuple, true, listeners, &SharedCgroups(vec![1]))
}

/// Scenario: listeners on an exact address and on both wildcards, and a connection to each address.
/// Guarantees: the best match is the owner. An IPv6 wildcard also matches IPv4 if there is no better match.
#[test]
fn the_best_matching_listener_owns() {
    let mut listeners = Listeners::default();
    listen(&mut listeners, 1, ANY_V6, process(10, 100));
    assert_eq!(accepted(&listeners, v4([127, 0, 0, 1]), 1).pid, 10);
    listen(&mut listeners, 2, ANY_V4, process(20, 200));
    listen(&mut listeners, 3, v4([127, 0, 0, 9]), process(30, 300));
    assert_eq!(accepted(&listeners, v4([127, 0, 0, 1]), 1).pid, 20);
    let exact = accepted(&listeners, v4([127, 0, 0, 9]), 1);
    assert_eq!((exact.pid, exact.cgroup, exact.source), (30, 300, OwnerSource::Listener));
    assert_eq!(accepted(&listeners, Ipv6Addr::LOCALHOST.octets(), 1).pid, 10);
    let elsewhere = Tuple { local: v4([127, 0, 0, 1]), local_port: 81, ..Tuple::default() };
    assert!(
        !listeners.has(NETNS, &elsewhere)
            && !listeners.has(NETNS + 1, &Tuple { local_port: 80, ..elsewhere })
    );
}

/// Scenario: two processes of one cgroup listen on one port (SO_REUSEPORT), and one of them closes its socket. Then two processes have a
/// descriptor of one socket.
/// Guarantees: what the processes have in common is reported, the rest is absent. A closed listener is removed.
#[test]
fn several_listeners_report_what_they_have_in_common() {
    let mut listeners = Listeners::default();
    listen(&mut listeners, 1, ANY_V4, process(10, 100));
    listen(&mut listeners, 2, ANY_V4, process(36, 100));
    let owner = accepted(&listeners, v4([10, 0, 0, 1]), 1);
    assert_eq!((owner.pid, owner.cgroup, owner.executable().as_deref()), (0, 100, Some("k")));
    assert!(listeners.apply(&ListenEvent { kind: kind::UNLISTEN, cookie: 2, ..ListenEvent::default() }));
    assert_eq!(accepted(&listeners, v4([10, 0, 0, 1]), 1).pid, 10);
    listen(&mut listeners, 1, ANY_V4, process(11, 100));
    let forked = accepted(&listeners, v4([10, 0, 0, 1]), 1);
    assert_eq!((forked.pid, forked.cgroup, forked.executable()), (0, 100, None));
}

/// Scenario: processes that opened a connection, closed a socket, and have a descriptor, in a cgroup of their own and in a shared one; and sockets
/// of which only the cgroup is known, or nothing.
/// Guarantees: the cgroup is that of the process, unless it is a shared one and that of the socket is not. The owner says how it was found.
#[test]
fn the_cgroup_is_that_of_the_process_unless_it_is_shared() {
    let shared = SharedCgroups(vec![1]);
    let own = |flags: u16, socket_cgroup: u64, process_cgroup: u64, pid: u32| {
        let owner = abi::Owner { socket_cgroup, process_cgroup, pid, ..abi::Owner::default() };
        let owner = resolve(&owner, flags, &Tuple::default(), false, &Listeners::default(), &shared);
        (owner.cgroup, owner.source, owner.pid)
    };
    assert_eq!(own(flag::CLIENT, 9, 8, 5), (8, OwnerSource::Connect, 5));
    assert_eq!(own(flag::CLIENT, 9, 1, 5), (9, OwnerSource::Connect, 5));
    assert_eq!(own(flag::SERVER | flag::CLOSER, 1, 8, 5), (8, OwnerSource::Close, 5));
    assert_eq!(own(flag::SERVER | flag::HOLDER, 1, 1, 5), (1, OwnerSource::Holder, 5));
    assert_eq!(own(flag::CLIENT | flag::HOLDER | flag::CLOSER, 0, 8, 5), (8, OwnerSource::Close, 5));
    assert_eq!(own(flag::SERVER, 9, 0, 0), (9, OwnerSource::Socket, 0));
    assert_eq!(own(flag::SERVER, 1, 0, 0), (1, OwnerSource::Socket, 0));
    assert_eq!(own(flag::SERVER, 0, 0, 0), (0, OwnerSource::Unknown, 0));
}

/// Scenario: an accepted socket is in the cgroup of its listener, which is not a shared one.
/// Guarantees: the owner has the cgroup of the socket and the process of the listener, which is only supposed.
#[test]
fn the_process_is_that_of_the_listener() {
    let mut listeners = Listeners::default();
    listen(&mut listeners, 1, ANY_V4, process(10, 100));
    let owner = accepted(&listeners, v4([10, 0, 0, 1]), 100);
    assert_eq!((owner.cgroup, owner.source, owner.pid), (100, OwnerSource::Listener, 10));
}

/// Scenario: the service manager listens for a service, which has not started yet; then a walk finds the socket in both processes. Later the
/// service has handed its socket to a successor, which a second walk finds.
/// Guarantees: the service manager is never taken for the owner. The owner is the process that the last walk found, and only walks replace it.
#[test]
fn a_walk_replaces_the_process_of_a_listener() {
    let mut listeners = Listeners::default();
    listen(&mut listeners, 1, ANY_V4, process(1, 1));
    let owner = accepted(&listeners, v4([10, 0, 0, 1]), 1);
    assert_eq!((owner.cgroup, owner.source, owner.pid), (1, OwnerSource::Socket, 0));
    for (successor, cgroup) in [(30, 300), (40, 400)] {
        listeners.begin_walk();
        let before = listeners.version();
        listen(&mut listeners, 1, ANY_V4, process(1, 1));
        listen(&mut listeners, 1, ANY_V4, process(successor, cgroup));
        assert!(listeners.version() > before);
        let owner = accepted(&listeners, v4([10, 0, 0, 1]), 1);
        assert_eq!((owner.cgroup, owner.source, owner.pid), (cgroup, OwnerSource::Listener, successor));
    }
}

/// Scenario: events with and without a process, for owners that were found in each way.
/// Guarantees: the process that closes replaces all but another such process; a process with a descriptor replaces a supposed one; nothing
/// replaces the process that opened the connection, because the kernel side keeps it.
#[test]
fn what_is_certain_replaces_what_was_supposed() {
    let holder = abi::Owner { pid: 5, ..abi::Owner::default() };
    for known in OwnerSource::ALL {
        let replaces = |flags| is_more_certain(&holder, flags, known);
        assert_eq!(replaces(flag::SERVER | flag::CLOSER), known != OwnerSource::Close, "{known:?}");
        let is_certain = matches!(known, OwnerSource::Connect | OwnerSource::Close | OwnerSource::Holder);
        assert_eq!(replaces(flag::SERVER | flag::HOLDER), !is_certain, "{known:?}");
        assert!(!replaces(flag::CLIENT), "{known:?}");
        assert!(!is_more_certain(&abi::Owner::default(), flag::SERVER, known), "{known:?}");
    }
}
