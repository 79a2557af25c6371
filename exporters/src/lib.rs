//! Longwave: exporters.
