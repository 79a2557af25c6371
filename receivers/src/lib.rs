//! Receivers: [`bpf`] and [`sock_diag`] read the kernel, [`replay`] reads a record file.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod bpf;
pub mod replay;
pub mod sock_diag;

use longwave_pipeline::component::ReceiverFactory;

/// Returns the factory of each receiver.
pub fn factories() -> Vec<ReceiverFactory> {
    vec![bpf::factory(), replay::factory(), sock_diag::factory()]
}
