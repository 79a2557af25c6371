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

/// *Scenario*: a question, the same again, the answer.
/// *Guarantees*: asked once; pending until the version moves, then known; the thread is started once.
#[test]
fn a_question_is_asked_once() {
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

/// *Scenario*: somebody waits for the answers: there are none to wait for; one comes from another thread; one never comes.
/// *Guarantees*: the first need not wait; the second has the answer; the third is let go.
#[test]
fn answers_can_be_awaited() {
    let cache = Cache::new(None);
    cache.await_answers(Duration::from_secs(600));
    cache.query(client());
    let taken = take(&cache);
    std::thread::scope(|scope| {
        scope.spawn(|| cache.settle(&[(taken[0], host_says(entry(), at(105)))]));
        cache.await_answers(Duration::from_secs(600));
    });
    assert_eq!(cache.query(client()).translated, Translated::To(translation()));
    cache.query(numbered(77));
    cache.await_answers(Duration::from_millis(1));
    assert_eq!(cache.query(numbered(77)).translated, Translated::Pending);
}

/// *Scenario*: the connection ends while its question waits, and its addresses are another's when the kernel answers.
/// *Guarantees*: the end counts: the answer is not taken.
#[test]
fn an_end_that_comes_meanwhile_counts() {
    let cache = Cache::new(None);
    cache.query(server());
    let taken = take(&cache);
    cache.query(Request { ended: Some(at(106)), observed: at(106), ..server() });
    cache.settle(&[(taken[0], host_says(entry(), at(107)))]);
    assert_eq!(cache.query(server()).translated, Translated::Unknown);
    assert_eq!(cache.take_tally().unknown[Reason::Reused as usize], 1);
}

/// *Scenario*: records of another boot (a replayed file), and without a port.
/// *Guarantees*: unknown at once; nobody is asked.
#[test]
fn foreign_records_are_not_asked_for() {
    let cache = Cache::new(Some(5));
    let foreign = Request { id: ConnectionId { boot: 6, ..client().id }, ..client() };
    assert_eq!(cache.query(foreign).translated, Translated::Unknown);
    let portless = request(tuple("10.0.0.5:0", "10.0.0.6:80"), Role::Client);
    assert_eq!(cache.query(portless).translated, Translated::Unknown);
    assert!(take(&cache).is_empty());
    assert_eq!(cache.take_tally().unknown[Reason::Foreign as usize], 2);
}

/// *Scenario*: many more connections than the queue has room for, and nobody takes them.
/// *Guarantees*: what finds no room is unknown, counted, and asked anew later; memory is bounded.
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

/// *Scenario*: the kernel cannot be asked while some wait; later it can.
/// *Guarantees*: who waits is told, who comes is answered at once, and after the time nobody is any more.
#[test]
fn a_kernel_that_does_not_answer_is_believed_for_a_while() {
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

/// *Scenario*: answered connections end, more than are kept follow; one that still waits is forgotten.
/// *Guarantees*: an ended one's answer is kept for its last readers, then freed; the number kept is bounded; what waits stays.
#[test]
fn answers_are_freed() {
    let cache = Cache::new(None);
    cache.query(numbered(1));
    let answers: Vec<_> = take(&cache).into_iter().map(|one| (one, host_says(entry(), at(105)))).collect();
    cache.settle(&answers);
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

/// *Scenario*: the processors are gone.
/// *Guarantees*: the thread is told to end.
#[test]
fn the_thread_ends() {
    let cache = Cache::new(None);
    cache.stop();
    assert!(!cache.take(&mut Vec::new(), Duration::from_secs(60)));
}
