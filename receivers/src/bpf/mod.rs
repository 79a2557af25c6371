//! Receiver `bpf`: what the kernel side sees, as connection records.

pub mod kernel;
