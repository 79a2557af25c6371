//! Reads Longwave's configuration: merges and expands the files, variables and flags that the user passes into one tree of
//! values. Implements the grammar of the OpenTelemetry Collector's configuration. Contains nothing about specific components.
//!
//! A configuration is read in four steps:
//!
//! 1. [`load`] parses the YAML of each source ([`Sources::configs`]) and merges the sources in order. Maps are merged deeply,
//!    lists are replaced, null erases. Then it applies each `--set`.
//! 2. Every string is expanded (`${env:X}`, `${file:path}`, `${https://…}`, `$$`). This happens after parsing, so that a value
//!    embedded in a string can never become YAML structure.
//! 3. The tree is split into a [`Document`]: components by id, pipelines by signal.
//! 4. The factory of a component calls [`decode`] to get its typed settings, or all errors in them.
//!
//! Invariants:
//!
//! - Errors and warnings name the path in the configuration, joined by `::`.
//! - An error never quotes a value that came from a reference to a variable or a file.
//! - `Debug` and `Serialize` never print the original text of such a value.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod byte_size;
mod decode;
mod document;
mod download;
mod duration;
mod environment;
mod error;
mod expand;
mod id;
mod load;
mod merge;
mod network;
mod path;
mod port_range;
mod secret;
mod source;
mod suggest;
mod text_schema;
mod value;
mod yaml;

pub use byte_size::ByteSize;
pub use decode::{decode, decode_and_check};
pub use document::{Components, Document, PipelineSection, ServiceSection};
pub use download::{Download, without_credentials};
pub use duration::GoDuration;
pub use environment::{Environment, ProcessEnvironment};
pub use error::{ConfigError, ConfigErrors, Warning};
pub use id::{ComponentId, InvalidId, PipelineId, Signal};
pub use load::{Loaded, Sources, load, load_and_check};
pub use merge::merge;
pub use network::{InvalidNetwork, Network};
pub use path::ConfigPath;
pub use port_range::{InvalidPortRange, PortRange};
pub use secret::Secret;
pub use source::read_component_file;
pub use suggest::near_miss;
pub use value::{Expanded, Map, Value};
pub use yaml::to_yaml;
