//! Library of Longwave's end-to-end tests. It runs the binary, opens real TCP connections whose ends count their bytes, and compares the
//! records with these counts by socket cookie.
//!
//! It uses no path of the repository at run time, because the privileged tests also run in virtual machines, which have no repository.
#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

pub mod api_server;
pub mod balance;
pub mod binary;
pub mod browser;
pub mod cache;
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
pub mod forward_proxy;
pub mod helm;
pub mod http;
pub mod http_sink;
pub mod kernel_trace;
pub mod longwave;
pub mod losses;
pub mod network;
pub mod nft;
pub mod otlp_json;
pub mod peer;
pub mod prometheus;
pub mod record;
pub mod scenario;
pub mod serve;
pub mod telemetry;
pub mod time;
pub mod tmux;
pub mod usage;
pub mod verdict;

pub use longwave::{Finished, Longwave};
pub use network::{Family, Network};
pub use record::Record;
pub use verdict::PlayedConnection;
