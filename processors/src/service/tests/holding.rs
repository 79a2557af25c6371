use super::*;

fn pending(bench: &Bench) {
    bench.first.address("10.96.0.10:80", Answer::Pending);
}

/// *Scenario*: a service that is still being learned; more records of the connection, the end included; then the answer.
/// *Guarantees*: the connection's records wait, in order, others pass; with the answer all go, named, before what follows.
#[test]
fn records_wait_for_their_service() {
    let mut bench = Bench::new(5);
    pending(&bench);
    bench.second.backend("10.0.1.7:8080", bench.service("other"));
    assert_eq!(bench.records(&[client(1), server(2)]), "2:other");
    assert_eq!(bench.records(&[client(1), close(client(1)), server(2)]), "2:other");
    assert_eq!(bench.pass_end(5), "|");
    bench.first.address("10.96.0.10:80", bench.service("web"));
    assert_eq!(bench.records(&[server(2)]), "1:web 1:web 1:web 2:other");
    assert_eq!(bench.processor.resolver.connections.len(), 1);
}

/// *Scenario*: the answer comes between two watermarks, and no record does.
/// *Guarantees*: what waits goes before the next watermark.
#[test]
fn a_watermark_lets_go_what_is_settled() {
    let mut bench = Bench::new(5);
    pending(&bench);
    bench.records(&[client(1)]);
    bench.first.address("10.96.0.10:80", bench.service("web"));
    assert_eq!(bench.pass_end(5), "1:web |");
}

/// *Scenario*: the answer does not come within `hold`; then it does.
/// *Guarantees*: records go unnamed with the first watermark after `hold`, and do not wait again; later ones are named.
#[test]
fn nothing_waits_longer_than_hold() {
    let mut bench = Bench::new(5);
    pending(&bench);
    bench.records(&[client(1)]);
    assert_eq!(bench.pass_end(5), "|");
    assert_eq!(bench.pass_end(10), "1:- |");
    assert_eq!(bench.records(&[client(1)]), "1:-");
    bench.first.address("10.96.0.10:80", bench.service("web"));
    assert_eq!(bench.records(&[client(1)]), "1:web");
}

/// *Scenario*: `hold: 0s`; the answer comes later.
/// *Guarantees*: nothing waits; records are named as soon as the answer is there.
#[test]
fn without_hold_nothing_waits() {
    let mut bench = Bench::new(0);
    pending(&bench);
    assert_eq!(bench.records(&[client(1)]), "1:-");
    bench.first.address("10.96.0.10:80", bench.service("web"));
    assert_eq!(bench.records(&[client(1)]), "1:web");
}

/// *Scenario*: the receiver stops, or the input ends, while records wait.
/// *Guarantees*: they go, before the last watermark or at the end; nothing is left held.
#[test]
fn the_end_lets_everything_go() {
    let mut bench = Bench::new(5);
    pending(&bench);
    bench.records(&[client(1)]);
    let last = Batch::PassEnd(PassEnd { tick: UnixNanos(3 * SECOND), last: true });
    assert_eq!(bench.run(last), "1:- |");
    bench.records(&[client(2)]);
    assert_eq!(bench.finish(), "2:-");
    assert_eq!(bench.finish(), "");
    let _ = &bench.context;
}
