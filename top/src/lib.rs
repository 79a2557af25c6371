//! `longwave top`: what every TCP connection of the host does, on the whole screen.
//!
//! - [`model`]: records in, rows out. It uses neither a clock nor a terminal.
//! - [`app`]: what the user sees and does. Keys are values.
//! - [`view`]: draws the state into a buffer.
//! - [`source`]: a running Longwave, or a record file.
//! - [`run`]: the loop that joins them.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod app;
pub mod model;
mod run;
mod screen;
pub mod source;
#[cfg(test)]
mod testing;
pub mod view;

pub use run::{Source, run};
