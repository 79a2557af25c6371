use proptest::prelude::*;

use super::*;
use crate::component::{Accounting, NodeKind, Signal};

fn queue(sizer: Sizer, size: u64, bytes: u64) -> (Arc<BoundedQueue>, Arc<Node>) {
    let node = Accounting::default().node(NodeKind::Exporter, "x", "", Signal::Logs, false);
    (BoundedQueue::new(QueueLimits { sizer, size, bytes }, Arc::clone(&node)), node)
}

fn queued(batch: u64, len: usize, items: u64) -> QueuedPayload {
    let payload = Payload { bytes: vec![0; len].into(), items, traffic_bytes: 0 };
    QueuedPayload { payload, stored: None, batch, turn: None, wait: None, _done: None }
}

fn batches(of: &[QueuedPayload]) -> Vec<u64> {
    of.iter().map(|queued| queued.batch).collect()
}

/// *Scenario*: a queue of three requests, of which one is being delivered; payloads of several batches.
/// *Guarantees*: the oldest waiting payloads make room, as many as are necessary and only those of earlier batches. If all of them together do not
/// make enough room, none is removed.
#[tokio::test]
async fn the_oldest_make_room() {
    let (queue, node) = queue(Sizer::Requests, 3, 100);
    for (batch, len) in [(1, 40), (2, 20), (3, 20)] {
        queue.add(queued(batch, len, 1));
    }
    let taken = queue.take().await.unwrap();
    assert_eq!((taken.queued.batch, node.queue_size(), node.queue_bytes()), (1, 3, 80));
    assert!(!queue.has_room(&queued(4, 1, 1).payload));
    assert_eq!(batches(&queue.remove_oldest(&queued(4, 61, 1).payload, 4)), [0; 0]);
    assert_eq!(batches(&queue.remove_oldest(&queued(4, 1, 1).payload, 2)), [0; 0]);
    assert_eq!(batches(&queue.remove_oldest(&queued(4, 1, 1).payload, 4)), [2]);
    assert!(queue.has_room(&queued(4, 40, 1).payload) && !queue.has_room(&queued(4, 41, 1).payload));
    drop(taken);
    assert_eq!((node.queue_size(), node.queue_bytes()), (1, 20));
    assert_eq!(batches(&queue.remove_all()), [3]);
    assert_eq!((node.queue_size(), node.queue_bytes()), (0, 0));
}

/// *Scenario*: several consumers wait while payloads are added, and then the queue is closed.
/// *Guarantees*: each payload is taken once, by any consumer that is free, and every consumer ends.
#[tokio::test]
async fn consumers_share_the_payloads_and_end() {
    let (queue, _) = queue(Sizer::Requests, 100, 1000);
    let mut tasks = tokio::task::JoinSet::new();
    let (started, mut all_started) = mpsc::channel(10);
    let (sender, mut taken) = mpsc::channel(100);
    for _ in 0..5 {
        let (queue, sender, started) = (Arc::clone(&queue), sender.clone(), started.clone());
        tasks.spawn(async move {
            started.send(()).await.unwrap();
            // Keeps what it takes, so that another consumer has to take the next one.
            let mut kept = Vec::new();
            while let Some(next) = queue.take().await {
                sender.send(next.queued.batch).await.unwrap();
                kept.push(next);
            }
        });
    }
    for _ in 0..5 {
        all_started.recv().await.unwrap();
    }
    for batch in 0..20 {
        queue.add(queued(batch, 1, 1));
    }
    let mut found = Vec::new();
    for _ in 0..20 {
        found.push(taken.recv().await.unwrap());
    }
    queue.close();
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    found.sort_unstable();
    assert_eq!(found, (0..20).collect::<Vec<_>>());
}

proptest! {
    /// *Scenario*: any payloads, limits and sizer; the oldest make room, and some are being delivered.
    /// *Guarantees*: the published size and bytes are those of the payloads in the queue, and within the limits.
    #[test]
    fn usage_is_that_of_the_contents(
        sizer in prop_oneof![Just(Sizer::Requests), Just(Sizer::Items), Just(Sizer::Bytes)],
        (size, bytes) in (1..50_u64, 1..200_u64),
        steps in prop::collection::vec((0..60_usize, 0..20_u64, 0..4_u8), 1..60),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (queue, node) = queue(sizer, size, bytes);
        let mut taken = Vec::new();
        for (batch, (len, items, action)) in (0..).zip(steps) {
            let next = queued(batch, len, items);
            queue.remove_oldest(&next.payload, u64::MAX);
            if queue.has_room(&next.payload) {
                queue.add(next);
                if action == 1 {
                    taken.push(runtime.block_on(queue.take()).unwrap());
                }
            }
            if action == 2 {
                taken.clear();
            }
            let contents = queue.lock();
            let all = contents.waiting.iter().chain(taken.iter().map(|taken| &taken.queued));
            let usage = all.fold(QueueUsage::default(), |sum, queued| sum.plus(queue.limits.usage(&queued.payload)));
            prop_assert_eq!(usage, contents.used);
            prop_assert_eq!((usage.size, usage.bytes), (node.queue_size(), node.queue_bytes()));
            prop_assert!(usage.size <= size && usage.bytes <= bytes);
        }
    }
}
