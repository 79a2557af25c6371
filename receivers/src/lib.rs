//! Longwave: receivers.
