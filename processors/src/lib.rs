//! Longwave: processors.
