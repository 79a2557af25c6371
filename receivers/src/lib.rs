//! Receivers: [`bpf`] and [`sock_diag`] read the kernel, [`replay`] reads a record file.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod bpf;
mod host;
pub mod replay;
pub mod sock_diag;
pub mod tracking;

use longwave_pipeline::component::ReceiverFactory;

/// Returns the factory of each receiver.
pub fn factories() -> Vec<ReceiverFactory> {
    vec![bpf::factory(), replay::factory(), sock_diag::factory()]
}
