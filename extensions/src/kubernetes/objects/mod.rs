//! Kubernetes' objects, as far as they are used: everything else is skipped while decoding, and what is kept is borrowed from the
//! received text.

mod endpoint_slice;
mod id;
mod meta;
mod pod;
mod select;
mod service;
mod time;

pub(super) use endpoint_slice::{Backend, EndpointSlice};
pub(super) use id::{ContainerId, Uid};
pub(super) use meta::ObjectMeta;
pub(super) use pod::{ContainerStatus, Pod};
pub(super) use select::pick;
pub(super) use service::Service;

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};

/// A text in a list: alone, it would be copied.
#[derive(Debug, Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// `null`, which Go writes for an empty list, is as good as absent.
fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// Of a port's protocol; absent means TCP.
fn is_tcp(protocol: &str) -> bool {
    protocol.is_empty() || protocol == "TCP"
}

/// Ports, sorted, each once, without those that are none (0).
fn in_order(ports: impl Iterator<Item = u16>) -> Vec<u16> {
    let mut ports: Vec<u16> = ports.filter(|port| *port != 0).collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

#[cfg(test)]
mod tests;
