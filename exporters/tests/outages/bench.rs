//! [`Bench`]: a running graph with a receiver that the test controls, and the real exporter.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use longwave_config::Sources;
use longwave_pipeline::component::{
    About, Accounting, ComponentConfig, ComponentError, DataKind, Factory, Health, Node, NodeKind, Problems,
    Processor, ProcessorContext, Receiver, ReceiverContext, RecordOutput, Registry, Running, Signal,
    Stability,
};
use longwave_pipeline::model::{
    Batch, ConnectionRecord, Level, Measures, Series, SeriesKey, UnixNanos, Window,
};
use longwave_pipeline::runtime::{Plan, Runtime, RuntimeEnvironment};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::subscriber::DefaultGuard;

use crate::server::ServerState;

/// Records of one batch, of which the metrics pipeline makes one window.
pub const RECORDS: u64 = 4;
/// End of the first window, in nanoseconds.
const FIRST: u64 = 1_700_000_000_000_000_000;

/// A running graph: a metrics and a logs pipeline to one exporter.
pub struct Bench {
    protocol: String,
    registry: Registry,
    environment: RuntimeEnvironment,
    batches: mpsc::UnboundedSender<Batch>,
    sent: u64,
    runtime: Runtime,
    accounting: Accounting,
    log: Log,
    _log: DefaultGuard,
}

/// Lines of the log.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

// === impl Bench ===

impl Bench {
    /// Starts the graph. All its tasks run on the thread of the test, so that its log can be read.
    pub async fn start(protocol: &str, section: Value) -> Self {
        Self::start_with_storage(protocol, section, None).await
    }

    /// Starts the graph with `storage` as the section of the extension that stores the queues.
    pub async fn start_with_storage(protocol: &str, section: Value, storage: Option<&Value>) -> Self {
        let log = Log::default();
        let writer = log.clone();
        let subscriber =
            tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        let guard = tracing::subscriber::set_default(subscriber);
        let (batches, received) = mpsc::unbounded_channel();
        let registry = registry(received);
        let accounting = Accounting::default();
        let environment = RuntimeEnvironment {
            accounting: accounting.clone(),
            meter: opentelemetry::global::meter("test"),
            resource: Arc::default(),
            health: Health::default(),
        };
        let plan = plan(&registry, protocol, section, storage);
        let runtime = Runtime::start(&plan, &environment).await.unwrap();
        let protocol = protocol.to_owned();
        Self { protocol, registry, environment, batches, sent: 0, runtime, accounting, log, _log: guard }
    }

    /// Reloads with other sections. Returns the components that have started.
    pub async fn reload(&mut self, section: Value, storage: Option<&Value>) -> Vec<String> {
        let plan = plan(&self.registry, &self.protocol, section, storage);
        let changes = self.runtime.apply(&plan, &self.environment).await.unwrap();
        assert_eq!(changes.failed.len(), 0, "{:?}", changes.failed);
        changes.started
    }

    /// Sends batches, of which each becomes a request of logs and a window.
    pub fn send(&mut self, count: u64) {
        for _ in 0..count {
            let first = self.sent * RECORDS;
            let record = |i| ConnectionRecord { observed: UnixNanos(FIRST + i), ..ConnectionRecord::blank() };
            self.batches.send(Batch::records((first..first + RECORDS).map(record).collect())).unwrap();
            self.sent += 1;
        }
    }

    /// Waits until every exporter has made a retry.
    pub async fn await_retries(&self) {
        self.wait("a retry", || self.exporters().iter().all(|node| node.retries() > 0)).await;
    }

    /// Waits until every item that was sent is in a queue, or is already delivered or dropped.
    pub async fn await_encoded(&self) {
        let ended = |node: &Arc<Node>| {
            let dropped: u64 = node.dropped().iter().map(|(_, count)| count.items).sum();
            // What one instance of the exporter has kept, the next one has restored.
            node.held() + node.outgoing() + dropped + node.kept() - node.restored()
        };
        // One request of logs, or one window, for each batch.
        let sent =
            |node: &Arc<Node>| self.sent * if node.signal == Signal::Logs { RECORDS } else { self.points() };
        self.wait("requests", || self.exporters().iter().all(|node| ended(node) == sent(node))).await;
    }

    /// Waits until every item that was sent is delivered or dropped.
    pub async fn await_all(&self) {
        self.await_encoded().await;
        self.wait("the end", || self.exporters().iter().all(|node| node.held() == 0)).await;
    }

    /// Waits until `done`. Counters have no event.
    pub async fn wait(&self, what: &str, done: impl Fn() -> bool) {
        for _ in 0..3000 {
            if done() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{what}: not within a minute\n{}", self.log());
    }

    pub fn exporters(&self) -> Vec<Arc<Node>> {
        self.accounting.nodes().into_iter().filter(|node| node.kind == NodeKind::Exporter).collect()
    }

    /// Returns the points of one window.
    fn points(&self) -> u64 {
        Batch::Window(Arc::new(window(0, 1))).items()
    }

    fn log(&self) -> String {
        String::from_utf8(self.log.0.lock().unwrap().clone()).unwrap()
    }

    /// Stops the graph. Fails unless every record and window arrived exactly once or was dropped, and everything adds up. Returns for each signal
    /// what was dropped, as `reason: items`, and the lines of the log about it, without their times.
    pub async fn finish(mut self, server: &ServerState) -> [(Vec<String>, Vec<String>); 2] {
        self.runtime.stop();
        self.runtime.join().await.unwrap();
        let imbalances: Vec<_> = self.accounting.imbalances().into_iter().map(|found| found.text).collect();
        assert_eq!(imbalances, Vec::<String>::new());
        let (uids, windows) = (server.uids.lock().unwrap(), server.windows.lock().unwrap());
        assert_eq!(uids.iter().collect::<BTreeSet<_>>().len(), uids.len(), "log records arrived twice");
        assert_eq!(windows.iter().collect::<BTreeSet<_>>().len(), windows.len(), "windows arrived twice");
        assert!(windows.is_sorted(), "windows arrived in another order: {windows:?}");
        let arrived = [windows.len() as u64 * self.points(), uids.len() as u64];
        let sent = [self.sent * self.points(), self.sent * RECORDS];
        let (log, exporters) = (self.log(), self.exporters());
        [Signal::Metrics, Signal::Logs].map(|signal| {
            let index = usize::from(signal == Signal::Logs);
            let node = exporters.iter().find(|node| node.signal == signal).unwrap();
            let dropped = node.dropped();
            // The server has stored what it rejects, to show that it was not sent again.
            let lost: u64 = dropped
                .iter()
                .filter(|(reason, _)| reason.0 != "rejected_by_server")
                .map(|(_, count)| count.items)
                .sum();
            assert_eq!(arrived[index] + lost, sent[index], "{signal}: {dropped:?}\n{log}");
            let lines = log.lines().filter(|line| line.contains(&format!("signal={signal}")));
            let lines =
                lines.filter_map(|line| Some(line.split_once("delivery::report: ")?.1.to_owned())).collect();
            (dropped.iter().map(|(reason, count)| format!("{}: {}", reason.0, count.items)).collect(), lines)
        })
    }
}

/// Returns the plan of a graph whose exporter has these settings, and the queue of which is stored if there is a storage.
fn plan(registry: &Registry, protocol: &str, mut section: Value, storage: Option<&Value>) -> Plan {
    // Each batch becomes one request, so that the requests can be counted.
    section["sending_queue"]["batch"] = json!({"enabled": false});
    let mut config = json!({
        "receivers": {"source": null},
        "processors": {"one_window": null},
        "exporters": {protocol: section},
        "service": {"pipelines": {
            "logs": {"receivers": ["source"], "exporters": [protocol]},
            "metrics": {"receivers": ["source"], "processors": ["one_window"], "exporters": [protocol]},
        }},
    });
    if let Some(storage) = storage {
        config["extensions"] = json!({"file_storage": storage});
        config["service"]["extensions"] = json!(["file_storage"]);
        config["exporters"][protocol]["sending_queue"]["storage"] = json!("file_storage");
    }
    let sources = Sources::new(vec![format!("yaml:{config}")], Vec::new());
    Plan::new(&longwave_config::load(&sources).unwrap().document, registry).unwrap()
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct NoSettings {}

impl ComponentConfig for NoSettings {
    fn validate(&self, _: &mut Problems) {}
}

fn registry(batches: mpsc::UnboundedReceiver<Batch>) -> Registry {
    let about = |component_type, signals, flow| About {
        component_type,
        aliases: &[],
        stability: Stability::Alpha,
        description: "for tests",
        signals,
        flow,
    };
    let batches = Arc::new(Mutex::new(Some(batches)));
    Registry {
        extensions: vec![longwave_extensions::file_storage::factory()],
        receivers: vec![Factory::new(
            about("source", &[Signal::Metrics, Signal::Logs], None),
            move |_: &NoSettings, _: ReceiverContext| {
                let batches = batches.lock().unwrap().take().unwrap();
                Ok(Box::new(Source(batches)) as Box<dyn Receiver>)
            },
        )],
        processors: vec![Factory::new(
            about("one_window", &[Signal::Metrics], Some((DataKind::Records, DataKind::Windows))),
            |_: &NoSettings, context: ProcessorContext| {
                Ok(Box::new(OneWindow { context, windows: 0 }) as Box<dyn Processor>)
            },
        )],
        exporters: longwave_exporters::factories(),
    }
}

/// Sends the batches of the test.
struct Source(mpsc::UnboundedReceiver<Batch>);

#[async_trait]
impl Receiver for Source {
    async fn start(
        mut self: Box<Self>,
        output: RecordOutput,
        stop: CancellationToken,
    ) -> Result<Running, ComponentError> {
        Ok(Box::pin(async move {
            loop {
                tokio::select! {
                    () = stop.cancelled() => return Ok(()),
                    Some(batch) = self.0.recv() => drop(output.send(batch).await),
                }
            }
        }))
    }
}

/// Makes a window of one series from each batch of records.
struct OneWindow {
    context: ProcessorContext,
    windows: u64,
}

impl Processor for OneWindow {
    fn process(&mut self, batch: Batch, out: &mut Vec<Batch>) -> Result<(), ComponentError> {
        if let Batch::Records(records) = batch {
            self.context.node.add_folded(records.len() as u64);
            out.push(Batch::Window(Arc::new(window(self.windows, records.len() as u64))));
            self.windows += 1;
        }
        Ok(())
    }

    fn finish(&mut self, _: &mut Vec<Batch>) -> Result<(), ComponentError> {
        Ok(())
    }
}

fn window(index: u64, sent_bytes: u64) -> Window {
    let mut measures = Measures::default();
    measures.totals.sent_bytes = sent_bytes;
    let series = Series {
        level: Level::Service,
        key: Arc::new(SeriesKey::Overflow),
        created: UnixNanos(FIRST),
        ended: false,
        measures,
    };
    let start = FIRST + index * 1_000_000_000;
    Window { start: UnixNanos(start), end: UnixNanos(start + 1_000_000_000), series: vec![series] }
}
