use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use longwave_config::ByteSize;

use super::SendingQueue;
use crate::component::*;
use crate::model::{Batch, PassEnd, UnixNanos, Window};
use crate::runtime::testing::{KeepPusher, World};

/// A storage in memory with one queue. Clones share it.
#[derive(Clone, Default)]
struct MemoryStorage(Arc<Mutex<Stored>>);

#[derive(Default)]
struct Stored {
    next: u64,
    records: VecDeque<(RecordKey, NewRecord)>,
    removed: Vec<(u64, DropReason)>,
    /// Results of the next writes. After them, all succeed.
    writes: VecDeque<StorageError>,
    /// Results of the next reads.
    reads: VecDeque<StorageError>,
    opened: u64,
    syncs: u64,
    is_wanted: bool,
}

impl MemoryStorage {
    /// Returns the payloads that are not done.
    fn pending(&self) -> Vec<String> {
        let stored = self.0.lock().unwrap();
        let text = |record: &NewRecord| String::from_utf8(record.bytes.to_vec()).unwrap();
        stored.records.iter().map(|(_, record)| text(record)).collect()
    }

    /// Removes the oldest payloads, as a storage that needs room.
    fn remove(&self, count: usize, reason: DropReason) {
        let mut stored = self.0.lock().unwrap();
        let last = stored.records.drain(..count).last().unwrap().0;
        stored.removed.push((last.sequence + 1, reason));
    }
}

impl Storage for MemoryStorage {
    fn open(&self, exporter: &str, signal: Signal) -> Result<OpenedQueue, ComponentError> {
        assert_eq!((exporter, signal), ("keep", Signal::Metrics));
        let mut stored = self.0.lock().unwrap();
        stored.opened += 1;
        let records = stored.records.iter().map(|(key, record)| StoredRecord {
            key: *key,
            items: record.items,
            traffic_bytes: record.traffic_bytes,
            tick: record.tick,
        });
        let records = records.collect();
        Ok(OpenedQueue { queue: Arc::new(self.clone()), records, damaged: 0 })
    }
}

impl StoredQueue for MemoryStorage {
    fn append(&self, record: NewRecord) -> Result<RecordKey, StorageError> {
        let mut stored = self.0.lock().unwrap();
        if let Some(error) = stored.writes.pop_front() {
            return Err(error);
        }
        stored.next += 1;
        let key = RecordKey { sequence: stored.next, offset: 0, len: record.bytes.len() as u32 };
        stored.records.push_back((key, record));
        Ok(key)
    }

    fn read(&self, key: RecordKey) -> Result<Bytes, StorageError> {
        let mut stored = self.0.lock().unwrap();
        if let Some(error) = stored.reads.pop_front() {
            return Err(error);
        }
        let found = stored.records.iter().find(|(of, _)| *of == key);
        found.map(|(_, record)| record.bytes.clone()).ok_or(StorageError::Removed(DropReason::STORAGE_FULL))
    }

    fn done(&self, keys: &[RecordKey]) {
        self.0.lock().unwrap().records.retain(|(key, _)| !keys.contains(key));
    }

    fn sync(&self) {
        self.0.lock().unwrap().syncs += 1;
    }

    fn is_wanted(&self) -> bool {
        self.0.lock().unwrap().is_wanted
    }

    fn removed(&self) -> Vec<(u64, DropReason)> {
        self.0.lock().unwrap().removed.clone()
    }
}

/// One instance of an exporter.
struct Instance {
    world: World,
    node: Arc<Node>,
    accounting: Accounting,
    queue: SendingQueue,
}

impl Instance {
    async fn start(storage: &MemoryStorage, config: QueueConfig, is_down: bool) -> Self {
        let (world, accounting) = (World::default(), Accounting::default());
        if is_down {
            let down =
                || PushError::Retryable { message: "down".into(), after: None, may_have_arrived: false };
            world.results.lock().unwrap().extend((0..1000).map(|_| Err(down())));
        }
        let node = accounting.node(NodeKind::Exporter, "keep", "", Signal::Metrics, false);
        let pusher = Arc::new(KeepPusher { id: "keep".into(), fail: String::new(), world: world.clone() });
        let config = DeliveryConfig {
            timeout: Duration::from_secs(5),
            retry: RetryConfig {
                max_elapsed_time: longwave_config::GoDuration::default(),
                ..RetryConfig::default()
            },
            queue: config,
        };
        let queue = SendingQueue::start("keep", pusher, config, true, Arc::clone(&node), &Default::default());
        let mut queue = queue.with_storage(Some(Arc::new(storage.clone())));
        queue.open_storage().await.unwrap();
        Self { world, node, accounting, queue }
    }

    /// Adds a window of payloads with three items each.
    async fn put(&mut self, tick: u64, payloads: &[&str]) {
        let window = Window { start: UnixNanos(0), end: UnixNanos(tick), series: Vec::new() };
        self.queue.set_tick(&Batch::Window(Arc::new(window)));
        self.node.add_incoming(3 * payloads.len() as u64);
        let payload = |text: &&str| Payload { bytes: text.to_string().into(), items: 3, traffic_bytes: 5 };
        self.queue.put_batch(Duration::ZERO, payloads.iter().map(payload).collect()).await.unwrap();
    }

    async fn settle(&self) {
        while self.node.held() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until a condition is met.
    async fn until(&self, is_met: impl Fn(&Self) -> bool) {
        for _ in 0..10_000 {
            if is_met(self) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        panic!("not met: {:?}", self.world.logged());
    }

    fn delivered(&self) -> Vec<String> {
        let delivered = self.world.delivered.lock().unwrap();
        delivered.iter().map(|bytes| String::from_utf8(bytes.to_vec()).unwrap()).collect()
    }

    fn reasons(&self) -> Vec<(&'static str, u64)> {
        self.node.dropped().iter().map(|(reason, count)| (reason.0, count.items)).collect()
    }

    async fn shutdown(self) -> (Arc<Node>, Vec<String>) {
        let delivered = Arc::clone(&self.world.delivered);
        self.queue.shutdown().await.unwrap();
        assert_eq!(self.accounting.imbalances(), []);
        let delivered = delivered.lock().unwrap();
        (self.node, delivered.iter().map(|bytes| String::from_utf8(bytes.to_vec()).unwrap()).collect())
    }
}

/// *Scenario*: the server is down while windows arrive, and the exporter stops. Another instance starts with the server up, and gets a newer window.
/// *Guarantees*: the first instance keeps everything without waiting for the time limit of the shutdown. The second one sends it first, in order, then
/// the newer window, each once. The items balance in both, and the storage is empty.
#[tokio::test(start_paused = true)]
async fn what_was_not_sent_is_sent_by_the_next_life() {
    let storage = MemoryStorage::default();
    let mut first = Instance::start(&storage, QueueConfig::default(), true).await;
    first.put(10, &["a1", "a2"]).await;
    first.put(20, &["b1"]).await;
    let start = tokio::time::Instant::now();
    let (node, delivered) = first.shutdown().await;
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert_eq!((node.kept(), node.held(), delivered.len()), (9, 0, 0));
    assert_eq!(storage.pending(), ["a1", "a2", "b1"]);

    let mut second = Instance::start(&storage, QueueConfig::default(), false).await;
    assert_eq!(second.node.restored(), 9);
    second.put(30, &["c1"]).await;
    second.settle().await;
    let mut delivered = second.delivered();
    // The payloads of one window are sent concurrently.
    delivered[..2].sort();
    assert_eq!(delivered, ["a1", "a2", "b1", "c1"]);
    let (node, _) = second.shutdown().await;
    assert_eq!((node.outgoing(), node.incoming(), node.kept()), (12, 3, 0));
    assert_eq!(storage.pending(), Vec::<String>::new());
}

/// *Scenario*: an exporter stops while its server is slow, and the next instance waits for its queue. Of ten payloads, two are being sent.
/// *Guarantees*: these two are delivered and are not in the storage any more. The others stay there, and none is sent.
#[tokio::test(start_paused = true)]
async fn a_wanted_queue_is_handed_over() {
    let storage = MemoryStorage::default();
    let config = QueueConfig { num_consumers: 2, ..QueueConfig::default() };
    let mut instance = Instance::start(&storage, config, false).await;
    *instance.world.latency.lock().unwrap() = Duration::from_secs(3);
    instance.put(10, &["p0", "p1", "p2", "p3", "p4", "p5", "p6", "p7", "p8", "p9"]).await;
    instance.until(|instance| instance.world.logged().len() == 2).await;
    storage.0.lock().unwrap().is_wanted = true;
    let (node, mut delivered) = instance.shutdown().await;
    delivered.sort();
    assert_eq!(delivered, ["p0", "p1"]);
    assert_eq!((node.outgoing(), node.kept(), node.held()), (6, 24, 0));
    assert_eq!(storage.pending(), ["p2", "p3", "p4", "p5", "p6", "p7", "p8", "p9"]);
}

/// *Scenario*: an exporter stops while two requests are being sent. The server refuses one of them for now, and later accepts the other one.
/// *Guarantees*: the one that was accepted is not sent again by a later instance. The others are kept without an attempt.
#[tokio::test(start_paused = true)]
async fn requests_on_their_way_are_not_aborted() {
    let storage = MemoryStorage::default();
    let config = QueueConfig { num_consumers: 2, ..QueueConfig::default() };
    let mut instance = Instance::start(&storage, config, false).await;
    let busy = || PushError::Retryable { message: "busy".into(), after: None, may_have_arrived: false };
    *instance.world.latency.lock().unwrap() = Duration::from_secs(3);
    instance.world.results.lock().unwrap().extend([Err(busy())]);
    instance.put(10, &["refused", "accepted", "waiting"]).await;
    instance.until(|instance| instance.world.logged().len() == 2).await;
    let (node, delivered) = instance.shutdown().await;
    assert_eq!(delivered, ["accepted"]);
    assert_eq!((node.outgoing(), node.kept(), node.held()), (3, 6, 0));
    assert_eq!(storage.pending(), ["refused", "waiting"]);
}

/// *Scenario*: a process ends without a shutdown, after the server has accepted one payload, refused one for good, and not responded to a third one.
/// *Guarantees*: only the third one is in the storage. A queued payload takes no memory.
#[tokio::test(start_paused = true)]
async fn what_is_decided_is_not_sent_again() {
    let storage = MemoryStorage::default();
    let mut instance = Instance::start(&storage, QueueConfig::default(), false).await;
    instance.put(10, &["accepted"]).await;
    instance.settle().await;
    instance.world.results.lock().unwrap().extend([Err(PushError::Permanent("no".into()))]);
    instance.put(20, &["refused"]).await;
    instance.settle().await;
    let hang = PushError::Retryable { message: "hang".into(), after: None, may_have_arrived: false };
    instance.world.results.lock().unwrap().extend([Err(hang)]);
    instance.put(30, &["pending"]).await;
    tokio::task::yield_now().await;
    assert_eq!(storage.pending(), ["pending"]);
    assert_eq!(instance.reasons(), [("permanent_error", 3)]);
    assert_eq!((instance.node.queue_size(), instance.node.queue_bytes()), (1, 7));
}

/// *Scenario*: more than the queue may contain, with a server that is down, for each kind of limit; a next instance with a smaller limit.
/// *Guarantees*: the limits hold for what is stored. The oldest that waits is dropped as `queue_full`, and the storage does not have it either.
#[tokio::test(start_paused = true)]
async fn the_limits_of_the_queue_hold_for_the_storage() {
    let small = QueueConfig { queue_size: 4, num_consumers: 1, ..QueueConfig::default() };
    let bytes = QueueConfig { sizer: Sizer::Bytes, queue_size: 8, ..small.clone() };
    let items = QueueConfig { sizer: Sizer::Items, queue_size: 12, ..small.clone() };
    for config in [small, bytes, items] {
        let storage = MemoryStorage::default();
        let mut instance = Instance::start(&storage, config.clone(), true).await;
        for number in 0..8 {
            instance.put(number, &[&format!("p{number}")]).await;
            tokio::task::yield_now().await;
        }
        // The first one is being delivered.
        assert_eq!(storage.pending(), ["p0", "p5", "p6", "p7"]);
        assert_eq!(instance.reasons(), [("queue_full", 12)]);
        let (node, _) = instance.shutdown().await;
        assert_eq!(node.kept(), 12);
        let half = QueueConfig { queue_size: config.queue_size / 2, ..config };
        let instance = Instance::start(&storage, half, true).await;
        assert_eq!(storage.pending(), ["p6", "p7"]);
        assert_eq!((instance.node.restored(), instance.reasons()), (12, vec![("queue_full", 6)]));
        instance.shutdown().await;
    }
}

/// *Scenario*: the storage has no room for a payload, cannot write one, cannot read one for a while and one at all, and has one that is damaged.
/// *Guarantees*: each is dropped with its reason, the pipeline continues, and the others arrive.
#[tokio::test(start_paused = true)]
async fn a_storage_that_fails_drops_with_its_reason() {
    let storage = MemoryStorage::default();
    let mut instance =
        Instance::start(&storage, QueueConfig { num_consumers: 1, ..QueueConfig::default() }, false).await;
    let failed = || StorageError::Failed("EIO".into());
    storage.0.lock().unwrap().writes.extend([StorageError::Full("full".into()), failed()]);
    instance.put(10, &["full", "failed", "stored"]).await;
    instance.settle().await;
    storage.0.lock().unwrap().reads.extend([failed(), failed()]);
    instance.put(20, &["later"]).await;
    instance.settle().await;
    storage.0.lock().unwrap().reads.extend([
        failed(),
        failed(),
        failed(),
        StorageError::Damaged("bit".into()),
    ]);
    instance.put(30, &["unreadable", "damaged", "good"]).await;
    instance.settle().await;
    assert_eq!(instance.delivered(), ["stored", "later", "good"]);
    let expected = [("storage_damaged", 3), ("storage_failed", 6), ("storage_full", 3)];
    let mut reasons = instance.reasons();
    reasons.sort_unstable();
    assert_eq!(reasons, expected);
    assert_eq!(storage.pending(), Vec::<String>::new());
    instance.shutdown().await;
}

/// *Scenario*: the storage removes payloads of a queue that waits for its server, because they are too old or others need the room.
/// *Guarantees*: they are dropped with the reason of the storage when the next window arrives, and their room in the queue is free.
#[tokio::test(start_paused = true)]
async fn what_the_storage_removes_is_dropped() {
    let storage = MemoryStorage::default();
    let config =
        QueueConfig { num_consumers: 1, max_bytes: Some(ByteSize::mib(4)), ..QueueConfig::default() };
    let mut instance = Instance::start(&storage, config, true).await;
    for number in 0..6 {
        instance.put(number, &[&format!("p{number}")]).await;
        tokio::task::yield_now().await;
    }
    // The first one is being delivered, and may still arrive.
    storage.remove(3, DropReason::STORAGE_EXPIRED);
    storage.remove(1, DropReason::STORAGE_FULL);
    instance.put(9, &["p9"]).await;
    assert_eq!(instance.reasons(), [("storage_expired", 6), ("storage_full", 3)]);
    assert_eq!(instance.node.queue_size(), 4);
    instance.world.results.lock().unwrap().clear();
    instance.settle().await;
    assert_eq!(instance.delivered(), ["p0", "p4", "p5", "p9"]);
    instance.shutdown().await;
}

/// *Scenario*: windows and records after a watermark.
/// *Guarantees*: a payload is stored with the tick of the pipeline: the end of its window, or the last watermark before its records. The storage is
/// synced, at most once a second.
#[tokio::test(start_paused = true)]
async fn payloads_are_stored_with_their_tick() {
    let storage = MemoryStorage::default();
    let mut instance = Instance::start(&storage, QueueConfig::default(), true).await;
    instance.put(7, &["window"]).await;
    instance.queue.set_tick(&Batch::PassEnd(PassEnd { tick: UnixNanos(9), last: false }));
    instance.queue.set_tick(&Batch::records(Vec::new()));
    instance.node.add_incoming(1);
    let payload = Payload { bytes: "records".into(), items: 1, traffic_bytes: 1 };
    instance.queue.put_batch(Duration::ZERO, vec![payload]).await.unwrap();
    let ticks: Vec<u64> = storage.0.lock().unwrap().records.iter().map(|(_, it)| it.tick.0).collect();
    assert_eq!(ticks, [7, 9]);
    tokio::time::sleep(Duration::from_secs(5)).await;
    let syncs = storage.0.lock().unwrap().syncs;
    assert!((1..=2).contains(&syncs), "{syncs}");
    instance.shutdown().await;
    assert!(storage.0.lock().unwrap().syncs > syncs);
}
