//! Kubernetes' objects, with the fields that are used. Other fields are skipped while decoding, and values are borrowed from the received
//! text.

mod endpoint_slice;
mod id;
mod meta;
mod pod;
mod select;
mod service;

pub(super) use endpoint_slice::{Backend, EndpointSlice};
pub(super) use id::{ContainerId, Uid};
pub(super) use meta::ObjectMeta;
pub(super) use pod::{ContainerStatus, Pod};
pub(super) use select::pick;
pub(super) use service::Service;

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};

/// A text in a list. A plain `Cow` in a list would be copied.
#[derive(Debug, Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// Decodes `null`, which Go writes for an empty list, as the default value.
fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// Returns whether a port's protocol is TCP, which is the default.
fn is_tcp(protocol: &str) -> bool {
    protocol.is_empty() || protocol == "TCP"
}

/// Returns the ports sorted and unique, without 0.
fn in_order(ports: impl Iterator<Item = u16>) -> Vec<u16> {
    let mut ports: Vec<u16> = ports.filter(|port| *port != 0).collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

#[cfg(test)]
mod tests;
