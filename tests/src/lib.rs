//! Longwave's end-to-end harness: spawns the binary, makes real TCP connections whose ends keep their own exact
//! counts, and compares the two by socket cookie.
//!
//! Nothing in here depends on paths of the repository at run time: the privileged tests are also linked statically
//! and run inside virtual machines with stock kernels.
#![allow(clippy::unwrap_used)] // A harness fails loudly: a panic is a test's verdict.

pub mod api_server;
pub mod balance;
pub mod binary;
pub mod cgroup;
pub mod check;
pub mod churn;
pub mod cluster;
pub mod collector;
pub mod config;
pub mod control_plane;
pub mod docker;
pub mod end;
pub mod faulty_proxy;
pub mod http_sink;
pub mod longwave;
pub mod losses;
pub mod nft;
pub mod otlp_json;
pub mod peer;
pub mod place;
pub mod record;
pub mod scenario;
pub mod telemetry;
pub mod time;
pub mod verdict;
pub mod witness;

pub use longwave::{Finished, Longwave};
pub use place::{Family, Place};
pub use record::Record;
pub use verdict::Story;
