//! Components for the tests of this crate: a receiver, processors of both kinds, an exporter and an extension, which fail on request.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use longwave_config::{Document, GoDuration, Sources};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::component::Registry;
use crate::component::*;
use crate::model::{Batch, ConnectionRecord, PassEnd, Series, SeriesKey, UnixNanos, Window};

/// What the components of one test did, and the results that the exporter returns.
#[derive(Clone, Default)]
pub(crate) struct World {
    pub log: Arc<Mutex<Vec<String>>>,
    pub results: Arc<Mutex<VecDeque<Result<Pushed, PushError>>>>,
    pub delivered: Arc<Mutex<Vec<Bytes>>>,
    /// While it is locked, a processor with `fail: wait` does not return.
    pub gate: Arc<Mutex<()>>,
    /// Number of records that receivers with `fail: feed` have to send, together.
    pub fed: Arc<watch::Sender<u64>>,
    /// Number of records that they have sent. Each has the number as its cookie.
    pub sent: Arc<AtomicU64>,
    /// While it is true, no exporter delivers.
    pub is_down: Arc<AtomicBool>,
    /// Time that an exporter needs for each attempt.
    pub latency: Arc<Mutex<Duration>>,
}

/// Configuration of every test component.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct TestConfig {
    pub records: u64,
    pub fail: String,
    pub every: GoDuration,
    /// Number of batches of `records` that are sent.
    pub batches: u64,
    /// Id of the extension whose directory (an exporter: authenticator) is used.
    pub source: String,
    /// Whether the exporter has a queue of one payload and the pipeline waits for room.
    pub block: bool,
    /// What only one component can have.
    #[serde(skip_serializing)]
    pub exclusive: String,
    /// Whether a processor reads what a processor `pass` sets.
    #[serde(skip_serializing)]
    pub reads: bool,
    /// Whether a processor should be the first.
    #[serde(skip_serializing)]
    pub first: bool,
    /// Changes of a processor to the resource.
    #[serde(skip_serializing)]
    pub resource: Vec<AttributeAction>,
}

impl Default for TestConfig {
    fn default() -> Self {
        let every = GoDuration::from_secs(5);
        let (fail, source) = (String::new(), String::new());
        Self {
            records: 10,
            fail,
            every,
            batches: 1,
            source,
            block: false,
            exclusive: String::new(),
            reads: false,
            first: false,
            resource: Vec::new(),
        }
    }
}

impl ComponentConfig for TestConfig {
    fn validate(&self, problems: &mut Problems) {
        if self.every.get().is_zero() {
            problems.at("every", "must be positive, for example 5s");
        }
        if self.records > 1_000_000 {
            problems.at("records", "must be at most 1000000");
        }
    }

    fn extensions(&self) -> Vec<(&'static str, String)> {
        Some(self.source.clone()).filter(|id| !id.is_empty()).map(|id| ("source", id)).into_iter().collect()
    }

    fn reads_from(&self) -> Vec<(&'static str, &'static str)> {
        if self.reads { vec![("reads", "pass")] } else { Vec::new() }
    }

    fn is_first(&self) -> bool {
        self.first
    }

    fn exporter_changes(&self) -> ExporterChanges {
        ExporterChanges { resource: self.resource.clone(), ..ExporterChanges::default() }
    }

    fn exclusive(&self) -> Vec<String> {
        if self.exclusive.is_empty() { Vec::new() } else { vec![self.exclusive.clone()] }
    }

    fn built_in(&self) -> &'static [&'static str] {
        &["own"]
    }
}

impl World {
    pub(crate) fn log(&self, text: impl Into<String>) {
        self.log.lock().unwrap().push(text.into());
    }

    pub(crate) fn logged(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// Sends records as they are requested, until the stop.
    async fn feed(&self, output: &RecordOutput, stop: &CancellationToken) {
        let mut fed = self.fed.subscribe();
        loop {
            let sent = &self.sent;
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                changed = fed.wait_for(|fed| *fed > sent.load(Ordering::SeqCst)) => drop(changed),
            }
            let limit = *self.fed.borrow();
            let next = sent
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |sent| (sent < limit).then_some(sent + 1));
            let Ok(cookie) = next else { continue };
            let mut record = ConnectionRecord::blank();
            record.id.cookie = cookie;
            output.send(Batch::records(vec![record])).await;
        }
    }

    /// Returns the cookies of the records that an exporter has delivered, in the order of delivery.
    pub(crate) fn cookies(&self, exporter: &str) -> Vec<u64> {
        let delivered = self.delivered.lock().unwrap();
        let texts = delivered.iter().map(|bytes| std::str::from_utf8(bytes).unwrap());
        let own = texts.filter_map(|text| text.strip_prefix(exporter)?.strip_prefix(':'));
        own.flat_map(|list| list.split(' ').map(|cookie| cookie.parse().unwrap())).collect()
    }

    pub(crate) fn registry(&self) -> Registry {
        const BOTH: &[Signal] = &[Signal::Metrics, Signal::Logs];
        let about = |component_type, signals, flow| About {
            component_type,
            aliases: &[],
            stability: Stability::Alpha,
            description: "for tests",
            signals,
            flow,
        };
        let records = Some((DataKind::Records, DataKind::Records));
        let windows = Some((DataKind::Records, DataKind::Windows));
        let (a, b, c, d, e) = (self.clone(), self.clone(), self.clone(), self.clone(), self.clone());
        Registry {
            extensions: vec![
                Factory::new(
                    about("who", &[], None),
                    move |config: &TestConfig, context: ExtensionContext| {
                        Ok(Box::new(Who { config: config.clone(), id: context.id, world: e.clone() })
                            as Box<dyn Extension>)
                    },
                ),
                Factory::new(about("key", &[], None), |_: &TestConfig, _: ExtensionContext| {
                    Ok(Box::new(Key) as Box<dyn Extension>)
                }),
            ],
            receivers: vec![Factory::new(
                about("gen", BOTH, None),
                move |config: &TestConfig, context: ReceiverContext| {
                    let (config, world) = (config.clone(), a.clone());
                    Ok(Box::new(Gen { config, context, world }) as Box<dyn Receiver>)
                },
            )],
            processors: vec![
                Factory::new(
                    about("pass", BOTH, records),
                    move |config: &TestConfig, context: ProcessorContext| {
                        if config.fail == "create" {
                            return Err(ComponentError::new("configured to fail"));
                        }
                        b.log(format!("create {}", context.id));
                        if !config.source.is_empty() {
                            context.directories.get(&config.source)?;
                        }
                        Ok(Box::new(Pass { config: config.clone(), world: b.clone() }) as Box<dyn Processor>)
                    },
                ),
                Factory::new(
                    about("window", &[Signal::Metrics], windows),
                    move |_: &TestConfig, context: ProcessorContext| {
                        Ok(Box::new(Fold { context, world: c.clone() }) as Box<dyn Processor>)
                    },
                ),
            ],
            exporters: vec![Factory::new(
                about("keep", BOTH, None),
                move |config: &TestConfig, context: ExporterContext| {
                    if config.fail == "create" {
                        return Err(ComponentError::new("configured to fail"));
                    }
                    if !config.source.is_empty() {
                        let header = context.authenticators.get(&config.source)?;
                        d.log(format!("{} has {}", context.id, header.header_name()));
                    }
                    if config.fail == "log resource" {
                        d.log(format!("{} of {} sends {:?}", context.id, context.signal, context.resource));
                    }
                    let (config, world) = (config.clone(), d.clone());
                    Ok(Box::new(Keep { id: context.id, config, world }) as Box<dyn Exporter>)
                },
            )],
        }
    }
}

/// Parses a YAML text.
pub(crate) fn document(yaml: &str) -> Document {
    longwave_config::load(&Sources::new(vec![format!("yaml:{yaml}")], Vec::new())).unwrap().document
}

struct Who {
    config: TestConfig,
    id: String,
    world: World,
}

#[async_trait]
impl Extension for Who {
    async fn start(self: Box<Self>, stop: CancellationToken) -> Result<Running, ComponentError> {
        if self.config.fail == "start" {
            return Err(ComponentError::new("configured to fail"));
        }
        self.world.log(format!("start {}", self.id));
        Ok(Box::pin(async move {
            match self.config.fail.as_str() {
                "run" => return Err(ComponentError::new("configured to fail")),
                "end" => return Ok(()),
                "hang" => std::future::pending().await,
                _ => stop.cancelled().await,
            }
            self.world.log(format!("end {}", self.id));
            Ok(())
        }))
    }
}

/// An extension that authenticates requests.
struct Key;

#[async_trait]
impl Extension for Key {
    fn authenticator(&self) -> Option<Arc<dyn Authenticator>> {
        Some(Arc::new(Self))
    }

    async fn start(self: Box<Self>, stop: CancellationToken) -> Result<Running, ComponentError> {
        Ok(Box::pin(async move {
            stop.cancelled().await;
            Ok(())
        }))
    }
}

impl Authenticator for Key {
    fn header_name(&self) -> HeaderName {
        HeaderName::from_static("x-key")
    }

    fn header_value(&self) -> HeaderValue {
        HeaderValue::from_static("key")
    }
}

struct Gen {
    config: TestConfig,
    context: ReceiverContext,
    world: World,
}

#[async_trait]
impl Receiver for Gen {
    async fn start(
        self: Box<Self>,
        output: RecordOutput,
        stop: CancellationToken,
    ) -> Result<Running, ComponentError> {
        if self.config.fail == "start" {
            return Err(ComponentError::new("configured to fail"));
        }
        if self.config.fail == "never start" {
            std::future::pending::<()>().await;
        }
        let id = self.context.id.clone();
        // Declares an interval, but no pass ends.
        let silent = (self.config.fail == "silent")
            .then(|| self.context.health.receiver(&id, self.config.every.get()));
        self.world.log(format!("start {id}"));
        Ok(Box::pin(async move {
            let _silent = silent;
            if self.config.fail == "feed" {
                self.world.feed(&output, &stop).await;
                output.pass_end(PassEnd { tick: UnixNanos(1), last: true });
                output.flush().await;
                self.world.log(format!("end {id}"));
                return Ok(());
            }
            let records = vec![ConnectionRecord::blank(); self.config.records as usize];
            for _ in 0..self.config.batches {
                output.send(Batch::records(records.clone())).await;
            }
            if self.config.fail == "run" {
                return Err(ComponentError::new("configured to fail"));
            }
            if self.config.fail != "end" {
                stop.cancelled().await;
            }
            output.pass_end(PassEnd { tick: UnixNanos(1), last: true });
            output.flush().await;
            self.world.log(format!("end {id}"));
            Ok(())
        }))
    }
}

struct Pass {
    config: TestConfig,
    world: World,
}

impl Processor for Pass {
    fn process(&mut self, batch: Batch, out: &mut Vec<Batch>) -> Result<(), ComponentError> {
        assert!(self.config.fail != "panic", "configured to panic");
        if self.config.fail == "run" {
            return Err(ComponentError::new("configured to fail"));
        }
        if self.config.fail == "wait" {
            drop(self.world.gate.lock());
        }
        out.push(batch);
        Ok(())
    }

    fn finish(&mut self, _: &mut Vec<Batch>) -> Result<(), ComponentError> {
        self.world.log("finish pass");
        Ok(())
    }
}

struct Fold {
    context: ProcessorContext,
    world: World,
}

impl Processor for Fold {
    fn process(&mut self, batch: Batch, out: &mut Vec<Batch>) -> Result<(), ComponentError> {
        self.context.node.add_folded(batch.items());
        if let Batch::PassEnd(pass) = batch {
            let series = Series {
                level: crate::model::Level::Service,
                key: Arc::new(SeriesKey::Overflow),
                created: UnixNanos(0),
                ended: false,
                measures: crate::model::Measures::default(),
            };
            let window = Window { start: UnixNanos(0), end: pass.tick, series: vec![series] };
            out.push(Batch::Window(Arc::new(window)));
        }
        Ok(())
    }

    fn finish(&mut self, _: &mut Vec<Batch>) -> Result<(), ComponentError> {
        self.world.log("finish window");
        Ok(())
    }
}

struct Keep {
    id: String,
    config: TestConfig,
    world: World,
}

impl Exporter for Keep {
    fn encode(&mut self, batch: &Batch) -> Result<Vec<Payload>, ComponentError> {
        let text = match batch {
            Batch::Records(records) if self.config.fail.starts_with("cookies") => {
                let cookies: Vec<String> = records.iter().map(|it| it.id.cookie.to_string()).collect();
                format!("{}:{}", self.id, cookies.join(" "))
            }
            Batch::PassEnd(pass_end) if self.config.fail.starts_with("cookies") => {
                self.world.log(format!("{} watermark, last: {}", self.id, pass_end.last));
                return Ok(Vec::new());
            }
            _ => format!("{}:{}", self.id, batch.items()),
        };
        Ok(vec![Payload { bytes: text.into(), items: batch.items(), traffic_bytes: batch.traffic_bytes() }])
    }

    fn delivery(&self) -> DeliveryConfig {
        let block_on_overflow = self.config.block;
        let queue_size = match (block_on_overflow, self.config.fail.starts_with("cookies")) {
            (true, _) => 1,
            // No test of an overflow.
            (false, true) => 1_000_000,
            (false, false) => QueueConfig::default().queue_size,
        };
        let queue = QueueConfig { num_consumers: 1, queue_size, block_on_overflow, ..QueueConfig::default() };
        DeliveryConfig { timeout: Duration::from_secs(5), retry: RetryConfig::default(), queue }
    }

    fn pusher(&self) -> Arc<dyn Pusher> {
        let (id, fail) = (self.id.clone(), self.config.fail.clone());
        Arc::new(KeepPusher { id, fail, world: self.world.clone() })
    }
}

pub(crate) struct KeepPusher {
    pub id: String,
    pub fail: String,
    pub world: World,
}

#[async_trait]
impl Pusher for KeepPusher {
    async fn start(&self) -> Result<(), ComponentError> {
        if self.fail == "cookies, start" {
            return Err(ComponentError::new("configured to fail"));
        }
        self.world.log(format!("start {}", self.id));
        Ok(())
    }

    async fn push(&self, payload: &Payload) -> Result<Pushed, PushError> {
        self.world.log(format!(
            "push {} at {:?}",
            String::from_utf8_lossy(&payload.bytes),
            self.started().elapsed()
        ));
        let latency = *self.world.latency.lock().unwrap();
        tokio::time::sleep(latency).await;
        if self.world.is_down.load(Ordering::SeqCst) {
            let message = "unavailable".to_owned();
            return Err(PushError::Retryable { message, after: None, may_have_arrived: false });
        }
        let result = self.world.results.lock().unwrap().pop_front();
        match result {
            None => {
                self.world.delivered.lock().unwrap().push(payload.bytes.clone());
                Ok(Pushed::default())
            }
            Some(Err(PushError::Retryable { message, .. })) if message == "hang" => {
                std::future::pending().await
            }
            Some(result) => {
                if result.is_ok() {
                    self.world.delivered.lock().unwrap().push(payload.bytes.clone());
                }
                result
            }
        }
    }

    async fn shutdown(&self) -> Result<(), ComponentError> {
        self.world.log(format!("shutdown {}", self.id));
        if self.fail == "cookies, shutdown" {
            return Err(ComponentError::new("configured to fail"));
        }
        Ok(())
    }
}

impl KeepPusher {
    /// Returns the start of the test. Time is paused, so that all tests start at the same instant.
    fn started(&self) -> tokio::time::Instant {
        static START: std::sync::OnceLock<tokio::time::Instant> = std::sync::OnceLock::new();
        *START.get_or_init(tokio::time::Instant::now)
    }
}
