//! Parsers of files in `/proc`, which components of several crates need.

mod boot;
mod memory;
mod mounts;

pub use boot::{BootId, BootIdError};
pub use memory::memory_limit;
pub use mounts::{Mount, mounts};
