//! `file_storage` on real file systems: processes that are killed, and disks that are full or read-only.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;

use bytes::Bytes;
use longwave_config::{ConfigPath, Value};
use longwave_pipeline::component::{
    ComponentError, DropReason, ExtensionContext, Health, NewRecord, OpenedQueue, RecordKey, Running, Signal,
    Storage, StoredQueue,
};
use longwave_pipeline::model::UnixNanos;
use longwave_testing::{gate, harness, tests};
use opentelemetry::metrics::MeterProvider;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use tokio_util::sync::CancellationToken;

/// First argument of a process that writes to a store until it is killed. The second one is the directory, the third one the number of its first
/// payload.
const WRITER: &str = "--writer";
/// More than the writers store, so that nothing is removed.
const MAX_SIZE: &str = "1GiB";

/// Opens the queue of an exporter. It stays open until the returned values are dropped.
fn open(directory: &Path, max_size: &str) -> Result<(OpenedQueue, Running), ComponentError> {
    let section = serde_json::json!({"directory": directory, "max_size": max_size, "timeout": "60s"});
    let section = Value::from_serialize(&section).unwrap();
    let factory = longwave_extensions::file_storage::factory();
    let prepared = factory.prepare(&section, &ConfigPath::from("extensions::file_storage"));
    let meter = SdkMeterProvider::default().meter("test");
    let context = ExtensionContext { id: "file_storage".into(), meter, health: Health::default() };
    let extension = (prepared.ok().unwrap().create)(context)?;
    let storage: Arc<dyn Storage> = extension.storage().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let running = runtime.block_on(extension.start(CancellationToken::new()))?;
    Ok((storage.open("otlp_grpc", Signal::Metrics)?, running))
}

/// Returns a payload that its number determines.
fn payload(number: u64) -> Bytes {
    // Most requests are small, and some have 2 MiB.
    let len = if number % 40 == 39 { 2 << 20 } else { 8 + (number * 7919 % 30_000) as usize };
    let mut bytes = vec![number as u8; len];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    bytes.into()
}

fn record(number: u64) -> NewRecord {
    NewRecord { bytes: payload(number), items: number, traffic_bytes: 0, tick: UnixNanos(number) }
}

/// Stores payloads, marks some, and prints each step before and after it, until the process is killed.
fn write_until_killed() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let (opened, _running) = open(Path::new(&arguments[2]), MAX_SIZE).ok().unwrap();
    let mut number: u64 = arguments[3].parse().unwrap();
    let mut pending: Vec<(u64, RecordKey)> = opened.records.iter().map(|it| (it.items, it.key)).collect();
    let mut out = std::io::stdout().lock();
    let mut say = move |what: &str, number: u64| writeln!(out, "{what} {number}.").unwrap();
    loop {
        say("storing", number);
        let key = opened.queue.append(record(number)).unwrap();
        say("stored", number);
        pending.push((number, key));
        number += 1;
        // The server responds to most requests.
        if !number.is_multiple_of(3) || pending.len() > 20 {
            let (done, key) = pending.remove(0);
            say("marking", done);
            opened.queue.done(&[key]);
            say("marked", done);
        }
        if number.is_multiple_of(16) {
            opened.queue.sync();
        }
    }
}

/// Number of times that the writer is killed. `LONGWAVE_KILLS` sets it.
fn kills() -> u64 {
    std::env::var("LONGWAVE_KILLS").ok().and_then(|count| count.parse().ok()).unwrap_or(40)
}

/// What a process said before it was killed.
#[derive(Default)]
struct LastWords {
    /// Payloads that were stored and not marked.
    pending: BTreeSet<u64>,
    /// The payload that was being stored or marked.
    uncertain: BTreeSet<u64>,
    /// Number that the next process begins with.
    next: u64,
}

impl LastWords {
    fn hear(&mut self, line: &str) {
        // The last line may be cut.
        let Some((what, number)) = line.strip_suffix('.').and_then(|line| line.split_once(' ')) else {
            return;
        };
        let number: u64 = number.parse().unwrap();
        match what {
            "storing" => {
                self.next = number + 1;
                self.uncertain.insert(number);
            }
            "stored" => {
                self.uncertain.remove(&number);
                self.pending.insert(number);
            }
            "marking" => {
                self.pending.remove(&number);
                self.uncertain.insert(number);
            }
            "marked" => drop(self.uncertain.remove(&number)),
            other => panic!("{other}"),
        }
    }
}

/// *Scenario*: a process stores payloads and marks them, and is killed (SIGKILL) at a random moment. The next process continues with the store. This is repeated many times.
/// *Guarantees*: after each kill, every payload that was stored and not marked is there, byte for byte and in order, and no payload that was marked.
/// Only the one that was being stored or marked may or may not be there. No damage is found.
fn killed_at_random_moments() {
    // A process that begins has the open files of the others for a moment, so that a removed one still takes room.
    let _turn = gate::alone();
    let folder = tempfile::tempdir().unwrap();
    let mut random = fastrand::Rng::with_seed(7);
    let mut words = LastWords { next: 1, ..LastWords::default() };
    let (mut uncertain, mut cut) = (0, 0);
    for kill in 0..kills() {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .arg(WRITER)
            .arg(folder.path())
            .arg(words.next.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        lines.by_ref().take(random.usize(1..150)).for_each(|line| words.hear(&line.unwrap()));
        child.kill().unwrap();
        // It has written more lines meanwhile.
        lines.for_each(|line| words.hear(&line.unwrap()));
        child.wait().unwrap();
        assert!(words.uncertain.len() <= 1);
        uncertain += words.uncertain.len();
        let report = longwave_extensions::file_storage::verify(folder.path()).unwrap();
        assert_eq!(report.damage, Vec::<String>::new(), "kill {kill}");
        let (opened, _running) = open(folder.path(), MAX_SIZE).ok().unwrap();
        assert_eq!(opened.damaged, 0, "kill {kill}");
        let after = longwave_extensions::file_storage::verify(folder.path()).unwrap();
        assert_eq!((after.requests, after.items), (report.requests, report.items), "kill {kill}");
        cut += u64::from(after.bytes < report.bytes && after.segments == report.segments);
        let restored: BTreeSet<u64> = opened.records.iter().map(|it| it.items).collect();
        assert!(opened.records.is_sorted_by_key(|it| it.items), "kill {kill}: {restored:?}");
        for stored in &opened.records {
            assert_eq!(stored.tick, UnixNanos(stored.items));
            assert_eq!(opened.queue.read(stored.key).unwrap(), payload(stored.items), "kill {kill}");
        }
        let wrong: Vec<_> = restored.symmetric_difference(&words.pending).collect();
        assert!(
            wrong.iter().all(|number| words.uncertain.contains(number)),
            "kill {kill}: {wrong:?} of {restored:?}"
        );
        words.pending = restored;
        words.uncertain.clear();
    }
    assert!(words.next > kills(), "the writers stored nothing");
    assert!(
        uncertain > 0,
        "no process was killed within an operation, of which {cut} left an incomplete record"
    );
}

/// A file system in memory with a limited size. It is unmounted when dropped.
struct Tmpfs(tempfile::TempDir);

impl Tmpfs {
    fn mount(options: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(folder.path()).status();
        assert!(mounted.unwrap().success());
        Self(folder)
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        // A mount that is left is removed at the next boot.
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
    }
}

/// Returns the payloads that the storage still has.
fn numbers(queue: &dyn StoredQueue, keys: &BTreeMap<u64, RecordKey>) -> Vec<u64> {
    let readable = keys.iter().filter(|(number, key)| {
        let read = queue.read(**key);
        assert!(read.as_ref().map_or(true, |bytes| *bytes == payload(**number)));
        read.is_ok()
    });
    readable.map(|(number, _)| *number).collect()
}

/// *Scenario*: a real file system of 20 MiB, and a store that may be larger: more is stored than there is room for. Then another program fills the
/// disk, and later gives the room back.
/// *Guarantees*: without the other program nothing is refused, and the newest payloads are there. With it, payloads are refused as `storage_full`, and
/// afterwards accepted again. What is there is what was stored, also after a restart.
fn a_full_disk_drops_the_oldest() {
    let _turn = gate::privileged();
    let disk = Tmpfs::mount("size=20m");
    let directory = disk.0.path().join("store");
    let (opened, running) = open(&directory, "1GiB").ok().unwrap();
    let mut keys = BTreeMap::new();
    for number in 1..=1600 {
        keys.insert(number, opened.queue.append(record(number)).unwrap());
    }
    let found = numbers(&*opened.queue, &keys);
    assert_eq!(found.last(), Some(&1600));
    assert!(found.len() < keys.len());
    let expected: Vec<u64> = keys.keys().copied().skip(keys.len() - found.len()).collect();
    assert_eq!(found, expected);

    let other = disk.0.path().join("other");
    let mut file = std::fs::File::create(&other).unwrap();
    let mut number = 1600;
    let refused = loop {
        // Fails when the disk is full.
        while file.write_all(&[1; 4096]).is_ok() {}
        number += 1;
        match opened.queue.append(record(number)) {
            Ok(key) => drop(keys.insert(number, key)),
            Err(error) => break error,
        }
        assert!(number < 10_000, "nothing is refused");
    };
    assert_eq!(refused.reason(), DropReason::STORAGE_FULL);
    drop(file);
    std::fs::remove_file(other).unwrap();
    for number in 10_001..=10_010 {
        keys.insert(number, opened.queue.append(record(number)).unwrap());
    }
    let found = numbers(&*opened.queue, &keys);
    assert!(found.ends_with(&(10_001..=10_010).collect::<Vec<_>>()));
    drop((opened, running));
    let (opened, _running) = open(&directory, "1GiB").ok().unwrap();
    assert_eq!(opened.records.iter().map(|it| it.items).collect::<Vec<_>>(), found);
}

/// *Scenario*: a read-only file system.
/// *Guarantees*: the start fails with the directory, the cause and the remedy.
fn a_read_only_disk_is_an_error() {
    let _turn = gate::privileged();
    let disk = Tmpfs::mount("size=1m,ro");
    let error = open(disk.0.path(), "8MiB").err().unwrap().to_string();
    insta::assert_snapshot!(
        error.replace(&disk.0.path().display().to_string(), "DIR"),
        @"extensions::file_storage: directory: DIR: its file system is read-only: mount it writable, or choose another directory"
    );
}

fn main() -> ExitCode {
    if harness::started_as(WRITER) {
        return write_until_killed();
    }
    harness::run(tests![killed_at_random_moments, a_full_disk_drops_the_oldest, a_read_only_disk_is_an_error])
}
