use super::*;

/// *Scenario*: the client's socket has the service's address; the server's is a backend of it; an unknown role is taken for a client's.
/// *Guarantees*: both reporters name the service.
#[test]
fn both_ends_are_named() {
    let mut bench = Bench::new(0);
    bench.first.address("10.96.0.10:80", bench.service("web"));
    bench.first.backend("10.0.1.7:8080", bench.service("web"));
    let unknown = ConnectionRecord { role: Role::Unknown, ..client(3) };
    assert_eq!(bench.records(&[client(1), server(2), unknown]), "1:web 2:web 3:web");
}

/// *Scenario*: what was asked for and the backend name different services, in different sources.
/// *Guarantees*: what was asked for comes first; among sources, the first that knows; nobody: unknown.
#[test]
fn what_was_asked_for_comes_first() {
    let mut bench = Bench::new(0);
    bench.second.address("10.96.0.10:80", bench.service("asked"));
    bench.first.backend("10.96.0.10:80", bench.service("backend"));
    let other = record(2, Role::Client, "10.0.0.5:40001", "10.0.1.7:8080");
    bench.first.backend("10.0.1.7:8080", bench.service("first"));
    bench.second.backend("10.0.1.7:8080", bench.service("second"));
    let nobody = record(3, Role::Client, "10.0.0.5:40002", "8.8.8.8:53");
    assert_eq!(bench.records(&[client(1), other, nobody]), "1:asked 2:first 3:-");
}

/// *Scenario*: a connection whose start is known, and one older than the agent.
/// *Guarantees*: directories are asked as of the start, else as of the observation.
#[test]
fn services_are_asked_for_as_of_the_start() {
    let mut bench = Bench::new(0);
    bench.first.address("10.96.0.10:80", bench.service("web"));
    let older = ConnectionRecord { start_known: false, opened: UnixNanos(0), ..client(2) };
    bench.records(&[client(1), older]);
    assert_eq!(*bench.first.asked.lock().unwrap(), [UnixNanos(SECOND), UnixNanos(2 * SECOND)]);
}

/// *Scenario*: several records of a connection; the service's name changes meanwhile; the connection ends and its identity returns.
/// *Guarantees*: asked once per connection; the name stays to the end; the end frees it.
#[test]
fn a_connection_is_asked_for_once() {
    let mut bench = Bench::new(0);
    bench.first.address("10.96.0.10:80", bench.service("old"));
    assert_eq!(bench.records(&[client(1), client(1)]), "1:old 1:old");
    bench.first.address("10.96.0.10:80", bench.service("new"));
    assert_eq!(bench.records(&[client(1), close(client(1))]), "1:old 1:old");
    assert_eq!(bench.first.asked.lock().unwrap().len(), 1);
    assert_eq!(bench.processor.resolver.connections.len(), 0);
    assert_eq!(bench.records(&[client(1)]), "1:new");
}

/// *Scenario*: records that bring a name along; a batch that another branch reads too.
/// *Guarantees*: a name is never overwritten, and nobody is asked; the other's batch is left alone.
#[test]
fn brought_names_are_kept() {
    let mut bench = Bench::new(5);
    bench.first.address("10.96.0.10:80", bench.service("web"));
    let mut brought = client(1);
    brought.names.service = bench.service("brought").known();
    assert_eq!(bench.records(&[brought, client(2)]), "1:brought 2:web");
    assert_eq!(bench.first.asked.lock().unwrap().len(), 1);
    let shared = Arc::new(vec![client(3)]);
    assert_eq!(bench.run(Batch::Records(Arc::clone(&shared))), "3:web");
    assert!(shared[0].names.service.is_none());
}

/// *Scenario*: connections whose ends never come.
/// *Guarantees*: they are forgotten after many passes, and so are their names.
#[test]
fn silent_connections_are_forgotten() {
    let mut bench = Bench::new(0);
    bench.first.address("10.96.0.10:80", bench.service("web"));
    bench.records(&(0..1000).map(client).collect::<Vec<_>>());
    for pass in 1..400 {
        bench.pass_end(pass);
    }
    assert_eq!(bench.processor.resolver.connections.len(), 0);
}

/// *Scenario*: one named connection, one of several services, one of none, one whose answer never came.
/// *Guarantees*: each is counted once, by its result.
#[test]
fn results_are_counted() {
    let mut bench = Bench::new(0);
    bench.first.address("10.96.0.10:80", bench.service("web"));
    let several = bench.names.intern(Service { name: "a".into(), ambiguous: true, ..Service::default() });
    bench.first.backend("10.0.1.7:8080", Answer::Known(several));
    bench.first.address("1.1.1.1:1", Answer::Pending);
    let nobody = record(3, Role::Client, "10.0.0.5:40002", "8.8.8.8:53");
    let pending = record(4, Role::Client, "10.0.0.5:40003", "1.1.1.1:1");
    bench.records(&[client(1), server(2), nobody, pending.clone()]);
    bench.records(&[client(1), server(2), close(pending)]);
    let tally = bench.processor.resolver.tally;
    assert_eq!((tally.named, tally.ambiguous, tally.unknown), (1, 1, 2));
}
