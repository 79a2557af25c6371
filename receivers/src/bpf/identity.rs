//! What stays the same over a connection's life: its endpoints, and whose it is. 40 bytes each; owners are shared.

use std::hash::{Hash, Hasher};

use hashbrown::HashMap;
use longwave_pipeline::model::Owner;

/// One connection's ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Local address, network order, IPv4 mapped.
    pub local: [u8; 16],
    /// Peer address, likewise.
    pub peer: [u8; 16],
    /// Local port.
    pub local_port: u16,
    /// Peer port.
    pub peer_port: u16,
    /// Index of its place.
    pub place: u32,
}

/// Where a socket is and whose: many connections share one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Inode of the network namespace.
    pub netns: u32,
    /// Owner.
    pub owner: Owner,
}

/// Values by index; freed places are used again.
#[derive(Debug)]
pub struct Slots<T> {
    values: Vec<T>,
    free: Vec<u32>,
}

/// Places, each kept once, with the number of its users.
#[derive(Debug, Default)]
pub struct Places {
    slots: Slots<(Place, u32)>,
    index: HashMap<Place, u32, foldhash::fast::RandomState>,
}

// === impl Place ===

impl Hash for Place {
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
    /// Keeps a value; gives its index.
    pub fn insert(&mut self, value: T) -> u32 {
        match self.free.pop() {
            Some(index) => {
                self.set(index, value);
                index
            }
            None => {
                self.values.push(value);
                (self.values.len() - 1) as u32
            }
        }
    }

    /// The value at an index that is in use.
    pub fn get(&self, index: u32) -> T {
        self.values.get(index as usize).copied().unwrap_or_default()
    }

    /// Replaces it.
    pub fn set(&mut self, index: u32, value: T) {
        if let Some(slot) = self.values.get_mut(index as usize) {
            *slot = value;
        }
    }

    /// Gives the index back.
    pub fn remove(&mut self, index: u32) {
        self.free.push(index);
        if self.free.len() == self.values.len() {
            // Nothing is in use: a burst's memory goes back.
            *self = Self::default();
        }
    }

    /// Values in use.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.values.len() - self.free.len()
    }
}

// === impl Places ===

impl Places {
    /// The index of `place`, with one more user.
    pub fn acquire(&mut self, place: Place) -> u32 {
        let slots = &mut self.slots;
        let index = *self.index.entry(place).or_insert_with(|| slots.insert((place, 0)));
        let (place, users) = slots.get(index);
        slots.set(index, (place, users + 1));
        index
    }

    /// The place at an index.
    pub fn get(&self, index: u32) -> Place {
        self.slots.get(index).0
    }

    /// One user less.
    pub fn release(&mut self, index: u32) {
        let (place, users) = self.slots.get(index);
        if users > 1 {
            self.slots.set(index, (place, users - 1));
        } else {
            self.index.remove(&place);
            self.slots.remove(index);
        }
    }

    /// Places in use.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.slots.len()
    }
}
