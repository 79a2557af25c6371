//! Scenarios. Each opens connections in a [`Network`] and returns the counts of their ends.

mod ends_badly;
mod ends_well;
mod needs_namespaces;
mod starts;

use std::io;

use crate::network::Network;
use crate::verdict::PlayedConnection;

pub use ends_badly::{kill9, linger_reset, server_cut_after_close, unread_at_close};
pub use ends_well::{
    both_ways, bulk, clean_close, half_close, nothing, orphan, out_of_band, requests, server_first,
    simultaneous_close,
};
pub use needs_namespaces::{fast_open, network_failure, simultaneous_close_forced};
pub use starts::{reconnect, refused, self_connect, syn_timeout};

/// Name of a scenario, for messages, and its function.
pub type Scenario = (&'static str, fn(&Network) -> io::Result<Vec<PlayedConnection>>);

/// Scenarios that work in any network.
pub const ANYWHERE: &[Scenario] = &[
    ("nothing", nothing),
    ("clean_close", clean_close),
    ("server_first", server_first),
    ("half_close", half_close),
    ("requests", requests),
    ("both_ways", both_ways),
    ("orphan", orphan),
    ("out_of_band", out_of_band),
    ("simultaneous_close", simultaneous_close),
    ("linger_reset", linger_reset),
    ("unread_at_close", unread_at_close),
    ("server_cut_after_close", server_cut_after_close),
    ("kill9", kill9),
    ("reconnect", reconnect),
    ("refused", refused),
    ("syn_timeout", syn_timeout),
];

/// Scenarios with the same result even if segments are lost.
pub const UNDER_LOSS: &[Scenario] = &[
    ("clean_close", clean_close),
    ("server_first", server_first),
    ("half_close", half_close),
    ("requests", requests),
    ("both_ways", both_ways),
    ("orphan", orphan),
];

/// Runs `scenarios` in `network`.
///
/// # Panics
/// If one fails.
pub fn play(scenarios: &[Scenario], network: &Network) -> Vec<PlayedConnection> {
    scenarios
        .iter()
        .flat_map(|(name, scenario)| {
            let mut connections =
                scenario(network).unwrap_or_else(|error| panic!("{name} in {}: {error}", network.name));
            for connection in &mut connections {
                connection.name = format!("{}: {}", network.name, connection.name);
            }
            connections
        })
        .collect()
}
