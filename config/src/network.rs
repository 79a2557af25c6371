//! Networks in CIDR notation.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use serde::de::{Deserialize, Deserializer, Error};
use serde::{Serialize, Serializer};

/// A network such as `10.0.0.0/8` or `fd00::/8`, or a single address such as `192.0.2.1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network(IpNet);

/// Why a string is not a network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidNetwork {
    /// Neither an address nor an address and a prefix length.
    #[error("invalid network {0:?} (write for example 10.0.0.0/8, fd00::/8 or 192.0.2.1)")]
    Malformed(String),
    /// `10.1.2.3/8`: it is unclear whether the network or the address is meant.
    #[error(
        "network {text:?} has bits set beyond its prefix (write {network} for the network, {address} for the address)"
    )]
    HostBits {
        /// The configured string.
        text: String,
        /// The network, with these bits cleared.
        network: IpNet,
        /// The address, without the prefix length.
        address: IpAddr,
    },
}

// === impl Network ===

impl Network {
    /// Returns whether the network contains `address`.
    pub fn contains(&self, address: &IpAddr) -> bool {
        self.0.contains(address)
    }

    /// Returns the address and the prefix length.
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
