//! Facts from files in `/proc`, which components of several crates need.

mod addresses;
mod boot;
mod memory;
mod mounts;

pub use addresses::{HostAddresses, addresses};
pub use boot::{BootId, BootIdError};
pub use memory::{memory_limit, release_memory, resident_memory, set_memory_release};
pub use mounts::{Mount, mounts};
