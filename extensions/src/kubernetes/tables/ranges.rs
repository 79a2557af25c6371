//! Networks in which addresses are assigned. An unknown address in one of them may have been assigned a moment ago.

use std::hash::Hash;
use std::net::IpAddr;

use super::counted_set::CountedSet;

/// Networks of one size for IPv4 and one for IPv6, with the number of known addresses in each.
#[derive(Debug)]
pub(super) struct AddressRanges {
    prefixes: [u32; 2],
    networks: CountedSet<Network>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Network {
    V4(u32),
    V6(u128),
}

// === impl AddressRanges ===

impl AddressRanges {
    /// Returns an empty set with prefixes of these lengths, each at least 1.
    pub fn new(v4: u32, v6: u32) -> Self {
        Self { prefixes: [v4, v6], networks: CountedSet::default() }
    }

    pub fn contains(&self, address: IpAddr) -> bool {
        self.networks.contains(&self.network(address))
    }

    pub fn add(&mut self, address: IpAddr) {
        self.networks.add(self.network(address));
    }

    pub fn remove(&mut self, address: IpAddr) {
        self.networks.remove(&self.network(address));
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.networks.len()
    }

    fn network(&self, address: IpAddr) -> Network {
        let [v4, v6] = self.prefixes;
        match address {
            IpAddr::V4(address) => Network::V4(address.to_bits() >> (32 - v4)),
            IpAddr::V6(address) => Network::V6(address.to_bits() >> (128 - v6)),
        }
    }
}
