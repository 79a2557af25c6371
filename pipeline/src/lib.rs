//! The data model and the machinery between components: what flows ([`record`], [`window`], [`batch`]), the names it carries
//! ([`names`], [`attributes`], [`metric`]), who is asked for names ([`directory`]), what a component is ([`component`], `registry`), how a configuration becomes a typed
//! graph (`graph`), how the graph runs ([`runtime`], [`delivery`]) and what it reports of itself ([`accounting`], `telemetry`); and what components
//! would otherwise each write for themselves ([`backoff`], [`causes`], [`host`]).
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod accounting;
pub mod attributes;
pub mod backoff;
pub mod batch;
pub mod causes;
pub mod codec;
pub mod component;
pub mod delivery;
pub mod directory;
pub mod graph;
pub mod histogram;
pub mod host;
pub mod log_record;
pub mod metric;
pub mod names;
pub mod record;
pub mod registry;
pub mod runtime;
pub mod shared;
pub mod telemetry;
#[cfg(test)]
mod testing;
pub mod window;

pub use accounting::{Accounting, DropReason};
pub use attributes::{Attributes, Detail, Value, ValueRef};
pub use batch::{Batch, PassEnd};
pub use component::{ComponentConfig, ComponentError, Signal};
pub use directory::{Answer, Directories, Directory};
pub use names::{Handle, Interner, Label, LabelKey, Service, Workload};
pub use record::{ConnectionRecord, UnixNanos};
pub use window::{Level, Measures, Series, Window};
