//! A vector with free slots: a value keeps its index until it is removed, and free slots are reused first.

/// Values by index.
// Not the crate `slab`: the bench `window` was 4 % slower with it, and every caller had to convert its indices from and to usize.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    slots: Vec<Option<T>>,
    free: Vec<u32>,
}

// === impl Slab ===

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { slots: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slab<T> {
    /// Stores a value in the slot that was freed last, or in a new one. Returns its index. Indices stay below `u32::MAX - 1`, so that
    /// callers can use two values that are no index.
    pub fn insert(&mut self, value: T) -> u32 {
        if let Some(index) = self.free.pop() {
            self.slots[index as usize] = Some(value);
            return index;
        }
        self.slots.push(Some(value));
        (self.slots.len() - 1) as u32
    }

    /// Removes and returns the value at `index`. `None` if the slot is free.
    pub fn remove(&mut self, index: u32) -> Option<T> {
        let value = self.slots.get_mut(index as usize)?.take();
        if value.is_some() {
            self.free.push(index);
        }
        value
    }

    /// Returns the value at `index`.
    #[inline]
    pub fn get(&self, index: u32) -> Option<&T> {
        self.slots.get(index as usize)?.as_ref()
    }

    /// Returns the value at `index`.
    #[inline]
    pub fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        self.slots.get_mut(index as usize)?.as_mut()
    }

    /// Returns all values, in the order of indices.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().flatten()
    }

    /// Removes all values, in the order of indices.
    pub fn into_values(self) -> impl Iterator<Item = T> {
        self.slots.into_iter().flatten()
    }

    /// Returns the number of values.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Visits every value in the order of indices, and removes those for which `keep` returns false.
    pub fn retain(&mut self, mut keep: impl FnMut(u32, &mut T) -> bool) {
        for (index, slot) in self.slots.iter_mut().enumerate() {
            if slot.as_mut().is_some_and(|value| !keep(index as u32, value)) {
                *slot = None;
                self.free.push(index as u32);
            }
        }
    }
}
