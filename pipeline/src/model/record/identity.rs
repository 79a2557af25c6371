//! The identity of a connection, and the addresses of its ends.

use std::fmt;
use std::net::IpAddr;

/// Identifies a connection. Unique on its host across boots and reused sockets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId {
    /// First 32 bits of the kernel's boot id (`component::host::BootId::short`). Cookies start again at each boot.
    pub boot: u32,
    /// Inode of the socket's network namespace.
    pub netns: u32,
    /// Socket cookie (`SO_COOKIE`).
    pub cookie: u64,
    /// Monotonic time of the open in nanoseconds, which differs when a socket is reconnected and keeps its cookie. 0 for a seeded
    /// connection.
    pub generation: u64,
}

/// An address and a port. A v4-mapped IPv6 address is stored as IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoint {
    /// IPv4 address, or IPv6 address that is not v4-mapped.
    pub address: IpAddr,
    /// Port; 0 where the kernel had not assigned it yet.
    pub port: u16,
}

// === impl ConnectionId ===

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}-{:x}-{:x}", self.boot, self.cookie, self.generation)
    }
}

// === impl Endpoint ===

impl Endpoint {
    /// Converts 16 bytes in network order. A v4-mapped address becomes IPv4.
    pub fn from_bytes(address: [u8; 16], port: u16) -> Self {
        Self { address: IpAddr::V6(address.into()).to_canonical(), port }
    }

    /// Returns 16 bytes in network order. IPv4 is v4-mapped.
    pub fn address_bytes(&self) -> [u8; 16] {
        match self.address {
            IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
            IpAddr::V6(v6) => v6.octets(),
        }
    }
}

impl Default for Endpoint {
    fn default() -> Self {
        Self { address: IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), port: 0 }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        std::net::SocketAddr::new(self.address, self.port).fmt(f)
    }
}
