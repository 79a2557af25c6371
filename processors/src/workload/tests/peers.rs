//! Tests of peers that are named by their own sockets.

use super::*;

fn processor() -> WorkloadProcessor {
    built_in(None, "/nonexistent".as_ref())
}

/// *Scenario*: both ends of a short loopback connection are in one batch.
/// *Guarantees*: each record has the name of the other end, in any order.
#[test]
fn two_ends_of_one_node_name_each_other() {
    let client = closed(record(1, 1, "curl", "127.0.0.1:5000", "127.0.0.1:80"));
    let server = closed(record(1, 2, "nginx", "127.0.0.1:80", "127.0.0.1:5000"));
    for (records, expected) in [
        (vec![client.clone(), server.clone()], [("curl", "nginx"), ("nginx", "curl")]),
        (vec![server, client], [("nginx", "curl"), ("curl", "nginx")]),
    ] {
        assert_eq!(names(&run(&mut processor(), records)), pairs(&expected));
    }
}

/// *Scenario*: the records of the two ends are in different batches; one end has closed before.
/// *Guarantees*: the other end still finds the closed one; an open end has the other's name from its next record.
#[test]
fn a_closed_end_is_kept_for_the_other() {
    let mut processor = processor();
    let client = || record(1, 1, "curl", "10.0.0.1:5000", "10.0.0.1:80");
    assert_eq!(names(&run(&mut processor, vec![client()])), pairs(&[("curl", "-")]));
    let server = closed(record(1, 2, "nginx", "10.0.0.1:80", "10.0.0.1:5000"));
    assert_eq!(names(&run(&mut processor, vec![server.clone()])), pairs(&[("nginx", "curl")]));
    assert_eq!(names(&run(&mut processor, vec![closed(client())])), pairs(&[("curl", "nginx")]));
    // The same after both have closed.
    let late = ConnectionRecord { id: ConnectionId { cookie: 9, ..server.id }, ..server };
    assert_eq!(names(&run(&mut processor, vec![late])), pairs(&[("nginx", "curl")]));
}

/// *Scenario*: equal loopback addresses in two namespaces; a connection with other addresses between two namespaces.
/// *Guarantees*: the peer of a loopback address is in the same namespace; other peers may be in any namespace.
#[test]
fn loopback_stays_within_its_namespace() {
    let records = vec![
        record(1, 1, "curl", "127.0.0.1:5000", "127.0.0.1:80"),
        record(2, 2, "nginx", "127.0.0.1:80", "127.0.0.1:5000"),
        record(3, 3, "wget", "10.0.0.1:5000", "10.0.0.2:80"),
        record(4, 4, "caddy", "10.0.0.2:80", "10.0.0.1:5000"),
    ];
    let expected = [("curl", "-"), ("nginx", "-"), ("wget", "caddy"), ("caddy", "wget")];
    assert_eq!(names(&run(&mut processor(), records)), pairs(&expected));
}

/// *Scenario*: two namespaces with the same private addresses, each with a server; a client that may be connected to either.
/// *Guarantees*: no peer is guessed.
#[test]
fn ambiguous_peers_are_unknown() {
    let records = vec![
        record(3, 3, "nginx", "10.0.0.2:80", "10.0.0.1:5000"),
        record(4, 4, "caddy", "10.0.0.2:80", "10.0.0.1:5000"),
        record(1, 1, "curl", "10.0.0.1:5000", "10.0.0.2:80"),
    ];
    assert_eq!(
        names(&run(&mut processor(), records)),
        pairs(&[("nginx", "-"), ("caddy", "-"), ("curl", "-")])
    );
}

/// *Scenario*: the same addresses and ports are reused by other processes.
/// *Guarantees*: each end of the new connection has the name of the other new end.
#[test]
fn reused_addresses() {
    let mut processor = processor();
    let client = |cookie, comm| record(1, cookie, comm, "127.0.0.1:5000", "127.0.0.1:80");
    let server = |cookie, comm| record(1, cookie, comm, "127.0.0.1:80", "127.0.0.1:5000");
    run(&mut processor, vec![closed(client(1, "curl")), closed(server(2, "nginx"))]);
    let again = run(&mut processor, vec![client(3, "wget"), server(4, "caddy")]);
    assert_eq!(names(&again), pairs(&[("wget", "caddy"), ("caddy", "wget")]));
}

/// *Scenario*: 30,000 connections are closed; one stays open, but has no more records for many passes.
/// *Guarantees*: only a bounded number of closed connections is kept; the silent connection is removed, and resolved again at its next
/// record.
#[test]
fn closed_and_silent_connections_are_removed() {
    let mut processor = processor();
    run(&mut processor, vec![record(1, 1, "sshd", "10.0.0.1:22", "10.0.0.9:999")]);
    for batch in 0..30u64 {
        let cookies = batch * 1000 + 10..(batch + 1) * 1000 + 10;
        let records = cookies.map(|cookie| {
            let local = format!("10.1.{}.{}:4000", cookie >> 8 & 0xff, cookie & 0xff);
            closed(record(1, cookie, "curl", &local, "10.2.0.1:80"))
        });
        run(&mut processor, records.collect());
    }
    assert!(processor.resolver.ends.len() <= 8193, "{}", processor.resolver.ends.len());
    for tick in 0..400 {
        processor
            .process(Batch::PassEnd(PassEnd { tick: UnixNanos(tick), last: false }), &mut Vec::new())
            .unwrap();
    }
    assert!(processor.resolver.ends.len() <= 8192);
    let again = run(&mut processor, vec![record(1, 1, "sshd", "10.0.0.1:22", "10.0.0.9:999")]);
    assert_eq!(names(&again), pairs(&[("sshd", "-")]));
}
