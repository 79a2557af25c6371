//! Handle of the kernel side: loads and attaches the BPF programs, seeds and samples the connection table, drains the ring buffers.
//!
//! ```no_run
//! use longwave_receivers::bpf::kernel::{Kernel, Options};
//!
//! let mut kernel = Kernel::load(&Options::default())?;
//! kernel.seed();
//! kernel.pass(&mut |event| eprintln!("{event:?}"))?;
//! kernel.drain_transitions(&mut |transition| eprintln!("{transition:?}"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Dropping the handle detaches everything. Nothing is pinned.

mod attach;
mod btf;
mod cgroup_scope;
mod cgroup_watch;
pub mod clock_tick;
mod diagnosis;
mod handle;
mod host;
mod layout;
mod losses;
mod memory;
mod object;
mod options;
mod ring;
mod sampler;
mod seed;
mod signals;
mod steps;
mod sys;
mod transition;
mod types;
mod walk;

#[cfg(test)]
mod tests;

pub use diagnosis::Diagnosis;
pub use handle::{Kernel, PassReport};
pub use host::{HostFact, Verdict, probe};
pub use losses::Losses;
pub use options::{Families, Options};
pub use sampler::PassError;
pub use seed::SeedReport;
pub use steps::{Outcome, Step};
pub use walk::WalkError;

pub use crate::tracking::{ProgramStatistics, Transition};
