//! Lives of connections: each scenario makes some in a [`Place`], keeps both ends' counts, and tells them as stories.

mod ends_badly;
mod ends_well;
mod needs_namespaces;
mod starts;

use std::io;

use crate::place::Place;
use crate::verdict::Story;

pub use ends_badly::{kill9, linger_reset, server_cut_after_close, unread_at_close};
pub use ends_well::{
    both_ways, bulk, clean_close, half_close, nothing, orphan, out_of_band, requests, server_first,
    simultaneous_close,
};
pub use needs_namespaces::{fast_open, lost_for_good, simultaneous_close_forced};
pub use starts::{reconnect, refused, self_connect, syn_timeout};

/// A scenario, and its name for messages.
pub type Scenario = (&'static str, fn(&Place) -> io::Result<Vec<Story>>);

/// Those that need nothing but two ends: any place will do.
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

/// Those that stay deterministic when segments are lost.
pub const UNDER_LOSS: &[Scenario] = &[
    ("clean_close", clean_close),
    ("server_first", server_first),
    ("half_close", half_close),
    ("requests", requests),
    ("both_ways", both_ways),
    ("orphan", orphan),
];

/// Plays `scenarios` at `place`.
///
/// # Panics
/// When one cannot be played.
pub fn play(scenarios: &[Scenario], place: &Place) -> Vec<Story> {
    scenarios
        .iter()
        .flat_map(|(name, scenario)| {
            let mut stories =
                scenario(place).unwrap_or_else(|error| panic!("{name} at {}: {error}", place.name));
            for story in &mut stories {
                story.name = format!("{}: {}", place.name, story.name);
            }
            stories
        })
        .collect()
}
