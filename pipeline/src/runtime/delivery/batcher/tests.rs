use std::time::Duration;

use longwave_config::GoDuration;
use proptest::prelude::*;

use super::*;
use crate::component::{Accounting, BatchSizer, NodeKind, Signal};

fn batcher(config: Option<BatchConfig>) -> (Batcher, Arc<Node>) {
    let node = Accounting::default().node(NodeKind::Exporter, "otlp", "", Signal::Logs, false);
    (Batcher::new(&QueueConfig { batch: config, ..QueueConfig::default() }, Arc::clone(&node)), node)
}

/// A request of one byte for each item.
fn payload(first: u8, items: usize) -> Payload {
    let bytes: Vec<u8> = (0..items).map(|n| first.wrapping_add(n as u8)).collect();
    Payload { bytes: bytes.into(), items: items as u64, traffic_bytes: 10 * items as u64 }
}

/// *Scenario*: three small requests, one that reaches `min_size`, and one that would exceed `max_size`.
/// *Guarantees*: requests wait until the size or the time is reached, counted as held. They are merged in their order, with their items and traffic.
#[tokio::test(start_paused = true)]
async fn requests_are_merged() {
    let config = BatchConfig { min_size: 10, max_size: 12, ..BatchConfig::default() };
    let (mut batcher, node) = batcher(Some(config));
    assert!(batcher.add(vec![payload(0, 3), payload(3, 3)]).is_empty());
    assert_eq!(node.held(), 6);
    let ready = batcher.add(vec![payload(6, 4), payload(20, 1)]);
    assert_eq!(ready.len(), 1);
    assert_eq!(
        (&ready[0].bytes[..], ready[0].items, ready[0].traffic_bytes),
        (&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9][..], 10, 100)
    );
    assert_eq!(node.held(), 1);

    let ready = batcher.add(vec![payload(30, 12)]);
    assert_eq!(ready.iter().map(|payload| payload.items).collect::<Vec<_>>(), [1, 12]);
    let start = Instant::now();
    assert!(batcher.add(vec![payload(0, 1)]).is_empty());
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(batcher.add(vec![payload(1, 1)]).is_empty());
    batcher.due().await;
    assert_eq!(start.elapsed(), Duration::from_secs(1), "the wait begins with the first request");
    assert_eq!(&batcher.take().unwrap().bytes[..], [0, 1]);
    assert!(batcher.take().is_none());
    assert_eq!(node.held(), 0);
}

/// *Scenario*: no merging is configured. A batcher is dropped with a request that waits.
/// *Guarantees*: requests leave at once and unchanged. The request that is lost is counted.
#[tokio::test]
async fn nothing_is_lost_silently() {
    for config in [None, Some(BatchConfig { enabled: false, ..BatchConfig::default() })] {
        let (mut batcher, node) = batcher(config);
        let ready = batcher.add(vec![payload(0, 2), payload(2, 1)]);
        assert_eq!(ready.iter().map(|payload| payload.items).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(node.held(), 0);
    }
    let (mut batcher, node) = batcher(Some(BatchConfig::default()));
    batcher.add(vec![payload(0, 2)]);
    drop(batcher);
    assert_eq!(node.held(), 0);
    let dropped = node.dropped();
    assert_eq!((dropped[0].0, dropped[0].1.items, dropped[0].1.bytes), (DropReason::STAGE_ENDED, 2, 20));
}

/// *Scenario*: a queue of 100 items, and small requests; a queue whose pipeline waits for results; no queue.
/// *Guarantees*: a merged request takes at most a quarter of the queue. With the other settings nothing is merged.
#[tokio::test]
async fn merged_requests_fit_into_the_queue() {
    let queue = QueueConfig {
        sizer: Sizer::Items,
        queue_size: 100,
        batch: Some(BatchConfig::default()),
        ..QueueConfig::default()
    };
    let merged = |queue: &QueueConfig| {
        let node = Accounting::default().node(NodeKind::Exporter, "otlp", "", Signal::Logs, false);
        let mut batcher = Batcher::new(queue, node);
        let ready = batcher.add(vec![payload(0, 10); 6]);
        ready.iter().map(|request| request.items).collect::<Vec<_>>()
    };
    assert_eq!(merged(&queue), [20, 20]);
    let bytes = QueueConfig { sizer: Sizer::Bytes, ..queue.clone() };
    assert_eq!(merged(&bytes), [20, 20]);
    assert_eq!(merged(&QueueConfig { wait_for_result: true, ..queue.clone() }), [10; 6]);
    assert_eq!(merged(&QueueConfig { enabled: false, ..queue }), [10; 6]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    /// *Scenario*: any requests, sizes and sizers, with flushes in between.
    /// *Guarantees*: the bytes leave in their order, items and traffic add up, no merged request exceeds `max_size`, and what waits is below
    /// `min_size`.
    #[test]
    fn bytes_and_counts_are_conserved(
        requests in prop::collection::vec((0..40_usize, any::<bool>()), 0..40),
        min_size in 0..60_u64,
        more in 0..60_u64,
        in_bytes in any::<bool>(),
    ) {
        let sizer = if in_bytes { BatchSizer::Bytes } else { BatchSizer::Items };
        let max_size = min_size + more;
        let config = BatchConfig { min_size, max_size, sizer, flush_timeout: GoDuration::from_secs(5), enabled: true };
        let (mut batcher, node) = batcher(Some(config));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let _guard = runtime.enter();
        let (mut sent, mut left) = (Vec::new(), Vec::new());
        for (number, (items, flushes)) in requests.iter().enumerate() {
            let request = payload(number as u8, *items);
            sent.extend_from_slice(&request.bytes);
            left.extend(batcher.add(vec![request]));
            prop_assert!(node.held() < min_size.max(1));
            if *flushes {
                left.extend(batcher.take());
            }
        }
        left.extend(batcher.take());
        for request in &left {
            prop_assert_eq!(request.items, request.bytes.len() as u64);
            prop_assert_eq!(request.traffic_bytes, 10 * request.items);
            // A single larger request stays as it is.
            prop_assert!(max_size == 0 || request.items <= max_size.max(39));
        }
        prop_assert_eq!(left.iter().flat_map(|request| request.bytes.to_vec()).collect::<Vec<_>>(), sent);
        prop_assert_eq!(node.held(), 0);
    }
}
