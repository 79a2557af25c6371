use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use longwave_config::{ConfigPath, Value};
use longwave_pipeline::model::codec::{Block, Decoder};
use longwave_pipeline::model::{Batch, ConnectionRecord};
use longwave_testing::golden;
use serde_json::json;

use super::clients::Clients;
use super::*;
use crate::testing;

fn context() -> ExporterContext {
    testing::context("live", Signal::Logs, &[("host.name", "host-1")])
}

fn exporter(config: &LiveConfig) -> LiveExporter {
    LiveExporter::new(config, &context())
}

fn config(path: PathBuf) -> LiveConfig {
    LiveConfig { path, ..LiveConfig::default() }
}

async fn push(exporter: &mut LiveExporter, batch: &Batch) -> u64 {
    let payloads = exporter.encode(batch).unwrap();
    for payload in &payloads {
        exporter.pusher().push(payload).await.unwrap();
    }
    payloads.iter().map(|payload| payload.items).sum()
}

/// Connects and reads the session block, so that the exporter has accepted the client.
async fn connect(path: &Path) -> (UnixStream, Vec<u8>) {
    let path = path.to_owned();
    let connected = tokio::task::spawn_blocking(move || {
        let mut stream = UnixStream::connect(path).unwrap();
        let mut first = vec![0; 16];
        stream.read_exact(&mut first).unwrap();
        (stream, first)
    });
    connected.await.unwrap()
}

/// Formats records: names are equal within one interner only.
fn shown(records: &[ConnectionRecord]) -> Vec<String> {
    records.iter().map(|record| format!("{record:?}")).collect()
}

/// Reads until the server disconnects. Returns the records, and whether there was an end mark.
async fn read_all((stream, first): (UnixStream, Vec<u8>)) -> (Vec<String>, bool) {
    let read = tokio::task::spawn_blocking(move || {
        let mut decoder = Decoder::new(first.chain_with(stream)).unwrap();
        let (mut records, mut has_end) = (Vec::new(), false);
        while let Ok(Some(block)) = decoder.next() {
            match block {
                Block::Session { start, .. } => assert_eq!(start.host, "host-1"),
                Block::Records(found) => records.extend(found),
                Block::PassEnd(_) => {}
                Block::End(_) => has_end = true,
            }
        }
        (shown(&records), has_end)
    });
    read.await.unwrap()
}

trait ChainWith {
    fn chain_with(self, rest: UnixStream) -> impl Read;
}

impl ChainWith for Vec<u8> {
    fn chain_with(self, rest: UnixStream) -> impl Read {
        std::io::Cursor::new(self).chain(rest)
    }
}

/// *Scenario*: one client connects before the first records, one between two batches; then the exporter stops.
/// *Guarantees*: each client gets every record from its connection on, in order, and the end mark, which counts what that client got. All items
/// are counted as delivered. The socket is removed.
#[tokio::test]
async fn clients_get_everything_from_their_connection_on() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run/live.sock");
    let mut exporter = exporter(&config(path.clone()));
    exporter.pusher().start().await.unwrap();
    let batch = Batch::records(golden::records());
    assert_eq!(push(&mut exporter, &batch).await, batch.items(), "without a client");
    let early = connect(&path).await;
    assert_eq!(push(&mut exporter, &batch).await, batch.items());
    let late = connect(&path).await;
    push(&mut exporter, &Batch::PassEnd(golden::pass_end())).await;
    push(&mut exporter, &batch).await;
    let (early, late) = (tokio::spawn(read_all(early)), tokio::spawn(read_all(late)));
    exporter.pusher().shutdown().await.unwrap();
    let (early, late) = (early.await.unwrap(), late.await.unwrap());
    let records = shown(&golden::records());
    assert_eq!((early.0.len(), early.1), (2 * records.len(), true));
    assert!(early.0 == [records.clone(), records.clone()].concat());
    assert!(late == (records, true));
    assert!(!path.exists());
}

/// *Scenario*: no client, then a client that leaves.
/// *Guarantees*: nothing is encoded while no client is connected.
#[tokio::test]
async fn nothing_is_encoded_without_a_client() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("live.sock");
    let mut exporter = exporter(&config(path.clone()));
    exporter.pusher().start().await.unwrap();
    let batch = Batch::records(golden::records());
    let size = |exporter: &mut LiveExporter| -> usize {
        exporter.encode(&batch).unwrap().iter().map(|payload| payload.bytes.len()).sum()
    };
    assert_eq!(size(&mut exporter), 0);
    let client = connect(&path).await;
    assert!(size(&mut exporter) > 0);
    drop(client);
    // The writer notices the end; each turn of the loop lets it run.
    for _ in 0..100_000 {
        if size(&mut exporter) == 0 {
            break;
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(size(&mut exporter), 0);
    exporter.pusher().shutdown().await.unwrap();
}

/// *Scenario*: a client that does not read, one more client than the maximum, and clients that have gone.
/// *Guarantees*: the slow client is disconnected once more than the limit waits for it, the surplus one at once; both are counted. A client that
/// has gone makes room.
#[test]
fn clients_cost_no_more_than_their_limits() {
    let clients = Clients::new(2, 1_000);
    let (slow, reader) = (clients.add(b"header", b"session").unwrap(), clients.add(b"", b"").unwrap());
    assert!(clients.add(b"", b"").is_none());
    assert_eq!(clients.refused.load(Ordering::Relaxed), 1);
    for _ in 0..10 {
        clients.send(&vec![0; 99].into(), 1);
        reader.waiting.fetch_sub(99, Ordering::Relaxed);
    }
    assert_eq!((clients.len(), clients.slow.load(Ordering::Relaxed)), (1, 1));
    assert_eq!(slow.waiting.load(Ordering::Relaxed), 13 + 9 * 99, "what was queued is still delivered");
    drop(reader);
    let next = clients.add(b"", b"");
    assert!(next.is_some());
    assert_eq!(clients.len(), 1);
}

/// *Scenario*: the socket of a process that was killed; one at which a process listens; a file; a group that does not exist; a group by number.
/// *Guarantees*: the first is replaced; the others are refused with the reason and the remedy, and stay as they are. Only owner and group may
/// connect.
#[tokio::test]
async fn the_socket_is_protected() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    drop(UnixListener::bind(at("stale")).unwrap());
    let exporter_of_stale = exporter(&LiveConfig { group: Some("0".to_owned()), ..config(at("stale")) });
    exporter_of_stale.pusher().start().await.unwrap();
    let mode = std::fs::metadata(at("stale")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    let _busy = UnixListener::bind(at("busy")).unwrap();
    std::fs::write(at("file"), "x").unwrap();
    let refusal = async |config: LiveConfig| {
        let error = exporter(&config).pusher().start().await.unwrap_err().to_string();
        error.replace(&directory.path().display().to_string(), "…")
    };
    let group = Some("no such group".to_owned());
    insta::assert_snapshot!(
        [
            refusal(config(at("busy"))).await,
            refusal(config(at("file"))).await,
            refusal(config(at("file/live.sock"))).await,
            refusal(LiveConfig { group, ..config(at("new")) }).await,
        ]
        .join("\n")
    );
    assert!(at("busy").exists() && at("file").exists() && !at("new").exists());
    exporter_of_stale.pusher().shutdown().await.unwrap();
}

/// *Scenario*: settings that cannot work.
/// *Guarantees*: each is refused with its path and the limits.
#[test]
fn bad_settings_are_explained() {
    let section = json!({
        "path": "live.sock", "group": "", "max_clients": 1000, "max_client_bytes": "1KiB", "sending_queue": {"queue_size": 0},
    });
    let problems = |section: serde_json::Value| {
        let section = Value::from_serialize(&section).unwrap();
        let prepared = factory().prepare(&section, &ConfigPath::from("exporters::live"));
        prepared.err().map(|errors| errors.to_string()).unwrap_or_default()
    };
    let long = format!("/{}", "x".repeat(200));
    insta::assert_snapshot!([problems(section), problems(json!({"path": long}))].join("\n"));
    assert_eq!(problems(json!({})), "");
}
