//! Networks in which addresses are assigned. An unknown address in one of them may have been assigned a moment ago.

use std::hash::Hash;
use std::net::IpAddr;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

/// Networks of one size for IPv4 and one for IPv6, with the number of known addresses in each.
#[derive(Debug)]
pub(super) struct AddressRanges {
    prefixes: [u32; 2],
    networks: HashMap<Network, u32, RandomState>,
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
        Self { prefixes: [v4, v6], networks: HashMap::default() }
    }

    pub fn contains(&self, address: IpAddr) -> bool {
        self.networks.contains_key(&self.network(address))
    }

    pub fn add(&mut self, address: IpAddr) {
        *self.networks.entry(self.network(address)).or_default() += 1;
    }

    pub fn remove(&mut self, address: IpAddr) {
        let network = self.network(address);
        if let Some(count) = self.networks.get_mut(&network) {
            *count -= 1;
            if *count == 0 {
                self.networks.remove(&network);
            }
        }
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
