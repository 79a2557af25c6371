//! The extension on real directories.

use std::fs;
use std::path::PathBuf;

use longwave_pipeline::component::{
    ComponentConfig, ComponentError, Extension, ExtensionContext, Health, Problems, Running, Storage,
};
use opentelemetry::metrics::MeterProvider;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::file_storage::{FileStorage, FileStorageConfig, StoreReport, verify};

fn config(directory: impl Into<PathBuf>) -> FileStorageConfig {
    let timeout = longwave_config::GoDuration::from_secs(0);
    FileStorageConfig { directory: directory.into(), timeout, ..FileStorageConfig::default() }
}

fn create(config: &FileStorageConfig) -> Result<FileStorage, ComponentError> {
    let meter = SdkMeterProvider::default().meter("test");
    FileStorage::new(
        config,
        &ExtensionContext { id: "file_storage".into(), meter, health: Health::default() },
    )
}

/// Starts the extension. The store is open until the returned values are dropped.
async fn start(config: &FileStorageConfig) -> Result<(Arc<dyn Storage>, Running), ComponentError> {
    let extension = create(config)?;
    let storage = extension.storage().unwrap();
    Ok((storage, Box::new(extension).start(CancellationToken::new()).await?))
}

async fn error(config: &FileStorageConfig) -> String {
    let error = start(config).await.err().unwrap();
    let cause = error.source.as_ref().map_or(String::new(), |source| format!(": {source}"));
    format!("{error}{cause}").replace(&config.directory.display().to_string(), "DIR")
}

/// *Scenario*: payloads are written to files, and the extension starts again; meanwhile and afterwards the store is verified.
/// *Guarantees*: the payloads are there. The verification counts them, reports no damage, and changes nothing.
#[tokio::test]
async fn payloads_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path().join("a/b"));
    let (storage, running) = start(&config).await.unwrap();
    let opened = storage.open(EXPORTER, Signal::Logs).unwrap();
    let keys = [b"one", b"two"].map(|payload| opened.queue.append(record(payload)).unwrap());
    opened.queue.done(&keys[..1]);
    opened.queue.sync();
    let report = verify(&config.directory).unwrap();
    let bytes = 32 + 2 * (64 + 3);
    assert_eq!(report, StoreReport { segments: 1, requests: 1, items: 10, bytes, damage: Vec::new() });
    drop((opened, storage, running));
    let (storage, _running) = start(&config).await.unwrap();
    let opened = storage.open(EXPORTER, Signal::Logs).unwrap();
    assert_eq!(opened.records.iter().map(|it| it.key).collect::<Vec<_>>(), keys[1..]);
    assert_eq!(opened.queue.read(keys[1]).unwrap(), "two");
    assert_eq!(storage.open(EXPORTER, Signal::Metrics).unwrap().records, []);
    assert_eq!(verify(&config.directory).unwrap(), report);
    assert_eq!(verify(&folder.path().join("missing")).unwrap(), StoreReport::default());
}

/// *Scenario*: a wrong bit in a payload, in a record's header, in a segment's header, and in the file with the version.
/// *Guarantees*: the verification finds each and names the file. The version is written again at the next start.
#[tokio::test]
async fn the_verification_finds_damage() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let (storage, running) = start(&config).await.unwrap();
    let opened = storage.open("otlp", Signal::Logs).unwrap();
    opened.queue.append(record(b"one")).unwrap();
    opened.queue.append(record(b"two")).unwrap();
    drop((opened, storage, running));
    let segment = folder.path().join("queue-otlp.logs/0000000000000001.seg");
    let whole = fs::read(&segment).unwrap();
    let mut found = Vec::new();
    for position in [whole.len() - 1, 32 + 60, 20] {
        let mut bytes = whole.clone();
        bytes[position] ^= 4;
        fs::write(&segment, bytes).unwrap();
        found.extend(verify(folder.path()).unwrap().damage);
    }
    fs::write(&segment, &whole).unwrap();
    let store = folder.path().join("STORE");
    let text = fs::read_to_string(&store).unwrap();
    fs::write(&store, text.replace('1', "3")).unwrap();
    found.extend(verify(folder.path()).unwrap().damage);
    insta::assert_snapshot!(found.join("\n"), @"
    queue-otlp.logs/0000000000000001.seg: request 2 is damaged and will be dropped (10 items)
    queue-otlp.logs/0000000000000001.seg: lost requests: 1
    queue-otlp.logs/0000000000000001.seg: damaged parts: 1, without loss of a request
    STORE: the version is incomplete or damaged
    ");
    drop(start(&config).await.unwrap());
    assert_eq!(fs::read_to_string(&store).unwrap(), text);
}

/// *Scenario*: a directory that is missing, that another process uses, that a newer version has written, and that is a file.
/// *Guarantees*: each is an error that names the directory, the cause and the remedy.
#[tokio::test]
async fn a_directory_that_cannot_be_used_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let missing = FileStorageConfig { create_directory: false, ..config(folder.path().join("missing")) };
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let newer = folder.path().join("newer");
    fs::create_dir(&newer).unwrap();
    let line = "longwave file_storage 2";
    fs::write(newer.join("STORE"), format!("{line} {:08x}\n", crc32fast::hash(line.as_bytes()))).unwrap();
    // The lock of another open file excludes this process as that of another process does.
    let used = folder.path().join("used");
    fs::create_dir(&used).unwrap();
    let lock = fs::File::create(used.join("STORE")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive).unwrap();
    let mut errors = Vec::new();
    for config in [missing, config(file.join("below")), config(newer), config(&used)] {
        errors.push(error(&config).await);
    }
    insta::assert_snapshot!(errors.join("\n"), @"
    extensions::file_storage: directory: DIR: does not exist: create it, or set create_directory: true
    extensions::file_storage: directory: DIR: cannot be created: create it for the user of Longwave, or choose another directory: Not a directory (os error 20)
    extensions::file_storage: directory: DIR/STORE: a newer Longwave has written this store (version 2, this one reads up to 1): start the newer one until its queues are empty, or choose another directory
    extensions::file_storage: directory: DIR: another process uses it: stop that one (is Longwave running twice?), or give each its own directory: Resource temporarily unavailable (os error 11)
    ");
    drop(lock);
    drop(start(&config(used)).await.unwrap());
}

/// *Scenario*: an extension with other limits starts on the directory of one that has not ended, as during a reload.
/// *Guarantees*: both have the same store. The lock ends with the last one.
#[tokio::test]
async fn a_reload_hands_the_store_over() {
    let folder = tempfile::tempdir().unwrap();
    let (former, running) = start(&config(folder.path())).await.unwrap();
    let opened = former.open(EXPORTER, Signal::Logs).unwrap();
    opened.queue.append(record(b"x")).unwrap();
    let changed = FileStorageConfig { fsync: false, ..config(folder.path()) };
    let (next, next_running) = start(&changed).await.unwrap();
    let waiting = {
        let next = Arc::clone(&next);
        tokio::task::spawn_blocking(move || next.open(EXPORTER, Signal::Logs).unwrap().records.len())
    };
    drop((opened, former, running));
    assert_eq!(waiting.await.unwrap(), 1);
    drop((next, next_running));
    let lock = fs::File::open(folder.path().join("STORE")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive).unwrap();
}

/// *Scenario*: an extension with a smaller limit starts on the directory of another one, and ends first, as in a reload that is refused. Another one
/// starts likewise, and the first one ends, as in a reload that takes effect.
/// *Guarantees*: the refused one removes nothing. The limit of the other one takes effect when the first one ends.
#[tokio::test]
async fn limits_take_effect_with_the_reload() {
    let folder = tempfile::tempdir().unwrap();
    let (storage, running) = start(&config(folder.path())).await.unwrap();
    let opened = storage.open(EXPORTER, Signal::Logs).unwrap();
    for _ in 0..10 {
        opened.queue.append(record(&vec![1; 1 << 20])).unwrap();
    }
    let requests = || verify(folder.path()).unwrap().requests;
    let smaller = FileStorageConfig { max_size: longwave_config::ByteSize::mib(8), ..config(folder.path()) };
    drop(start(&smaller).await.unwrap());
    assert_eq!(requests(), 10);
    let _next = start(&smaller).await.unwrap();
    assert_eq!(requests(), 10);
    drop(running);
    assert!((1..8).contains(&requests()), "{}", requests());
}

/// *Scenario*: settings out of their bounds.
/// *Guarantees*: each is an error with its key.
#[test]
fn settings_have_bounds() {
    let config: FileStorageConfig = serde_json::from_value(serde_json::json!({
        "directory": "", "directory_permissions": "0678", "timeout": "1h", "max_size": "1MiB", "max_age": "1s",
    }))
    .unwrap();
    let mut problems = Problems::default();
    config.validate(&mut problems);
    insta::assert_debug_snapshot!(problems);
    let mut problems = Problems::default();
    FileStorageConfig::default().validate(&mut problems);
    assert_eq!(format!("{problems:?}"), "Problems { found: [] }");
}
