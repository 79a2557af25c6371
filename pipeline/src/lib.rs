//! Longwave's pipeline, in three layers. Each layer uses only the layers below it:
//!
//! - [`runtime`]: turns a configuration into a graph and runs it;
//! - [`component`]: what a receiver, processor, exporter or extension is, and what it receives from the runtime;
//! - [`model`]: the data that flows between components.
//!
//! Every item has one public path: `model::UnixNanos`, `component::Factory`, `runtime::Plan`.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod component;
pub mod model;
pub mod runtime;
