use std::time::{Duration, Instant};

use super::*;
use crate::conntrack::cache::{Cache, Mode};
use crate::conntrack::request::{Outcome, Reason};
use crate::conntrack::translation::Translated;

fn numbered(cookie: u64) -> Request {
    Request { id: ConnectionId { cookie, ..client().id }, ..client() }
}

fn take(cache: &Cache) -> Vec<Request> {
    let mut taken = Vec::new();
    assert!(cache.take(&mut taken, Duration::ZERO));
    taken
}

/// *Scenario*: a request, the same request again, the result.
/// *Guarantees*: there is one look-up; the result is pending until the version changes, then known; the thread is started once.
#[test]
fn a_connection_is_looked_up_once() {
    let cache = Cache::new(None);
    let first = cache.query(client());
    assert!(first.start);
    assert_eq!(first.translated, Translated::Pending);
    let again = cache.query(client());
    assert!(!again.start);
    assert_eq!(again.translated, Translated::Pending);
    let version = cache.version();
    let taken = take(&cache);
    assert_eq!(taken, [client()]);
    cache.settle(&[(taken[0], host_says(entry(), at(105)))]);
    assert_ne!(cache.version(), version);
    assert_eq!(cache.query(client()).translated, Translated::To(translation()));
    assert!(take(&cache).is_empty());
    assert_eq!(cache.take_tally().translated, 1);
}

/// *Scenario*: three waits for results: none is pending; another thread stores one; one is never stored.
/// *Guarantees*: the first wait returns immediately; the second returns with the result; the third times out.
#[test]
fn results_can_be_awaited() {
    let cache = Cache::new(None);
    cache.await_results(Duration::from_secs(600));
    cache.query(client());
    let taken = take(&cache);
    std::thread::scope(|scope| {
        scope.spawn(|| cache.settle(&[(taken[0], host_says(entry(), at(105)))]));
        cache.await_results(Duration::from_secs(600));
    });
    assert_eq!(cache.query(client()).translated, Translated::To(translation()));
    cache.query(numbered(77));
    cache.await_results(Duration::from_millis(1));
    assert_eq!(cache.query(numbered(77)).translated, Translated::Pending);
}

/// *Scenario*: the connection closes while its request is pending, and another connection has its addresses when the kernel replies.
/// *Guarantees*: the close is considered: the entry is not used.
#[test]
fn a_close_during_the_look_up_is_considered() {
    let cache = Cache::new(None);
    cache.query(server());
    let taken = take(&cache);
    cache.query(Request { ended: Some(at(106)), observed: at(106), ..server() });
    cache.settle(&[(taken[0], host_says(entry(), at(107)))]);
    assert_eq!(cache.query(server()).translated, Translated::Unknown);
    assert_eq!(cache.take_tally().unknown[Reason::Reused as usize], 1);
}

/// *Scenario*: records of another boot (a replayed file), and without a port.
/// *Guarantees*: the result is unknown without a look-up.
#[test]
fn foreign_records_are_not_looked_up() {
    let cache = Cache::new(Some(5));
    let foreign = Request { id: ConnectionId { boot: 6, ..client().id }, ..client() };
    assert_eq!(cache.query(foreign).translated, Translated::Unknown);
    let portless = request(tuple("10.0.0.5:0", "10.0.0.6:80"), Role::Client);
    assert_eq!(cache.query(portless).translated, Translated::Unknown);
    assert!(take(&cache).is_empty());
    assert_eq!(cache.take_tally().unknown[Reason::Foreign as usize], 2);
}

/// *Scenario*: there are many more connections than fit in the queue, and the thread takes none.
/// *Guarantees*: a request without room has an unknown result, is counted, and may be repeated. Memory is bounded.
#[test]
fn a_full_queue_refuses_and_counts() {
    let cache = Cache::new(None);
    let refused =
        (0..140_000).filter(|cookie| cache.query(numbered(*cookie)).translated == Translated::Unknown);
    let refused = refused.count() as u64;
    assert_eq!(refused, 140_000 - 131_072);
    let tally = cache.take_tally();
    assert_eq!(tally.unknown[Reason::QueueFull as usize], refused);
    assert_eq!(tally.kept, 131_072);
    take(&cache);
    assert_eq!(cache.query(numbered(139_999)).translated, Translated::Pending);
}

/// *Scenario*: the kernel cannot be queried while some requests are pending; later it can.
/// *Guarantees*: pending requests and new ones get the mode's result immediately. After the given time, new requests are pending again.
#[test]
fn a_kernel_that_cannot_be_queried_is_tried_again_later() {
    let cache = Cache::new(None);
    cache.query(numbered(1));
    cache.set_mode(Mode::Settled(Outcome::Unknown(Reason::Denied), None));
    assert_eq!(cache.query(numbered(1)).translated, Translated::Unknown);
    assert_eq!(cache.query(numbered(2)).translated, Translated::Unknown);
    cache.set_mode(Mode::Settled(Outcome::Same, Some(Instant::now() + Duration::from_secs(60))));
    assert_eq!(cache.query(numbered(3)).translated, Translated::Same);
    cache.set_mode(Mode::Settled(Outcome::Same, Some(Instant::now())));
    assert_eq!(cache.query(numbered(4)).translated, Translated::Pending);
}

/// *Scenario*: connections with results close; more results than fit follow; a connection with a pending look-up closes.
/// *Guarantees*: the result of a closed connection is kept for some seconds; the number of results is bounded; a pending look-up is kept.
#[test]
fn results_are_freed() {
    let cache = Cache::new(None);
    cache.query(numbered(1));
    let results: Vec<_> = take(&cache).into_iter().map(|one| (one, host_says(entry(), at(105)))).collect();
    cache.settle(&results);
    cache.forget(numbered(1).id, Instant::now());
    take(&cache);
    assert_eq!(cache.query(numbered(1)).translated, Translated::To(translation()));
    let long_ago = Instant::now().checked_sub(Duration::from_secs(6)).unwrap();
    cache.query(numbered(2));
    cache.forget(numbered(2).id, long_ago);
    assert_eq!(take(&cache), [numbered(2)]);
    assert_eq!(cache.query(numbered(2)).translated, Translated::Pending);
    assert_eq!(cache.take_tally().kept, 2);
    for cookie in 3..140_000 {
        cache.settle(&[(numbered(cookie), host_says(entry(), at(105)))]);
    }
    assert!(cache.take_tally().kept <= 131_073);
}

/// *Scenario*: the last processor is dropped.
/// *Guarantees*: the thread ends.
#[test]
fn the_thread_ends() {
    let cache = Cache::new(None);
    cache.stop();
    assert!(!cache.take(&mut Vec::new(), Duration::from_secs(60)));
}
