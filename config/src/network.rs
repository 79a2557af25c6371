//! A network in CIDR notation.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use serde::de::{Deserialize, Deserializer, Error};
use serde::{Serialize, Serializer};

/// Addresses with a common prefix: `10.0.0.0/8`, `fd00::/8`, or one address, `192.0.2.1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network(IpNet);

/// Why a text is no network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidNetwork {
    /// Neither an address nor an address and a prefix length.
    #[error("invalid network {0:?} (write for example 10.0.0.0/8, fd00::/8 or 192.0.2.1)")]
    Malformed(String),
    /// `10.1.2.3/8`: one address was written where a network was meant, or the reverse.
    #[error(
        "network {text:?} has bits set beyond its prefix (write {network} for the network, {address} for the address)"
    )]
    HostBits {
        /// What was written.
        text: String,
        /// The network.
        network: IpNet,
        /// The address.
        address: IpAddr,
    },
}

// === impl Network ===

impl Network {
    /// Is the address in the network?
    pub fn contains(&self, address: &IpAddr) -> bool {
        self.0.contains(address)
    }

    /// The prefix.
    pub fn prefix(&self) -> IpNet {
        self.0
    }
}

impl FromStr for Network {
    type Err = InvalidNetwork;

    fn from_str(text: &str) -> Result<Self, InvalidNetwork> {
        if let Ok(address) = text.trim().parse::<IpAddr>() {
            return Ok(Self(IpNet::from(address.to_canonical())));
        }
        let written: IpNet = text.trim().parse().map_err(|_| InvalidNetwork::Malformed(text.to_owned()))?;
        let network = written.trunc();
        if network.addr() != written.addr() {
            return Err(InvalidNetwork::HostBits { text: text.to_owned(), network, address: written.addr() });
        }
        Ok(Self(network))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Network {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}
