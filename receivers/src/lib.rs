//! Longwave: receivers.

pub mod bpf;
