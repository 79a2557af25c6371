//! Definition of components: the traits ([`Extension`], [`Receiver`], [`Processor`], [`Exporter`]), the [`Factory`] that makes a component from its
//! configuration, the types that the runtime passes to it (contexts, [`Directories`], [`Authenticators`], [`Storages`], [`RecordOutput`], [`Node`]),
//! and small helpers that several components use.
//!
//! Depends on [`crate::model`], never on [`crate::runtime`].

mod accounting;
mod attribute_action;
mod attribute_edits;
mod authenticator;
mod backoff;
mod batch_config;
mod causes;
pub mod cgroup;
mod component_meters;
mod config;
mod context;
mod delivery_config;
mod directory;
mod error;
mod exporter_changes;
mod exposition;
mod factory;
mod health;
pub mod host;
mod http_server;
mod instruments;
pub mod netlink;
mod one_line;
mod output;
mod payload;
mod registry;
mod reloading;
mod setting;
mod shared;
mod stage_sender;
mod storage;
pub mod tls;
mod traits;
mod unescape;
pub mod visible;

pub use accounting::{Accounting, DropReason, Dropped, Imbalance, Node, NodeKind};
pub use attribute_action::{ActionKind, ActionValue, AttributeAction};
pub use attribute_edits::AttributeEdits;
pub use authenticator::{Authenticator, Authenticators, is_protocol_header};
pub use backoff::{Backoff, jitter};
pub use batch_config::{BatchConfig, BatchSizer};
pub use causes::{descriptor_limit, innermost, with_causes};
pub(crate) use component_meters::{ComponentMeters, MeterScope};
pub use config::{ComponentConfig, Problems, exclusive_port};
pub use context::{ExporterContext, ExtensionContext, ProcessorContext, ReceiverContext};
pub use delivery_config::{DeliveryConfig, QueueConfig, RetryConfig, Sizer};
pub use directory::{Answer, CgroupName, Directories, Directory};
pub use error::ComponentError;
pub use exporter_changes::ExporterChanges;
pub use exposition::{
    Accepted, Family, FamilyKind, Format, Labels, Number as SampleNumber, Page, Samples, SdkReader,
    is_legacy_name,
};
pub use factory::{
    About, DataKind, ExporterFactory, ExtensionFactory, Factory, Prepared, ProcessorFactory, ReceiverFactory,
    Stability,
};
pub(crate) use health::StageProgress;
pub use health::{Health, HealthStatus, ReceiverProgress};
pub use http_server::{BasicAuthConfig, ClientAddress, HttpServer, ServerTlsConfig, listening};
pub use instruments::{ComponentMeter, Number, ObservedSource};
pub use longwave_config::Signal;
pub use one_line::one_line;
pub(crate) use output::OutputHandle;
pub use output::{Delivered, RecordOutput};
pub use payload::{Payload, PushError, Pushed, ReaderEnded};
pub use registry::Registry;
pub(crate) use registry::find_factory;
pub use reloading::Reloading;
pub use setting::Setting;
pub use shared::Shared;
pub use stage_sender::StageSender;
pub(crate) use stage_sender::WeakStageSender;
pub use storage::{
    NewRecord, OpenedQueue, RecordKey, Storage, StorageError, Storages, StoredQueue, StoredRecord,
};
pub use traits::{Exporter, Extension, Processor, Pusher, Receiver, Running};
pub use unescape::unescape;
