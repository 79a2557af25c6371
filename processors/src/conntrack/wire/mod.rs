//! Three requests of ctnetlink, the kernel's protocol for connection tracking: look up a connection, list all connections, count them.
//!
//! Values are in network byte order. A message that is not valid yields no entry and never causes a panic.
//!
//! The crate `netlink-packet-netfilter` (0.4.0) is not used, because it supports neither the timestamps of entries nor the count of
//! connections. It also allocates a vector per nested attribute, while this module reads a list of 131,072 entries without allocation.

mod decode;
mod encode;

#[cfg(test)]
mod tests;

pub(super) use decode::{Messages, Payload};
pub(super) use encode::{count, dump, get};

/// `NFNL_SUBSYS_CTNETLINK << 8`.
const SUBSYSTEM: u16 = 1 << 8;
/// `IPCTNL_MSG_CT_NEW`: the reply to a look-up.
const CT_NEW: u16 = SUBSYSTEM;
const CT_GET: u16 = SUBSYSTEM | 1;
const CT_GET_STATS: u16 = SUBSYSTEM | 5;

/// Size of `struct nfgenmsg` in bytes.
const GENERIC: usize = 4;
const NESTED: u16 = 1 << 15;

const AF_UNSPEC: u8 = 0;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const TCP: u8 = 6;

const CTA_TUPLE_ORIG: u16 = 1;
const CTA_TUPLE_REPLY: u16 = 2;
const CTA_PROTOINFO: u16 = 4;
const CTA_TIMESTAMP: u16 = 20;
const CTA_TUPLE_IP: u16 = 1;
const CTA_TUPLE_PROTO: u16 = 2;
const CTA_IP_V4_SRC: u16 = 1;
const CTA_IP_V4_DST: u16 = 2;
const CTA_IP_V6_SRC: u16 = 3;
const CTA_IP_V6_DST: u16 = 4;
const CTA_PROTO_NUM: u16 = 1;
const CTA_PROTO_SRC_PORT: u16 = 2;
const CTA_PROTO_DST_PORT: u16 = 3;
const CTA_PROTOINFO_TCP: u16 = 1;
const CTA_PROTOINFO_TCP_STATE: u16 = 1;
const CTA_TIMESTAMP_START: u16 = 1;
const CTA_STATS_GLOBAL_ENTRIES: u16 = 1;
