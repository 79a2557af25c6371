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
    resolve(&owner, &tuple, true, listeners, &SharedCgroups(vec![1]))
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

/// Scenario: a socket in a cgroup of its own, one in the root cgroup with a known process, one in the root cgroup with an unknown process,
/// and one of which nothing is known.
/// Guarantees: the sources are used in this order, and the owner names the one that was used.
#[test]
fn a_shared_cgroup_is_the_last_choice() {
    let shared = SharedCgroups(vec![1]);
    let own = |owner: abi::Owner| resolve(&owner, &Tuple::default(), false, &Listeners::default(), &shared);
    let socket = own(abi::Owner { socket_cgroup: 9, process_cgroup: 8, pid: 5, ..abi::Owner::default() });
    assert_eq!((socket.cgroup, socket.source, socket.pid), (9, OwnerSource::Socket, 5));
    let holder = own(abi::Owner { socket_cgroup: 1, process_cgroup: 8, pid: 5, ..abi::Owner::default() });
    assert_eq!((holder.cgroup, holder.source), (8, OwnerSource::Holder));
    let root = own(abi::Owner { socket_cgroup: 1, ..abi::Owner::default() });
    assert_eq!((root.cgroup, root.source), (1, OwnerSource::Socket));
    assert_eq!(own(abi::Owner::default()).source, OwnerSource::Unknown);
}

/// Scenario: an accepted socket is in the cgroup of its listener, which is not a shared one.
/// Guarantees: the owner has the cgroup of the socket and the process of the listener.
#[test]
fn the_process_is_that_of_the_listener() {
    let mut listeners = Listeners::default();
    listen(&mut listeners, 1, ANY_V4, process(10, 100));
    let owner = accepted(&listeners, v4([10, 0, 0, 1]), 100);
    assert_eq!((owner.cgroup, owner.source, owner.pid), (100, OwnerSource::Socket, 10));
}
