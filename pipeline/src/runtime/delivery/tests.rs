use std::sync::Arc;
use std::time::Duration;

use longwave_config::{ByteSize, GoDuration};

use super::{SHUTDOWN_LIMIT, SendingQueue};
use crate::component::*;
use crate::runtime::testing::{KeepPusher, World};

struct Bench {
    world: World,
    node: Arc<Node>,
    accounting: Accounting,
    queue: SendingQueue,
}

fn bench(config: DeliveryConfig, results: Vec<Result<Pushed, PushError>>) -> Bench {
    let (world, accounting) = (World::default(), Accounting::default());
    world.results.lock().unwrap().extend(results);
    let node = accounting.node(NodeKind::Exporter, "keep", "", Signal::Logs, false);
    let pusher = Arc::new(KeepPusher { id: "keep".into(), fail: String::new(), world: world.clone() });
    let queue = SendingQueue::start("keep", pusher, config, false, Arc::clone(&node), &Default::default());
    Bench { world, node, accounting, queue }
}

fn config() -> DeliveryConfig {
    DeliveryConfig {
        timeout: Duration::from_secs(5),
        retry: RetryConfig { randomization_factor: 0.0, ..RetryConfig::default() },
        queue: QueueConfig { num_consumers: 1, ..QueueConfig::default() },
    }
}

fn retryable(after: Option<u64>) -> Result<Pushed, PushError> {
    let after = after.map(Duration::from_secs);
    Err(PushError::Retryable { message: "unavailable".into(), after, may_have_arrived: false })
}

impl Bench {
    async fn put(&mut self, items: u64) {
        self.node.add_incoming(items);
        let bytes = format!("{items}").into();
        self.queue
            .put_batch(Duration::ZERO, vec![Payload { bytes, items, traffic_bytes: items * 100 }])
            .await
            .unwrap();
    }

    /// Waits until no payload is left. Time is paused, so that every timer fires immediately.
    async fn settle(&self) {
        for _ in 0..10_000 {
            if self.node.held() == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("still held: {:?}", self.world.logged());
    }

    fn reasons(&self) -> Vec<(&'static str, u64, u64)> {
        self.node.dropped().into_iter().map(|(reason, count)| (reason.0, count.items, count.bytes)).collect()
    }
}

/// *Scenario*: a server is unavailable three times, then accepts.
/// *Guarantees*: the waits are 5 s, 7.5 s, 11.25 s (initial_interval × multiplier); the payload is delivered once; nothing is dropped.
#[tokio::test(start_paused = true)]
async fn retries_with_growing_waits() {
    let start = tokio::time::Instant::now();
    let mut bench = bench(config(), vec![retryable(None), retryable(None), retryable(None)]);
    bench.put(4).await;
    bench.settle().await;
    let waited = start.elapsed();
    assert!(waited >= Duration::from_millis(23_750) && waited < Duration::from_millis(23_950), "{waited:?}");
    assert_eq!((bench.node.outgoing(), bench.node.retries()), (4, 3));
    assert_eq!(bench.reasons(), []);
    assert_eq!(bench.accounting.imbalances(), []);
}

/// *Scenario*: the server requests a longer wait than that of the back-off.
/// *Guarantees*: the next attempt happens after the requested wait.
#[tokio::test(start_paused = true)]
async fn waits_as_long_as_the_server_requests() {
    let start = tokio::time::Instant::now();
    let mut bench = bench(config(), vec![retryable(Some(60))]);
    bench.put(1).await;
    bench.settle().await;
    assert!(start.elapsed() >= Duration::from_secs(60));
    assert_eq!(bench.node.outgoing(), 1);
}

/// *Scenario*: a server stays unavailable; another never replies; another refuses permanently; another accepts in part; retry is off.
/// *Guarantees*: each payload is dropped under its own reason with its items and traffic bytes, and the stage balances.
#[tokio::test(start_paused = true)]
async fn every_loss_has_its_reason() {
    let limited = |seconds| DeliveryConfig {
        retry: RetryConfig { max_elapsed_time: GoDuration::from_secs(seconds), ..config().retry },
        ..config()
    };
    let off = DeliveryConfig { retry: RetryConfig { enabled: false, ..config().retry }, ..config() };
    let hang = || Err(PushError::Retryable { message: "hang".into(), after: None, may_have_arrived: false });
    let cases = [
        (limited(12), vec![retryable(None); 9], 0, vec![("retries_exhausted", 8, 800)]),
        (limited(4), vec![hang()], 0, vec![("retries_exhausted", 8, 800)]),
        (config(), vec![Err(PushError::Permanent("no".into()))], 0, vec![("permanent_error", 8, 800)]),
        (off, vec![retryable(None)], 0, vec![("retries_exhausted", 8, 800)]),
        (
            config(),
            vec![Ok(Pushed { rejected_items: 3, message: Some("too old".into()) })],
            5,
            vec![("rejected_by_server", 3, 300)],
        ),
    ];
    for (config, results, sent, expected) in cases {
        let mut bench = bench(config, results);
        bench.put(8).await;
        bench.settle().await;
        assert_eq!(bench.node.outgoing(), sent);
        assert_eq!(bench.reasons(), expected);
        assert_eq!(bench.accounting.imbalances(), []);
    }
}

/// *Scenario*: more payloads than fit in the queue, while the server is unavailable.
/// *Guarantees*: payloads without room are dropped as `queue_full` and nothing blocks; with `block_on_overflow` nothing is dropped.
#[tokio::test(start_paused = true)]
async fn overflow_drops_or_blocks_as_configured() {
    let small = |block_on_overflow| DeliveryConfig {
        queue: QueueConfig { num_consumers: 1, queue_size: 2, block_on_overflow, ..QueueConfig::default() },
        ..config()
    };
    let mut dropping = bench(small(false), vec![retryable(None)]);
    for _ in 0..5 {
        dropping.put(1).await;
    }
    dropping.settle().await;
    let lost = dropping.reasons().iter().map(|(_, items, _)| items).sum::<u64>();
    assert!(lost >= 2, "{:?}", dropping.reasons());
    assert_eq!(dropping.node.outgoing() + lost, 5);
    let mut blocking = bench(small(true), vec![retryable(None)]);
    for _ in 0..5 {
        blocking.put(1).await;
    }
    blocking.settle().await;
    assert_eq!((blocking.node.outgoing(), blocking.reasons()), (5, vec![]));
}

/// *Scenario*: a shutdown while the server is down, and one while it does not reply.
/// *Guarantees*: the shutdown ends in bounded time; each queued payload has one attempt and is then counted as `shutdown`.
#[tokio::test(start_paused = true)]
async fn shutdown_is_bounded_and_counted() {
    for message in ["unavailable", "hang"] {
        let start = tokio::time::Instant::now();
        let error = PushError::Retryable { message: message.into(), after: None, may_have_arrived: false };
        let results = vec![Err(error); 50];
        let mut bench = bench(DeliveryConfig { timeout: Duration::ZERO, ..config() }, results);
        for _ in 0..20 {
            bench.put(1).await;
        }
        bench.queue.shutdown().await.unwrap();
        assert!(start.elapsed() <= SHUTDOWN_LIMIT + Duration::from_secs(1));
        let dropped = bench.node.dropped();
        assert_eq!(
            dropped.iter().map(|(reason, count)| (reason.0, count.items)).collect::<Vec<_>>(),
            [("shutdown", 20)]
        );
        assert_eq!(bench.accounting.imbalances(), []);
    }
}

/// *Scenario*: a server requests a wait that overflows; the configured multiplier makes the waits overflow.
/// *Guarantees*: there is no panic. In the first case the payload is dropped, in the second it waits for `max_interval`.
#[tokio::test(start_paused = true)]
async fn absurd_waits_do_no_harm() {
    let mut overflowing = bench(config(), vec![retryable(None), retryable(Some(u64::MAX))]);
    overflowing.put(1).await;
    overflowing.settle().await;
    assert_eq!(overflowing.reasons(), [("retries_exhausted", 1, 100)]);
    let retry = RetryConfig { multiplier: 1e300, ..config().retry };
    let mut grown = bench(DeliveryConfig { retry, ..config() }, vec![retryable(None); 3]);
    grown.put(1).await;
    grown.settle().await;
    assert_eq!((grown.node.outgoing(), grown.reasons()), (1, vec![]));
}

/// *Scenario*: the bytes of a dropped batch overflow a counter, as in a damaged record file.
/// *Guarantees*: the count saturates.
#[test]
fn absurd_byte_counts_saturate() {
    let mut record = crate::model::ConnectionRecord::blank();
    (record.delta.sent_bytes, record.delta.received_bytes) = (u64::MAX, 7);
    let batch = crate::model::Batch::records(vec![record; 2]);
    let node = Accounting::default().node(NodeKind::Exporter, "keep", "", Signal::Logs, false);
    node.drop_batch(crate::component::DropReason::ENCODING, &batch);
    node.drop_batch(crate::component::DropReason::ENCODING, &batch);
    assert_eq!(node.dropped()[0].1.bytes, u64::MAX);
}

/// *Scenario*: a server that is down while payloads of 1 MiB arrive, more than fit into the limit of bytes, with every sizer and with or without
/// an order; then it responds.
/// *Guarantees*: at no time does the queue have more bytes than the limit, also counting what is being delivered. What did not fit was dropped as
/// `queue_full`, the oldest first, and with what arrived it adds up. Then the queue is empty.
#[tokio::test(start_paused = true)]
async fn queued_bytes_are_bounded() {
    for sizer in [Sizer::Requests, Sizer::Items, Sizer::Bytes] {
        let queue = QueueConfig {
            num_consumers: 3,
            sizer,
            queue_size: 1_000_000_000,
            max_bytes: Some(ByteSize::mib(8)),
            ..QueueConfig::default()
        };
        let mut bench = bench(DeliveryConfig { queue, ..config() }, vec![retryable(None); 12]);
        for number in 0..40_u8 {
            bench.node.add_incoming(10);
            let bytes = vec![number; 1 << 20].into();
            bench
                .queue
                .put_batch(Duration::ZERO, vec![Payload { bytes, items: 10, traffic_bytes: 100 }])
                .await
                .unwrap();
            assert!(bench.node.queue_bytes() <= 8 << 20);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(bench.node.queue_bytes_capacity(), 8 << 20);
        bench.settle().await;
        let arrived: Vec<u8> = bench.world.delivered.lock().unwrap().iter().map(|bytes| bytes[0]).collect();
        // The three that were being delivered when the queue became full, and the newest five.
        assert_eq!(arrived.len(), 8);
        assert!((35..40).all(|newest| arrived.contains(&newest)), "{arrived:?}");
        assert_eq!(bench.reasons(), [("queue_full", 320, 3200)]);
        assert_eq!((bench.node.queue_size(), bench.node.queue_bytes()), (0, 0));
        assert_eq!(bench.accounting.imbalances(), []);
    }
}

/// *Scenario*: a batch that is larger than the whole queue, with a server that responds, with one that does not, and with one that is down; a single
/// payload that is larger than the queue.
/// *Guarantees*: with the healthy server everything arrives. Otherwise what does not fit is dropped and counted, and the pipeline does not wait for
/// more than a few seconds. The oversized payload is dropped immediately.
#[tokio::test(start_paused = true)]
async fn a_batch_larger_than_the_queue_waits_only_for_a_healthy_server() {
    let small = || {
        let queue = QueueConfig {
            num_consumers: 1,
            queue_size: 2,
            max_bytes: Some(ByteSize::mib(4)),
            ..QueueConfig::default()
        };
        DeliveryConfig { queue, ..config() }
    };
    let hang = Err(PushError::Retryable { message: "hang".into(), after: None, may_have_arrived: false });
    for (results, everything_arrives) in
        [(vec![], true), (vec![hang], false), (vec![retryable(None); 3], false)]
    {
        let mut bench = bench(small(), results);
        bench.node.add_incoming(20);
        let payload = || Payload { bytes: "x".into(), items: 1, traffic_bytes: 1 };
        let start = tokio::time::Instant::now();
        bench.queue.put_batch(Duration::ZERO, (0..20).map(|_| payload()).collect()).await.unwrap();
        assert!(start.elapsed() <= Duration::from_secs(6), "{:?}", start.elapsed());
        bench.settle().await;
        assert_eq!(bench.node.outgoing() == 20, everything_arrives);
        assert_eq!(bench.accounting.imbalances(), []);
    }
    let mut bench = bench(small(), vec![]);
    bench.node.add_incoming(1);
    let bytes = vec![0; 5 << 20].into();
    bench.queue.put_batch(Duration::ZERO, vec![Payload { bytes, items: 1, traffic_bytes: 7 }]).await.unwrap();
    assert_eq!(bench.reasons(), [("queue_full", 1, 7)]);
}

/// *Scenario*: `wait_for_result` with a server that is unavailable twice.
/// *Guarantees*: the batch is delivered when the call returns, also one of several payloads.
#[tokio::test(start_paused = true)]
async fn waits_for_the_result_if_configured() {
    let queue = QueueConfig { wait_for_result: true, ..QueueConfig::default() };
    let mut bench = bench(DeliveryConfig { queue, ..config() }, vec![retryable(None), retryable(None)]);
    bench.node.add_incoming(3);
    let payload = || Payload { bytes: "x".into(), items: 1, traffic_bytes: 1 };
    bench.queue.put_batch(Duration::ZERO, vec![payload(), payload(), payload()]).await.unwrap();
    assert_eq!((bench.node.held(), bench.node.outgoing()), (0, 3));
}

/// *Scenario*: an attempt times out, and the next one is accepted; another fails before the request is sent, and the next one is accepted.
/// *Guarantees*: only the items of the first payload are counted as possible duplicates, because the server may have accepted it twice.
#[tokio::test(start_paused = true)]
async fn possible_duplicates_are_counted() {
    let hang = Err(PushError::Retryable { message: "hang".into(), after: None, may_have_arrived: false });
    let mut late = bench(config(), vec![hang]);
    late.put(8).await;
    late.settle().await;
    assert_eq!((late.node.outgoing(), late.node.possible_duplicates()), (8, 8));
    let mut refused = bench(config(), vec![retryable(None)]);
    refused.put(8).await;
    refused.settle().await;
    assert_eq!((refused.node.outgoing(), refused.node.possible_duplicates()), (8, 0));
}

/// *Scenario*: a server is down for ten minutes while ten payloads a second are sent, and is back then. They are more than the queue takes.
/// *Guarantees*: the queue stays below its bytes all the time. Then every payload has arrived exactly once or is counted under a reason, and the
/// newest ones have arrived.
#[tokio::test(start_paused = true)]
async fn an_outage_of_ten_minutes_loses_only_what_is_counted() {
    const BYTES: u64 = 1 << 20;
    const LEN: u64 = 1024;
    let queue = QueueConfig {
        num_consumers: 10,
        queue_size: 1_000_000,
        max_bytes: Some(ByteSize::mib(1)),
        ..QueueConfig::default()
    };
    let mut bench = bench(DeliveryConfig { queue, ..config() }, vec![]);
    bench.world.is_down.store(true, std::sync::atomic::Ordering::SeqCst);
    let all = 10 * 600;
    for number in 0..all {
        let bytes = format!("{number:0width$}", width = LEN as usize).into();
        bench.node.add_incoming(1);
        bench
            .queue
            .put_batch(Duration::ZERO, vec![Payload { bytes, items: 1, traffic_bytes: 1 }])
            .await
            .unwrap();
        assert!(bench.node.queue_bytes() <= BYTES, "{}", bench.node.queue_bytes());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    bench.world.is_down.store(false, std::sync::atomic::Ordering::SeqCst);
    bench.settle().await;
    let delivered = bench.world.delivered.lock().unwrap();
    let mut numbers: Vec<u64> =
        delivered.iter().map(|bytes| std::str::from_utf8(bytes).unwrap().parse().unwrap()).collect();
    numbers.sort_unstable();
    let arrived = numbers.len() as u64;
    numbers.dedup();
    assert_eq!(numbers.len() as u64, arrived, "payloads arrived twice");
    let dropped: u64 = bench.reasons().iter().map(|(_, items, _)| items).sum();
    assert_eq!((arrived + dropped, bench.node.outgoing()), (all, arrived), "{:?}", bench.reasons());
    // Those that were being delivered are older than the rest.
    let newest = BYTES / LEN - 10;
    assert!((all - newest..all).all(|number| numbers.binary_search(&number).is_ok()), "{numbers:?}");
    assert_eq!(bench.accounting.imbalances(), []);
}
