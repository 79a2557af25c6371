//! Owners that become known during the life of a connection, and connections without a SYN.

use longwave_ebpf_abi::{ListenEvent, Owner, Tuple, flag, kind};
use longwave_pipeline::model::{CloseReason, End, OwnerSource, Role};

use super::fixture::{Bench, SECOND, Socket};

/// Returns an accepted connection for which the kernel side has no process.
fn accepted(cookie: u64, generation: u64) -> Socket {
    Socket {
        flags: flag::START_KNOWN | flag::SERVER | flag::ESTABLISHED,
        ..Socket::client(cookie, generation)
    }
}

fn process(pid: u32) -> Owner {
    Owner { netns: 9, pid, process_cgroup: u64::from(pid) * 10, ..Owner::default() }
}

/// Begins to listen on the port of the fixture's sockets.
fn listen(bench: &mut Bench, pid: u32) {
    let tuple = Tuple { local_port: 4000, family: 2, ..Tuple::default() };
    bench.tracker.listen(&ListenEvent {
        kind: kind::LISTEN,
        cookie: 1_000,
        tuple,
        owner: process(pid),
        ..ListenEvent::default()
    });
}

/// Scenario: a connection is accepted from the listener of process 5, a walk finds it in process 6, and process 7 closes it.
/// Guarantees: each record has the owner that is known best until then, and says how it was found. Idle records keep it.
#[test]
fn the_owner_becomes_certain() {
    let mut bench = Bench::new(true);
    listen(&mut bench, 5);
    let socket = accepted(5, 10);
    let mut event = socket.sample(20);
    event.owner = Owner { netns: 9, ..Owner::default() };
    let owner = |records: &[longwave_pipeline::model::ConnectionRecord]| {
        assert_eq!(records.len(), 1);
        (records[0].owner.pid, records[0].owner.cgroup, records[0].owner.source)
    };
    assert_eq!(owner(&bench.pass(&[event])), (5, 50, OwnerSource::Listener));
    event.flags |= flag::HOLDER | flag::HEARTBEAT;
    event.owner = process(6);
    assert_eq!(owner(&bench.pass(&[event])), (6, 60, OwnerSource::Holder));
    assert_eq!(owner(&bench.pass(&[])), (6, 60, OwnerSource::Holder));
    let mut close = socket.close(40);
    close.flags |= flag::HOLDER | flag::CLOSER;
    close.owner = process(7);
    assert_eq!(owner(&bench.transition(&close)), (7, 70, OwnerSource::Close));
    assert_eq!(bench.tracker.connections.origins.len(), 0);
}

/// Scenario: an accepted connection with a supposed owner, a client, and an accepted connection whose process a walk found, opened at different
/// times.
/// Guarantees: only the first calls for a walk, and only if it was opened in the range.
#[test]
fn only_a_supposed_owner_calls_for_a_walk() {
    let mut bench = Bench::new(true);
    listen(&mut bench, 5);
    let mut supposed = accepted(5, 10).sample(20);
    supposed.owner = Owner { netns: 9, ..Owner::default() };
    let mut held = accepted(6, 30).sample(40);
    held.flags |= flag::HOLDER;
    bench.pass(&[supposed, held, Socket::client(7, 30).sample(40)]);
    assert!(bench.tracker.has_supposed_owner(0..11));
    assert!(bench.tracker.has_supposed_owner(10..SECOND));
    assert!(!bench.tracker.has_supposed_owner(0..10));
    assert!(!bench.tracker.has_supposed_owner(11..SECOND));
}

/// Scenario: a client that was established without a SYN sends 1,000 bytes, has an idle pass, and is closed in repair mode.
/// Guarantees: no SYN is subtracted in any record. The close is no reset, because nothing was sent.
#[test]
fn a_restored_connection_has_no_syn() {
    let mut bench = Bench::new(true);
    let mut socket = Socket::client(5, 10);
    socket.flags |= flag::NO_SYN;
    socket.counters.bytes_acked = 0;
    socket.send(1_000);
    let first = &bench.pass(&[socket.sample(20)])[0];
    assert_eq!((first.role, first.totals.sent_bytes, first.gauges.in_flight_bytes), (Role::Client, 1_000, 0));
    let idle = &bench.pass(&[])[0];
    assert_eq!((idle.totals.sent_bytes, idle.gauges.in_flight_bytes), (1_000, 0));
    let mut close = socket.close(40);
    assert_eq!(close.error, 0);
    close.flags |= flag::REPAIR;
    let close = &bench.transition(&close)[0];
    assert_eq!((close.totals.sent_bytes, close.end), (1_000, Some(End::Closed(CloseReason::Aborted))));
}
