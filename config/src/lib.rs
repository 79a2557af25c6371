//! The configuration of Longwave as text: from the files, variables and flags that the user gives to one merged,
//! expanded tree of values, each with its path. Knows the grammar (the OpenTelemetry Collector's), no component.
//!
//! The way of a configuration:
//!
//! 1. [`load`] reads each source ([`Sources::configs`]) with its YAML parsed, and merges them in order:
//!    maps deeply, lists replaced, null erases; then each `--set`.
//! 2. Every text node is expanded (`${env:X}`, `${file:path}`, `$$`). This is after parsing, so that a value
//!    embedded in a text can never become YAML structure.
//! 3. The tree is split into a [`Document`]: components by id, pipelines by signal.
//! 4. A component's factory calls [`decode`] to get its typed settings, with all errors of that component at once.
//!
//! Invariants: errors and warnings name their place with a path joined by `::`; no error quotes a value that came
//! whole from a variable or a file; the original text of such a value never leaves through `Debug` or `Serialize`.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod byte_size;
mod decode;
mod document;
mod duration;
mod environment;
mod error;
mod expand;
mod id;
mod load;
mod merge;
mod network;
mod ordered_map;
mod path;
mod port_range;
mod secret;
mod source;
mod suggest;
mod value;
mod yaml;

pub use byte_size::ByteSize;
pub use decode::{decode, decode_and_check};
pub use document::{Document, PipelineSection, ServiceSection};
pub use duration::GoDuration;
pub use environment::{Environment, ProcessEnvironment};
pub use error::{ConfigError, ConfigErrors, Warning};
pub use id::{ComponentId, InvalidId, PipelineId, Signal};
pub use load::{Loaded, Sources, load, load_and_check};
pub use merge::merge;
pub use network::{InvalidNetwork, Network};
pub use ordered_map::OrderedMap;
pub use path::ConfigPath;
pub use port_range::{InvalidPortRange, PortRange};
pub use secret::Secret;
pub use source::read_component_file;
pub use suggest::near_miss;
pub use value::{Expanded, Map, Value};
pub use yaml::to_yaml;
