//! [`Subchannels`]: the connections of a balancer, and their states.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use tokio::time::Instant;
use tonic::transport::Channel;

use crate::otlp::grpc::BalancerName;
use crate::otlp::grpc::connector::Address;

/// The subchannels of one endpoint.
pub(super) struct Subchannels {
    policy: BalancerName,
    all: Vec<Subchannel>,
    /// Position at which the search for the next open connection begins, modulo the number of subchannels.
    next: usize,
    next_id: u64,
}

/// At most one connection.
struct Subchannel {
    id: u64,
    /// Addresses to try in this order.
    addresses: Vec<Address>,
    connection: Connection,
    /// Whether the last attempt to open a connection failed.
    is_failing: bool,
}

enum Connection {
    /// None, and none is being opened.
    Idle,
    Connecting,
    Ready(Address, Channel),
    Failed {
        message: String,
        at: Instant,
    },
}

// === impl Subchannels ===

impl Subchannels {
    pub fn new(policy: BalancerName) -> Self {
        // Otherwise all nodes would send their first request to the same address.
        let next = RandomState::new().hash_one(0) as usize;
        Self { policy, all: Vec::new(), next, next_id: 0 }
    }

    pub fn len(&self) -> usize {
        self.all.len()
    }

    pub fn has_ready(&self) -> bool {
        self.all.iter().any(|one| matches!(one.connection, Connection::Ready(..)))
    }

    pub fn is_connecting(&self) -> bool {
        self.all.iter().any(|one| matches!(one.connection, Connection::Connecting))
    }

    /// Sets the addresses. Connections to addresses that stay are kept.
    pub fn set_addresses(&mut self, mut addresses: Vec<Address>) {
        let mut unique = Vec::with_capacity(addresses.len());
        for address in addresses.drain(..) {
            if !unique.contains(&address) {
                unique.push(address);
            }
        }
        let groups = match self.policy {
            BalancerName::RoundRobin => unique.into_iter().map(|address| vec![address]).collect(),
            BalancerName::PickFirst => vec![unique],
        };
        let mut old = std::mem::take(&mut self.all);
        for group in groups {
            let kept = old.iter().position(|one| one.serves(&group)).map(|index| old.swap_remove(index));
            let subchannel = kept.unwrap_or_else(|| {
                self.next_id += 1;
                Subchannel {
                    id: self.next_id,
                    addresses: Vec::new(),
                    connection: Connection::Idle,
                    is_failing: false,
                }
            });
            self.all.push(Subchannel { addresses: group, ..subchannel });
        }
    }

    /// Returns the next open connection, and the id of its subchannel.
    pub fn next_ready(&mut self) -> Option<(u64, Channel)> {
        let count = self.all.len();
        for offset in 0..count {
            let index = self.next.wrapping_add(offset) % count;
            if let Subchannel { id, connection: Connection::Ready(_, channel), .. } = &self.all[index] {
                self.next = index + 1;
                return Some((*id, channel.clone()));
            }
        }
        None
    }

    /// Returns the subchannels whose connections have to be opened now, with their addresses. They count as connecting from now on. Those that
    /// failed are due after `retry_after` if another connection is open. Otherwise they are due if `retries_failed` is true.
    pub fn take_due(
        &mut self,
        has_ready: bool,
        retries_failed: bool,
        retry_after: Duration,
    ) -> Vec<(u64, Vec<Address>)> {
        let is_due = |connection: &Connection| match connection {
            Connection::Idle => true,
            Connection::Failed { at, .. } if has_ready => at.elapsed() >= retry_after,
            Connection::Failed { .. } => retries_failed,
            Connection::Connecting | Connection::Ready(..) => false,
        };
        let due = self.all.iter_mut().filter(|one| is_due(&one.connection)).map(|one| {
            one.connection = Connection::Connecting;
            (one.id, one.addresses.clone())
        });
        due.collect()
    }

    /// Stores the connection of a subchannel, if that still exists.
    pub fn opened(&mut self, id: u64, address: Address, channel: Channel) {
        if let Some(one) = self.find(id) {
            (one.connection, one.is_failing) = (Connection::Ready(address, channel), false);
        }
    }

    /// Stores why the connection of a subchannel could not be opened. Returns whether the attempt before had not failed.
    pub fn failed(&mut self, id: u64, message: &str) -> bool {
        let Some(one) = self.find(id) else { return false };
        one.connection = Connection::Failed { message: message.to_owned(), at: Instant::now() };
        !std::mem::replace(&mut one.is_failing, true)
    }

    /// Removes the connection of a subchannel.
    pub fn lost(&mut self, id: u64) {
        if let Some(one) = self.find(id)
            && matches!(one.connection, Connection::Ready(..))
        {
            one.connection = Connection::Idle;
        }
    }

    /// Returns why the last connection could not be opened, with the number of addresses if there are several.
    pub fn failure(&self) -> String {
        let failures = self.all.iter().filter_map(|one| match &one.connection {
            Connection::Failed { message, at } => Some((at, message)),
            _ => None,
        });
        let message = failures.max_by_key(|(at, _)| **at).map(|(_, message)| message.as_str());
        let count = self.all.iter().map(|one| one.addresses.len()).sum::<usize>();
        let note = if count > 1 {
            format!(" (none of the {count} addresses of the name accepts a connection)")
        } else {
            String::new()
        };
        format!("{}{note}", message.unwrap_or("no connection"))
    }

    fn find(&mut self, id: u64) -> Option<&mut Subchannel> {
        self.all.iter_mut().find(|one| one.id == id)
    }
}

// === impl Subchannel ===

impl Subchannel {
    /// Returns whether its connection can be kept if it gets these addresses.
    fn serves(&self, addresses: &[Address]) -> bool {
        match &self.connection {
            Connection::Ready(address, _) => addresses.contains(address),
            _ => self.addresses == addresses,
        }
    }
}
