//! Decodes the kernel's replies.

use std::net::IpAddr;

use longwave_pipeline::component::netlink::{self, Attributes};
use longwave_pipeline::model::{Endpoint, UnixNanos};

use super::*;
use crate::conntrack::entry::{ConntrackEntry, TrackedState, Tuple};

/// One message of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::conntrack) struct Message {
    /// Sequence number of the request.
    pub sequence: u32,
    pub payload: Payload,
}

/// Content of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "lives on the stack, one at a time")]
pub(in crate::conntrack) enum Payload {
    /// A TCP connection.
    Entry(ConntrackEntry),
    /// Number of connections that the namespace tracks.
    Count(u32),
    /// An errno; 0 is an acknowledgement.
    Error(i32),
    /// The list is complete.
    Done,
    /// A connection of another protocol, or a message that is not valid.
    Other,
}

/// Iterates over the messages that one call received. Stops at the first truncated message.
pub(in crate::conntrack) struct Messages<'a>(netlink::Messages<'a>);

// === impl Messages ===

impl<'a> Messages<'a> {
    pub fn new(received: &'a [u8]) -> Self {
        Self(netlink::Messages::new(received))
    }
}

impl Iterator for Messages<'_> {
    type Item = Message;

    fn next(&mut self) -> Option<Message> {
        let netlink::Message { sequence, payload, .. } = self.0.next()?;
        let payload = match payload {
            netlink::Payload::Error(error) => Some(Payload::Error(error)),
            netlink::Payload::Done => Some(Payload::Done),
            netlink::Payload::Data(CT_NEW, body) => body.get(GENERIC..).and_then(entry).map(Payload::Entry),
            netlink::Payload::Data(CT_GET_STATS, body) => {
                body.get(GENERIC..).and_then(entries).map(Payload::Count)
            }
            netlink::Payload::Data(..) => None,
        };
        Some(Message { sequence, payload: payload.unwrap_or(Payload::Other) })
    }
}

/// Decodes an entry. `None` if it does not belong to a TCP connection.
fn entry(body: &[u8]) -> Option<ConntrackEntry> {
    let mut found = (None, None, None, None);
    for (kind, value) in Attributes::new(body) {
        match kind {
            CTA_TUPLE_ORIG => found.0 = Some(tuple(value)?),
            CTA_TUPLE_REPLY => found.1 = Some(tuple(value)?),
            CTA_PROTOINFO => {
                let tcp = Attributes::new(value).nested(CTA_PROTOINFO_TCP);
                let state = tcp.and_then(|tcp| tcp.find(CTA_PROTOINFO_TCP_STATE));
                found.2 = state.and_then(<[u8]>::first).and_then(|state| TrackedState::from_kernel(*state));
            }
            CTA_TIMESTAMP => {
                let start = Attributes::new(value).find(CTA_TIMESTAMP_START);
                let start = start.and_then(|start| start.try_into().ok()).map(u64::from_be_bytes);
                found.3 = start.filter(|start| *start != 0).map(UnixNanos);
            }
            _ => {}
        }
    }
    Some(ConntrackEntry { original: found.0?, reply: found.1?, state: found.2, started: found.3 })
}

fn tuple(value: &[u8]) -> Option<Tuple> {
    let tuple = Attributes::new(value);
    let (ip, transport) = (tuple.nested(CTA_TUPLE_IP)?, tuple.nested(CTA_TUPLE_PROTO)?);
    if transport.find(CTA_PROTO_NUM)? != [TCP] {
        return None;
    }
    let port = |kind| Some(u16::from_be_bytes(transport.find(kind)?.try_into().ok()?));
    let end = |v4, v6, port| {
        let address = match (ip.find(v4), ip.find(v6)) {
            (Some(address), _) => IpAddr::from(<[u8; 4]>::try_from(address).ok()?),
            (None, Some(address)) => IpAddr::from(<[u8; 16]>::try_from(address).ok()?).to_canonical(),
            (None, None) => return None,
        };
        Some(Endpoint { address, port })
    };
    Some(Tuple {
        source: end(CTA_IP_V4_SRC, CTA_IP_V6_SRC, port(CTA_PROTO_SRC_PORT)?)?,
        destination: end(CTA_IP_V4_DST, CTA_IP_V6_DST, port(CTA_PROTO_DST_PORT)?)?,
    })
}

fn entries(body: &[u8]) -> Option<u32> {
    let count = Attributes::new(body).find(CTA_STATS_GLOBAL_ENTRIES)?;
    Some(u32::from_be_bytes(count.try_into().ok()?))
}
