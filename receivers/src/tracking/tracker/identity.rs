//! What stays the same over a connection's life: endpoints, time of the open, origin. 48 bytes each; origins are shared.

use std::hash::{Hash, Hasher};

use hashbrown::HashMap;
use longwave_ebpf_abi::ConnectionEvent;
use longwave_pipeline::model::{Owner, UnixNanos};

/// The constants of one connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Local address, network order; IPv4 is v4-mapped.
    pub local: [u8; 16],
    /// Peer address, likewise.
    pub peer: [u8; 16],
    pub local_port: u16,
    pub peer_port: u16,
    /// Index into the origins.
    pub origin: u32,
    /// When the open began; 0 if it was not observed.
    pub opened: UnixNanos,
}

/// Network namespace and owner of a socket: many connections have the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// Inode of the network namespace.
    pub netns: u32,
    pub owner: Owner,
}

/// Values by index. Freed indices are reused.
// Not the crate `slab`: its tag would make each connection 8 bytes larger.
#[derive(Debug)]
pub struct Slots<T> {
    values: Vec<T>,
    free: Vec<u32>,
}

/// Origins, each stored once, with the number of connections that use it.
#[derive(Debug, Default)]
pub struct Origins {
    slots: Slots<(Origin, u32)>,
    index: HashMap<Origin, u32, foldhash::fast::RandomState>,
}

// === impl Identity ===

impl Identity {
    /// Creates the identity, without an origin.
    pub fn new(event: &ConnectionEvent, opened: UnixNanos) -> Self {
        let t = &event.tuple;
        let (local_port, peer_port) = (t.local_port, t.peer_port);
        Self { local: t.local, peer: t.peer, local_port, peer_port, origin: 0, opened }
    }
}

// === impl Origin ===

impl Hash for Origin {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.owner.cgroup);
        state.write_u64(u64::from(self.owner.pid) << 32 | u64::from(self.netns));
        state.write_u128(u128::from_ne_bytes(self.owner.name));
    }
}

// === impl Slots ===

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self { values: Vec::new(), free: Vec::new() }
    }
}

impl<T: Copy + Default> Slots<T> {
    /// Stores a value. Returns its index.
    pub fn insert(&mut self, value: T) -> u32 {
        match self.free.pop() {
            Some(index) => {
                self.values[index as usize] = value;
                index
            }
            None => {
                self.values.push(value);
                (self.values.len() - 1) as u32
            }
        }
    }

    /// Returns the value at an index, the default if the index is free.
    #[inline]
    pub fn get(&self, index: u32) -> Option<&T> {
        self.values.get(index as usize)
    }

    /// Returns the value at an index, the default if the index is free.
    #[inline]
    pub fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        self.values.get_mut(index as usize)
    }

    /// Returns the number of indices, in use or free.
    pub fn capacity(&self) -> u32 {
        self.values.len() as u32
    }

    /// Returns the values at all indices, in use or free.
    pub fn into_values(self) -> impl Iterator<Item = T> {
        self.values.into_iter()
    }

    /// Frees an index that is in use.
    pub fn remove(&mut self, index: u32) {
        if let Some(value) = self.get_mut(index) {
            *value = T::default();
            self.free.push(index);
        }
        if self.free.len() == self.values.len() {
            // Frees the memory that a burst needed.
            *self = Self::default();
        }
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.values.len() - self.free.len()
    }
}

// === impl Origins ===

impl Origins {
    /// Returns the index of `origin` and increments its number of users.
    pub fn acquire(&mut self, origin: Origin) -> u32 {
        let slots = &mut self.slots;
        let index = *self.index.entry(origin).or_insert_with(|| slots.insert((origin, 0)));
        if let Some((_, users)) = slots.get_mut(index) {
            *users += 1;
        }
        index
    }

    /// Returns the origin at an index that is in use.
    pub fn get(&self, index: u32) -> Origin {
        self.slots.get(index).map(|(origin, _)| *origin).unwrap_or_default()
    }

    /// Decrements the number of users. Frees the index if none is left.
    pub fn release(&mut self, index: u32) {
        let Some((origin, users)) = self.slots.get_mut(index) else { return };
        *users -= 1;
        if *users == 0 {
            self.index.remove(origin);
            self.slots.remove(index);
        }
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.slots.len()
    }
}
