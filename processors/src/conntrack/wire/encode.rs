//! Encodes requests.

use std::net::IpAddr;

use longwave_pipeline::component::netlink::{self, attribute};

use super::*;
use crate::conntrack::entry::Tuple;

/// Appends a look-up of a connection. `tuple` is either of its directions, because the kernel has one table for both. The reply is an entry
/// or an error (2, `ENOENT`, if there is no entry).
pub(in crate::conntrack) fn get(buffer: &mut Vec<u8>, sequence: u32, tuple: &Tuple) {
    let family = if tuple.source.address.is_ipv4() { AF_INET } else { AF_INET6 };
    message(buffer, CT_GET, 0, sequence, family, |buffer| {
        nested(buffer, CTA_TUPLE_ORIG, |buffer| {
            nested(buffer, CTA_TUPLE_IP, |buffer| {
                address(buffer, [CTA_IP_V4_SRC, CTA_IP_V6_SRC], tuple.source.address);
                address(buffer, [CTA_IP_V4_DST, CTA_IP_V6_DST], tuple.destination.address);
            });
            nested(buffer, CTA_TUPLE_PROTO, |buffer| {
                attribute(buffer, CTA_PROTO_NUM, &[TCP]);
                attribute(buffer, CTA_PROTO_SRC_PORT, &tuple.source.port.to_be_bytes());
                attribute(buffer, CTA_PROTO_DST_PORT, &tuple.destination.port.to_be_bytes());
            });
        });
    });
}

/// Appends a request for all connections of the namespace.
pub(in crate::conntrack) fn dump(buffer: &mut Vec<u8>, sequence: u32) {
    message(buffer, CT_GET, netlink::DUMP, sequence, AF_UNSPEC, |_| {});
}

/// Appends a request for the number of connections that the namespace tracks.
pub(in crate::conntrack) fn count(buffer: &mut Vec<u8>, sequence: u32) {
    message(buffer, CT_GET_STATS, 0, sequence, AF_UNSPEC, |_| {});
}

fn message(
    buffer: &mut Vec<u8>,
    kind: u16,
    flags: u16,
    sequence: u32,
    family: u8,
    body: impl FnOnce(&mut Vec<u8>),
) {
    netlink::request(buffer, kind, flags, sequence, |buffer| {
        buffer.extend([family, 0, 0, 0]);
        body(buffer);
    });
}

fn nested(buffer: &mut Vec<u8>, kind: u16, body: impl FnOnce(&mut Vec<u8>)) {
    let start = buffer.len();
    attribute(buffer, kind | NESTED, &[]);
    body(buffer);
    let length = (buffer.len() - start) as u16;
    buffer[start..start + 2].copy_from_slice(&length.to_ne_bytes());
}

fn address(buffer: &mut Vec<u8>, kinds: [u16; 2], address: IpAddr) {
    match address {
        IpAddr::V4(address) => attribute(buffer, kinds[0], &address.octets()),
        IpAddr::V6(address) => attribute(buffer, kinds[1], &address.octets()),
    }
}
