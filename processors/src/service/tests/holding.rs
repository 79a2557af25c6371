use super::*;

fn pending(bench: &Bench) {
    bench.first.address("10.96.0.10:80", Answer::Pending);
}

/// *Scenario*: a service is pending; more records of the connection arrive, including its close; then the answer is known.
/// *Guarantees*: the connection's records wait, other records pass; when the answer is known, all leave in order, with the name, before
/// later records.
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

/// *Scenario*: the answer becomes known between two watermarks, and no record arrives.
/// *Guarantees*: the held record leaves before the next watermark.
#[test]
fn a_watermark_releases_settled_records() {
    let mut bench = Bench::new(5);
    pending(&bench);
    bench.records(&[client(1)]);
    bench.first.address("10.96.0.10:80", bench.service("web"));
    assert_eq!(bench.pass_end(5), "1:web |");
}

/// *Scenario*: the answer is not known within `hold`, but later.
/// *Guarantees*: records leave without a name at the first watermark after `hold`; later records do not wait, and have the name once it is
/// known.
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

/// *Scenario*: `hold: 0s`; the answer becomes known later.
/// *Guarantees*: no record waits; records are named as soon as the answer is known.
#[test]
fn without_hold_nothing_waits() {
    let mut bench = Bench::new(0);
    pending(&bench);
    assert_eq!(bench.records(&[client(1)]), "1:-");
    bench.first.address("10.96.0.10:80", bench.service("web"));
    assert_eq!(bench.records(&[client(1)]), "1:web");
}

/// *Scenario*: the receiver stops, or the input ends, while records wait.
/// *Guarantees*: the records leave before the last watermark or at the end of the input; no record stays held.
#[test]
fn the_end_of_the_input_releases_all_records() {
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
