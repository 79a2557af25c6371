//! Parsers of files in `/proc`, which components of several crates need.

mod boot;
mod mounts;

pub use boot::{BootId, BootIdError};
pub use mounts::{Mount, mounts};
