mod damage;
mod directory;
mod faults;
mod memory_disk;
mod model;
mod retention;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use longwave_pipeline::component::{NewRecord, RecordKey, Signal, StoredRecord};
use longwave_pipeline::model::UnixNanos;

use super::queue_log::LoadedQueue;
use super::store::{Store, StoreLimits};
use memory_disk::MemoryDisk;

const DIRECTORY: &str = "/store";
const EXPORTER: &str = "otlp_grpc/backend";

/// A store with one open queue, on a disk in memory.
struct TestStore {
    store: Store,
    queue: String,
    /// What the queue had when it was opened.
    loaded: LoadedQueue,
}

fn limits(bytes: u64) -> StoreLimits {
    StoreLimits { bytes, age: None, fsync: true }
}

impl TestStore {
    fn open(disk: &MemoryDisk, limits: StoreLimits) -> Self {
        Self::try_open(disk, limits).unwrap_or_else(|error| panic!("{error}: {:?}", error.source))
    }

    fn try_open(
        disk: &MemoryDisk,
        limits: StoreLimits,
    ) -> Result<Self, longwave_pipeline::component::ComponentError> {
        use super::disk::Disk;
        // A disk that another store used has the directory already.
        disk.create_directory(Path::new(DIRECTORY)).unwrap();
        let store = Store::load(Arc::new(disk.clone()), Path::new(DIRECTORY), limits, None)?;
        let (queue, loaded) = store.open(EXPORTER, Signal::Logs)?;
        Ok(Self { store, queue, loaded })
    }

    fn append(&self, payload: &[u8]) -> Result<RecordKey, longwave_pipeline::component::StorageError> {
        self.append_at(payload, UnixNanos(1))
    }

    fn append_at(
        &self,
        payload: &[u8],
        now: UnixNanos,
    ) -> Result<RecordKey, longwave_pipeline::component::StorageError> {
        self.store.append(&self.queue, &record(payload), now)
    }

    fn done(&self, key: RecordKey) {
        self.store.done(&self.queue, &[key]);
    }

    fn sync(&self) {
        self.store.sync(&self.queue);
    }

    fn read(&self, key: RecordKey) -> Result<Vec<u8>, longwave_pipeline::component::StorageError> {
        self.store.read(&self.queue, key)
    }

    /// Reads all payloads that were there when the store was opened.
    fn restored(&self) -> Vec<Vec<u8>> {
        self.loaded.records.iter().filter_map(|record| self.read(record.key).ok()).collect()
    }
}

/// A record whose counts follow from its payload.
fn record(payload: &[u8]) -> NewRecord {
    let len = payload.len() as u64;
    NewRecord {
        bytes: payload.to_vec().into(),
        items: len * 3 + 1,
        traffic_bytes: len * 7,
        tick: UnixNanos(len * 11),
    }
}

fn assert_counts(stored: &StoredRecord) {
    let len = u64::from(stored.key.len);
    let counts = (stored.items, stored.traffic_bytes, stored.tick);
    assert_eq!(counts, (len * 3 + 1, len * 7, UnixNanos(len * 11)));
}

/// *Scenario*: payloads of all sizes from none to some MiB are written, some are done, and the store is opened again, twice.
/// *Guarantees*: the others are there in their order, byte for byte and with their counts. What is done never comes back. When all are done, no file
/// is left.
#[test]
fn what_is_not_done_comes_back_in_order() {
    let disk = MemoryDisk::default();
    let payloads: Vec<Vec<u8>> =
        [0, 1, 100, 5000, 300_000, 3_000_000].iter().map(|len| vec![*len as u8; *len]).collect();
    let store = TestStore::open(&disk, limits(1 << 30));
    let keys: Vec<_> = payloads.iter().map(|payload| store.append(payload).unwrap()).collect();
    store.done(keys[1]);
    store.done(keys[4]);
    // Marking twice has no effect.
    store.done(keys[1]);
    drop(store);
    for _ in 0..2 {
        let store = TestStore::open(&disk.after_kill(), limits(1 << 30));
        let expected: Vec<_> = [0, 2, 3, 5].iter().map(|index| payloads[*index].clone()).collect();
        assert_eq!(store.restored(), expected);
        store.loaded.records.iter().for_each(assert_counts);
        assert_eq!((store.loaded.damage, store.loaded.cut_bytes), Default::default());
    }
    let disk = disk.after_kill();
    let store = TestStore::open(&disk, limits(1 << 30));
    let newer = store.append(b"newer").unwrap();
    assert!(newer.sequence > keys[5].sequence);
    store.loaded.records.iter().for_each(|record| store.done(record.key));
    store.done(newer);
    drop(store);
    TestStore::open(&disk, limits(1 << 30));
    assert_eq!(disk.paths(), Vec::<std::path::PathBuf>::new());
}

/// *Scenario*: ids of exporters with every kind of character.
/// *Guarantees*: the name of the directory is unambiguous and has only safe characters.
#[test]
fn queue_names_are_reversible() {
    use super::queue_name::{make, parse};
    assert_eq!(make("otlp_grpc/backend.eu", Signal::Metrics), "queue-otlp_grpc~2Fbackend~2Eeu.metrics");
    for exporter in ["otlp", "a/b", "a~2Fb", "ü/ .-_", "..", "a\u{0}b"] {
        for signal in [Signal::Metrics, Signal::Logs] {
            let name = make(exporter, signal);
            assert!(!name.contains('/') && !name.contains('\u{0}'));
            assert_eq!(parse(&name), Some((exporter.to_owned(), signal)));
        }
    }
    for other in
        ["STORE", "lost+found", "queue-a.traces", "queue-a~2fb.logs", "queue-~.logs", "queue-~é.logs"]
    {
        assert_eq!(parse(other), None, "{other}");
    }
}

/// *Scenario*: a queue is opened while a former instance of the exporter still has it, and by another one after that, as during two reloads. Each
/// stores one payload and closes the queue.
/// *Guarantees*: each waits for the one before it, which is informed of that, and gets what those before it have left.
#[test]
fn a_queue_has_one_user() {
    use super::queue::StoreQueue;
    let disk = MemoryDisk::default();
    super::disk::Disk::create_directory(&disk, Path::new(DIRECTORY)).unwrap();
    let store = Store::load(Arc::new(disk), Path::new(DIRECTORY), limits(1 << 20), None).unwrap();
    let store = Arc::new(store);
    let first = StoreQueue::open(&store, EXPORTER, Signal::Logs).unwrap();
    assert!(!first.queue.is_wanted());
    let name = super::queue_name::make(EXPORTER, Signal::Logs);
    let (opened, order) = std::sync::mpsc::channel();
    let next = |number: usize| {
        let (of_thread, opened) = (Arc::clone(&store), opened.clone());
        let thread = std::thread::spawn(move || {
            let queue = StoreQueue::open(&of_thread, EXPORTER, Signal::Logs).unwrap();
            opened.send((number, queue.records.len(), queue.queue.is_wanted())).unwrap();
            queue.queue.append(record(b"x")).unwrap();
        });
        // The thread waits for the lock of the store only for a moment.
        for _ in 0..10_000 {
            if store.waiting(&name) == number {
                return thread;
            }
            std::thread::yield_now();
        }
        panic!("number {number} does not wait");
    };
    let threads = [next(1), next(2)];
    assert!(first.queue.is_wanted());
    first.queue.append(record(b"x")).unwrap();
    assert!(order.try_recv().is_err());
    drop(first);
    let limit = Duration::from_secs(60);
    assert_eq!(order.recv_timeout(limit), Ok((1, 1, true)));
    assert_eq!(order.recv_timeout(limit), Ok((2, 2, false)));
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

/// *Scenario*: a store has requests of one exporter that has not opened its queue, of one that has closed it, and of one that has it open.
/// *Guarantees*: the first two are reported as unused once the time has passed, and the third one is not.
#[test]
fn unused_queues_are_found() {
    let disk = MemoryDisk::default();
    let store = TestStore::open(&disk, limits(1 << 20));
    for exporter in ["closed", "open"] {
        let (queue, _) = store.store.open(exporter, Signal::Metrics).unwrap();
        store.store.append(&queue, &record(b"x"), UnixNanos(1)).unwrap();
    }
    store.append(b"x").unwrap();
    drop(store);
    let store =
        Store::load(Arc::new(disk.after_kill()), Path::new(DIRECTORY), limits(1 << 20), None).unwrap();
    let (closed, _) = store.open("closed", Signal::Metrics).unwrap();
    store.open("open", Signal::Metrics).unwrap();
    store.close(&closed);
    let expected = [("closed".to_owned(), Signal::Metrics, 1), (EXPORTER.to_owned(), Signal::Logs, 1)];
    assert_eq!(store.unused(Duration::ZERO), expected);
    assert_eq!(store.unused(Duration::from_secs(3600)), []);
}
