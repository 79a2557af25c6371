//! What a component is: one trait each for extension, receiver, processor and exporter, and the [`Factory`] that makes it from its configuration.
//!
//! Components hold no queue, retry or counter of items: the runtime does that around them, in one way for all.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::BoxFuture;
pub use longwave_config::Signal;
use longwave_config::{ConfigError, ConfigErrors, ConfigPath, Value};
use opentelemetry::metrics::Meter;
use serde::{Serialize, de::DeserializeOwned};
use tokio_util::sync::CancellationToken;

use crate::accounting::Node;
use crate::batch::Batch;
use crate::delivery::DeliverySettings;
use crate::directory::{Directories, Directory};
use crate::runtime::RecordOutput;
use crate::shared::Shared;

/// What a channel between two components carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DataKind {
    /// Connection records.
    Records,
    /// Windows.
    Windows,
}

/// How settled a component is; the Collector's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stability {
    /// May change in any release.
    Alpha,
    /// Configuration is settled, short of mistakes.
    Beta,
    /// Settled.
    Stable,
}

/// A component failed to be created, to start, or to run.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct ComponentError {
    /// What, the likely cause, and the remedy.
    pub message: String,
    /// What lies beneath.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// A component's settings as read from its section.
pub trait ComponentConfig: DeserializeOwned + Serialize + Default + Clone + Send + Sync + 'static {
    /// Reports what each value alone cannot show, as (key path below the component, message).
    fn validate(&self, problems: &mut Problems);

    /// The extensions that this component uses, as (key path, id): each has to be configured and started.
    fn extensions(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// What may be named where an extension's id may, without an extension.
    fn built_in(&self) -> &'static [&'static str] {
        &[]
    }
}

/// Collects what [`ComponentConfig::validate`] finds.
#[derive(Debug, Default)]
pub struct Problems {
    pub(crate) found: Vec<(String, String)>,
}

/// What every factory says about its component.
#[derive(Clone, Copy, Debug)]
pub struct About {
    /// The type in ids (`bpf` in `bpf/2`).
    pub component_type: &'static str,
    /// Other types that mean the same.
    pub aliases: &'static [&'static str],
    /// Stability.
    pub stability: Stability,
    /// One line for `components`.
    pub description: &'static str,
    /// In which pipelines it may stand; none for an extension.
    pub signals: &'static [Signal],
    /// For processors: what goes in and what comes out. Receivers produce records; exporters take what their signal carries.
    pub flow: Option<(DataKind, DataKind)>,
}

type Prepare<X, T> = Box<dyn Fn(&Value, &ConfigPath) -> Result<Prepared<X, T>, ConfigErrors> + Send + Sync>;

/// Makes components of one type. `X` is what the runtime gives to a new component, `T` the component's trait.
pub struct Factory<X, T: ?Sized> {
    /// Type, stability, where it fits.
    pub about: About,
    prepare: Prepare<X, T>,
}

/// A checked configuration that is ready to make components.
pub struct Prepared<X, T: ?Sized> {
    /// All settings with defaults filled in and secrets redacted, for `print-config`.
    pub effective: Value,
    /// Extensions that it uses, as (key path below its section, id).
    pub extensions: Vec<(&'static str, String)>,
    /// What may be named instead of those, see [`ComponentConfig::built_in`].
    pub built_in: &'static [&'static str],
    /// Makes one instance.
    pub create: Box<dyn Fn(X) -> Result<Box<T>, ComponentError> + Send + Sync>,
}

/// Makes extensions.
pub type ExtensionFactory = Factory<ExtensionContext, dyn Extension>;
/// Makes receivers.
pub type ReceiverFactory = Factory<ReceiverContext, dyn Receiver>;
/// Makes processors.
pub type ProcessorFactory = Factory<ProcessorContext, dyn Processor>;
/// Makes exporters.
pub type ExporterFactory = Factory<ExporterContext, dyn Exporter>;

/// What a new extension gets.
#[derive(Clone)]
pub struct ExtensionContext {
    /// Its id.
    pub id: String,
    /// For the component's own measurements.
    pub meter: Meter,
}

/// What a new receiver gets.
#[derive(Clone)]
pub struct ReceiverContext {
    /// Its id.
    pub id: String,
    /// Signals of the pipelines that it feeds: `open` records are wanted only where logs are.
    pub signals: Vec<Signal>,
    /// For the component's own measurements (kernel-side losses, pass durations, …).
    pub meter: Meter,
}

/// What a new processor gets.
#[derive(Clone)]
pub struct ProcessorContext {
    /// Its id.
    pub id: String,
    /// Its pipeline's id.
    pub pipeline: String,
    /// Where it says what it dropped (by reason), folded and holds. What goes in and out is counted outside.
    pub node: Arc<Node>,
    /// For the component's own measurements.
    pub meter: Meter,
    /// Who is who, by the ids of the extensions that know.
    pub directories: Directories,
    /// What the graph's components use together.
    pub shared: Shared,
}

/// What a new exporter gets.
#[derive(Clone)]
pub struct ExporterContext {
    /// Its id.
    pub id: String,
    /// The signal that it exports.
    pub signal: Signal,
    /// Who exports: `service.name`, `service.version`, `host.name`, … in this order.
    pub resource: Arc<Vec<(String, String)>>,
    /// For the component's own measurements.
    pub meter: Meter,
}

/// The future of a started component: resolves when it has ended, after a stop or at the end of its input. An error takes the process down.
pub type Running = BoxFuture<'static, Result<(), ComponentError>>;

/// Serves other components, outside the flow of data. Started before them, stopped after them; one instance for all.
#[async_trait]
pub trait Extension: Send {
    /// Who is who, where it knows. Asked before the start; until it has learned, its answers are pending.
    fn directory(&self) -> Option<Arc<dyn Directory>> {
        None
    }

    /// Gets ready and returns the future that works until `stop` fires. What cannot be reached yet is not an error: it is tried again.
    async fn start(self: Box<Self>, stop: CancellationToken) -> Result<Running, ComponentError>;
}

/// Produces records.
#[async_trait]
pub trait Receiver: Send {
    /// Gets ready (loads, attaches, opens, …) and returns the future that produces until `stop` fires. After a stop it sends what is
    /// pending and a last [`crate::PassEnd`], then resolves.
    async fn start(
        self: Box<Self>,
        output: RecordOutput,
        stop: CancellationToken,
    ) -> Result<Running, ComponentError>;
}

/// Transforms batches. Runs on a task of its own; must not block.
pub trait Processor: Send {
    /// Handles one batch and pushes what results onto `out`, in order. A watermark ([`Batch::PassEnd`]) is passed on unless the
    /// processor turns records into windows.
    fn process(&mut self, batch: Batch, out: &mut Vec<Batch>) -> Result<(), ComponentError>;

    /// The input has ended: push what is held.
    fn finish(&mut self, out: &mut Vec<Batch>) -> Result<(), ComponentError>;
}

/// Turns batches into payloads, in order, and says how they are delivered.
pub trait Exporter: Send {
    /// Encodes one batch into requests, none if it has nothing for this exporter. Their items add up to the batch's. Called in the batches' order, once per batch, whatever the number of
    /// delivery attempts: what depends on order (cumulative sums) belongs here.
    fn encode(&mut self, batch: &Batch) -> Result<Vec<Payload>, ComponentError>;

    /// Queue, retry and time limits.
    fn delivery(&self) -> DeliverySettings;

    /// The sending side.
    fn pusher(&self) -> Arc<dyn Pusher>;
}

/// Delivers payloads. Several pushes may run at the same time if [`DeliverySettings`] allows it.
#[async_trait]
pub trait Pusher: Send + Sync {
    /// Gets ready; an error stops the start of the process. A server that cannot be reached yet is not an error.
    async fn start(&self) -> Result<(), ComponentError> {
        Ok(())
    }

    /// One attempt. The time limit is the caller's.
    async fn push(&self, payload: &Payload) -> Result<Pushed, PushError>;

    /// Nothing follows: flush, close.
    async fn shutdown(&self) -> Result<(), ComponentError> {
        Ok(())
    }
}

/// Encoded data on its way out: what a queue holds, in memory now and on disk later.
#[derive(Clone, Debug)]
pub struct Payload {
    /// As it will be sent.
    pub bytes: Bytes,
    /// Records or points in it.
    pub items: u64,
    /// Traffic that it tells of, for what is dropped.
    pub traffic_bytes: u64,
}

/// A delivered payload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pushed {
    /// Items that the server rejected (OTLP partial success). They are dropped, never retried.
    pub rejected_items: u64,
    /// The server's words.
    pub message: Option<String>,
}

/// A failed attempt.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    /// Another attempt may succeed; not before `after`, where the server asked for it.
    #[error("{message}")]
    Retryable {
        /// What happened.
        message: String,
        /// The server's wish.
        after: Option<Duration>,
    },
    /// Never will.
    #[error("{0}")]
    Permanent(String),
    /// The exporter cannot go on at all (its output is closed): the process has to end.
    #[error("{0}")]
    Fatal(String),
}

// === impl DataKind ===

impl DataKind {
    /// What a signal's exporters take.
    pub fn exported(signal: Signal) -> Self {
        match signal {
            Signal::Metrics => Self::Windows,
            Signal::Logs => Self::Records,
        }
    }
}

impl fmt::Display for DataKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Records => "connection records",
            Self::Windows => "windows",
        })
    }
}

// === impl Stability ===

impl Stability {
    /// The Collector's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Alpha => "Alpha",
            Self::Beta => "Beta",
            Self::Stable => "Stable",
        }
    }
}

// === impl ComponentError ===

impl ComponentError {
    /// From words alone.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), source: None }
    }

    /// From words and what lies beneath.
    pub fn with_source(
        message: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self { message: message.into(), source: Some(source.into()) }
    }
}

// === impl Problems ===

impl Problems {
    /// Reports a problem at `key` (below the component's section, parts joined by `::`; empty for the section itself).
    pub fn at(&mut self, key: impl Into<String>, message: impl Into<String>) {
        self.found.push((key.into(), message.into()));
    }

    /// Reports each of `names` that was named before: each may be named once. `what`: what they are the names of.
    pub fn each_once<'a>(&mut self, key: &str, what: &str, names: impl IntoIterator<Item = &'a str>) {
        let mut seen = Vec::new();
        for name in names {
            if seen.contains(&name) {
                self.at(key, format!("names \"{name}\" twice: name each {what} once"));
            }
            seen.push(name);
        }
    }
}

// === impl Factory ===

impl<X: 'static, T: ?Sized + 'static> Factory<X, T> {
    /// A factory whose components have the settings `C`.
    pub fn new<C: ComponentConfig>(
        about: About,
        create: impl Fn(&C, X) -> Result<Box<T>, ComponentError> + Clone + Send + Sync + 'static,
    ) -> Self {
        let prepare = move |value: &Value, path: &ConfigPath| {
            let config = longwave_config::decode_and_check(value, path, |config: &C| {
                let mut problems = Problems::default();
                config.validate(&mut problems);
                let found = problems.found.into_iter();
                found.map(|(key, text)| ConfigError::new(path.clone(), text).field(key.as_str())).collect()
            })?;
            let effective = Value::from_serialize(&config)?;
            let (extensions, built_in) = (config.extensions(), config.built_in());
            let create = create.clone();
            Ok(Prepared {
                effective,
                extensions,
                built_in,
                create: Box::new(move |context| create(&config, context)),
            })
        };
        Self { about, prepare: Box::new(prepare) }
    }

    /// Reads and checks a section; all its errors at once.
    pub fn prepare(&self, section: &Value, path: &ConfigPath) -> Result<Prepared<X, T>, ConfigErrors> {
        (self.prepare)(section, path)
    }
}
