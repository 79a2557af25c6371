//! Where records come from: the kernel ([`bpf`]), or a file of them ([`replay`]).
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod bpf;
pub mod replay;

use longwave_pipeline::component::ReceiverFactory;

/// One factory for each receiver.
pub fn factories() -> Vec<ReceiverFactory> {
    vec![bpf::factory(), replay::factory()]
}
