//! cgroups of version 2: where they are mounted ([`Mount`]), which there are ([`Scan`]), patterns of their paths ([`Pattern`]), the paths of
//! those that were created lately ([`CgroupPaths`]), and those that were removed lately ([`RemovedCgroups`]).

mod mount;
mod paths;
mod pattern;
mod removed;
mod scan;

#[cfg(test)]
mod tests;

pub use mount::Mount;
pub use paths::CgroupPaths;
pub use pattern::{InvalidPattern, Pattern};
pub use removed::RemovedCgroups;
pub use scan::Scan;

/// Id of the root cgroup on every kernel. The id of a cgroup is the inode of its directory.
pub const ROOT: u64 = 1;
