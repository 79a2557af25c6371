use super::*;

/// *Scenario*: a client is connected to the service's address; a server is a backend of the service; a socket has an unknown role.
/// *Guarantees*: all three records name the service; the unknown role is treated as a client.
#[test]
fn both_ends_are_named() {
    let mut bench = Bench::new(0);
    bench.first.address("10.96.0.10:80", bench.service("web"));
    bench.first.backend("10.0.1.7:8080", bench.service("web"));
    let unknown = ConnectionRecord { role: Role::Unknown, ..client(3) };
    assert_eq!(bench.records(&[client(1), server(2), unknown]), "1:web 2:web 3:web");
}

/// *Scenario*: the original address and the backend belong to different services, in different sources.
/// *Guarantees*: the original address takes precedence over the backend, and the first source over the second. Without a name, the service
/// is unknown.
#[test]
fn the_original_address_comes_first() {
    let mut bench = Bench::new(0);
    bench.second.address("10.96.0.10:80", bench.service("asked"));
    bench.first.backend("10.96.0.10:80", bench.service("backend"));
    let other = record(2, Role::Client, "10.0.0.5:40001", "10.0.1.7:8080");
    bench.first.backend("10.0.1.7:8080", bench.service("first"));
    bench.second.backend("10.0.1.7:8080", bench.service("second"));
    let unknown = record(3, Role::Client, "10.0.0.5:40002", "8.8.8.8:53");
    assert_eq!(bench.records(&[client(1), other, unknown]), "1:asked 2:first 3:-");
}

/// *Scenario*: a connection whose start is known, and one that is older than Longwave.
/// *Guarantees*: directories are queried as of the start if it is known, otherwise as of the observation.
#[test]
fn services_are_looked_up_as_of_the_start() {
    let mut bench = Bench::new(0);
    bench.first.address("10.96.0.10:80", bench.service("web"));
    let older = ConnectionRecord { start_known: false, opened: UnixNanos(0), ..client(2) };
    bench.records(&[client(1), older]);
    assert_eq!(*bench.first.queried.lock().unwrap(), [UnixNanos(SECOND), UnixNanos(2 * SECOND)]);
}

/// *Scenario*: several records of a connection; the service's name changes meanwhile; the connection closes and its identity is reused.
/// *Guarantees*: the service is looked up once per connection. The name is stored until the close.
#[test]
fn a_connection_is_looked_up_once() {
    let mut bench = Bench::new(0);
    bench.first.address("10.96.0.10:80", bench.service("old"));
    assert_eq!(bench.records(&[client(1), client(1)]), "1:old 1:old");
    bench.first.address("10.96.0.10:80", bench.service("new"));
    assert_eq!(bench.records(&[client(1), close(client(1))]), "1:old 1:old");
    assert_eq!(bench.first.queried.lock().unwrap().len(), 1);
    assert_eq!(bench.processor.resolver.connections.len(), 0);
    assert_eq!(bench.records(&[client(1)]), "1:new");
}

/// *Scenario*: a record that already has a name; a batch that another pipeline shares.
/// *Guarantees*: the name is not overwritten, and no directory is queried for it. The shared batch is not changed.
#[test]
fn existing_names_are_kept() {
    let mut bench = Bench::new(5);
    bench.first.address("10.96.0.10:80", bench.service("web"));
    let mut brought = client(1);
    brought.names.service = bench.service("brought").known();
    assert_eq!(bench.records(&[brought, client(2)]), "1:brought 2:web");
    assert_eq!(bench.first.queried.lock().unwrap().len(), 1);
    let shared = Arc::new(vec![client(3)]);
    assert_eq!(bench.run(Batch::Records(Arc::clone(&shared))), "3:web");
    assert!(shared[0].names.service.is_none());
}

/// *Scenario*: connections without a close record.
/// *Guarantees*: they are removed after many passes, with their names.
#[test]
fn silent_connections_are_removed() {
    let mut bench = Bench::new(0);
    bench.first.address("10.96.0.10:80", bench.service("web"));
    bench.records(&(0..1000).map(client).collect::<Vec<_>>());
    for pass in 1..400 {
        bench.pass_end(pass);
    }
    assert_eq!(bench.processor.resolver.connections.len(), 0);
}

/// *Scenario*: a connection with one service, one with several, one with none, and one whose answer stays pending until it closes.
/// *Guarantees*: each is counted once, by its result.
#[test]
fn results_are_counted() {
    let mut bench = Bench::new(0);
    bench.first.address("10.96.0.10:80", bench.service("web"));
    let several = bench.names.intern(Service { name: "a".into(), ambiguous: true, ..Service::default() });
    bench.first.backend("10.0.1.7:8080", Answer::Known(several));
    bench.first.address("1.1.1.1:1", Answer::Pending);
    let unknown = record(3, Role::Client, "10.0.0.5:40002", "8.8.8.8:53");
    let pending = record(4, Role::Client, "10.0.0.5:40003", "1.1.1.1:1");
    bench.records(&[client(1), server(2), unknown, pending.clone()]);
    bench.records(&[client(1), server(2), close(pending)]);
    let tally = bench.processor.resolver.tally;
    assert_eq!((tally.named, tally.ambiguous, tally.unknown), (1, 1, 2));
}
