//! Settings that the receivers share.

use std::time::Duration;

use longwave_config::GoDuration;
use longwave_pipeline::component::Problems;

/// Default of `max_connections`.
pub(crate) const DEFAULT_MAX_CONNECTIONS: u32 = 131_072;

const MIN_INTERVAL: GoDuration = GoDuration(Duration::from_millis(100));
const MAX_INTERVAL: GoDuration = GoDuration::from_secs(3600);
const LARGEST_MAX_CONNECTIONS: u32 = 16 << 20;

/// Reports an `interval` that is not valid.
pub(crate) fn validate_interval(interval: GoDuration, problems: &mut Problems) {
    if !(MIN_INTERVAL..=MAX_INTERVAL).contains(&interval) {
        problems.at("interval", "must be between 100ms and 1h, for example 5s");
    }
}

/// Reports a `max_connections` that is not valid.
pub(crate) fn validate_max_connections(max_connections: u32, problems: &mut Problems) {
    if !(1..=LARGEST_MAX_CONNECTIONS).contains(&max_connections) {
        problems.at("max_connections", "must be between 1 and 16777216");
    }
}
