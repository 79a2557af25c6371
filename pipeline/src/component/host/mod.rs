//! What `/proc` tells of this host, for whoever asks it: components read it where they need it, and here is how.

mod boot;
mod mounts;

pub use boot::{BootId, BootIdError};
pub use mounts::{Mount, mounts};
