//! Outages and reloads with queues that `file_storage` stores.

use std::path::Path;
use std::sync::Arc;

use longwave_extensions::file_storage::{StoreReport, verify};
use serde_json::{Value, json};

use crate::bench::Bench;
use crate::gate::{Gate, Rules, free_address};
use crate::server::{self, ServerState};
use crate::{BATCHES, Outcome, PROTOCOLS, section};

/// Batches of ten minutes with one a second.
const TEN_MINUTES: u64 = 600;

/// A server that is down at first, a graph whose queues are stored, and the directory of the store.
struct StoredBench {
    bench: Bench,
    state: Arc<ServerState>,
    section: Value,
    storage: Value,
    folder: tempfile::TempDir,
    address: std::net::SocketAddr,
    server: std::net::SocketAddr,
}

// === impl StoredBench ===

impl StoredBench {
    async fn start(protocol: &str) -> Self {
        let state = ServerState::new(&[]);
        let server = server::start(protocol, Arc::clone(&state)).await;
        let address = free_address().await;
        let (section, folder) = (section(protocol, address), tempfile::tempdir().unwrap());
        let storage = json!({"directory": folder.path().join("store")});
        let bench = Bench::start_with_storage(protocol, section.clone(), Some(&storage)).await;
        Self { bench, state, section, storage, folder, address, server }
    }

    /// Sends batches, and waits until they are stored.
    async fn store(&mut self, batches: u64) {
        self.bench.send(batches);
        self.bench.await_encoded().await;
    }

    async fn open_gate(&self) -> Gate {
        Gate::open(self.address, self.server, Rules::default()).await
    }

    /// Returns what the store contains, which must not be damaged.
    fn stored(&self) -> StoreReport {
        let report = verify(Path::new(self.storage["directory"].as_str().unwrap())).unwrap();
        assert_eq!(report.damage, Vec::<String>::new());
        report
    }

    /// Lets the server be up, sends more, and stops. Fails unless all has arrived exactly once, nothing was dropped, and the store is empty.
    async fn finish(mut self) {
        let _gate = self.open_gate().await;
        self.bench.send(BATCHES);
        self.bench.await_all().await;
        assert_eq!(self.stored().requests, 0);
        let Self { bench, state, .. } = self;
        for (dropped, lines) in bench.finish(&state).await {
            assert_eq!(dropped, Vec::<String>::new(), "{lines:#?}");
        }
    }
}

/// *Scenario*: a server is down while as many requests are sent as in ten minutes with one a second for each signal, once with the queue in memory
/// and once with a stored one. Then it is back.
/// *Guarantees*: every window and log record arrives exactly once and in order. The log has two lines for each signal. The stored queue contains all
/// requests during the outage and none afterwards.
#[tokio::test]
async fn ten_minutes_under_load() {
    for protocol in PROTOCOLS {
        let state = ServerState::new(&[]);
        let server = server::start(protocol, Arc::clone(&state)).await;
        let address = free_address().await;
        let mut bench = Bench::start(protocol, section(protocol, address)).await;
        bench.send(TEN_MINUTES);
        bench.await_encoded().await;
        bench.await_retries().await;
        let _gate = Gate::open(address, server, Rules::default()).await;
        bench.await_all().await;
        Outcome::Retried.assert(&format!("ten minutes, {protocol}"), bench.finish(&state).await);

        let mut stored = StoredBench::start(protocol).await;
        stored.store(TEN_MINUTES).await;
        stored.bench.await_retries().await;
        assert_eq!(stored.stored().requests, 2 * TEN_MINUTES);
        let _gate = stored.open_gate().await;
        stored.bench.await_all().await;
        assert_eq!(stored.stored().requests, 0);
        let StoredBench { bench, state, .. } = stored;
        Outcome::Retried.assert(&format!("ten minutes, stored, {protocol}"), bench.finish(&state).await);
    }
}

/// *Scenario*: the server is down. The settings of the storage change, with the same directory, and later those of the exporter.
/// *Guarantees*: what uses a changed component restarts, and goes on with its queue: every window and log record arrives once and in order.
#[tokio::test]
async fn changed_settings() {
    for protocol in PROTOCOLS {
        let mut stored = StoredBench::start(protocol).await;
        stored.store(BATCHES).await;
        stored.storage["max_size"] = "64MiB".into();
        let started = stored.bench.reload(stored.section.clone(), Some(&stored.storage)).await;
        let exporter = format!("exporters::{protocol}");
        assert_eq!(started, ["extensions::file_storage", &exporter, &exporter]);
        stored.store(BATCHES).await;
        stored.section["timeout"] = "7s".into();
        let started = stored.bench.reload(stored.section.clone(), Some(&stored.storage)).await;
        assert_eq!(started, [exporter.clone(), exporter]);
        stored.store(BATCHES).await;
        assert_eq!(stored.stored().requests, 2 * 3 * BATCHES);
        stored.finish().await;
    }
}

/// *Scenario*: a reload gives the queues a storage while the server is up. In an outage, a reload takes it away, and the next one brings it back.
/// *Guarantees*: nothing is lost, and nothing arrives twice. The requests stay in the files until the storage is back.
#[tokio::test]
async fn storages_come_and_go() {
    for protocol in PROTOCOLS {
        let mut stored = StoredBench::start(protocol).await;
        stored.bench.reload(stored.section.clone(), None).await;
        let gate = stored.open_gate().await;
        stored.bench.send(BATCHES);
        stored.bench.reload(stored.section.clone(), Some(&stored.storage)).await;
        stored.bench.await_all().await;
        gate.close().await;
        stored.store(BATCHES).await;
        stored.bench.reload(stored.section.clone(), None).await;
        assert_eq!(stored.stored().requests, 2 * BATCHES);
        stored.bench.reload(stored.section.clone(), Some(&stored.storage)).await;
        stored.finish().await;
    }
}

/// *Scenario*: the server is down. A reload gives the store another directory, and the next one the former directory.
/// *Guarantees*: the requests stay in the directory in which they are, and arrive once when it is back.
#[tokio::test]
async fn another_directory() {
    for protocol in PROTOCOLS {
        let mut stored = StoredBench::start(protocol).await;
        stored.store(BATCHES).await;
        let other = json!({"directory": stored.folder.path().join("other")});
        stored.bench.reload(stored.section.clone(), Some(&other)).await;
        stored.bench.reload(stored.section.clone(), Some(&stored.storage)).await;
        assert_eq!(stored.stored().requests, 2 * BATCHES);
        stored.finish().await;
    }
}
