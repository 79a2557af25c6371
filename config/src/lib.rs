//! Longwave: config.
