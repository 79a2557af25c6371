//! A vector with holes: values keep their index for as long as they live, and holes are filled first.

/// Values by index.
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
    /// Puts a value into the first free slot. Indices stay below `u32::MAX - 1`, so that callers have two values for "none".
    pub fn insert(&mut self, value: T) -> u32 {
        if let Some(index) = self.free.pop() {
            self.slots[index as usize] = Some(value);
            return index;
        }
        self.slots.push(Some(value));
        (self.slots.len() - 1) as u32
    }

    /// Empties a slot.
    pub fn remove(&mut self, index: u32) -> Option<T> {
        let value = self.slots.get_mut(index as usize)?.take();
        if value.is_some() {
            self.free.push(index);
        }
        value
    }

    /// The value at `index`.
    #[inline]
    pub fn get(&self, index: u32) -> Option<&T> {
        self.slots.get(index as usize)?.as_ref()
    }

    /// The value at `index`.
    #[inline]
    pub fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        self.slots.get_mut(index as usize)?.as_mut()
    }

    /// All values, in the order of indices.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().flatten()
    }

    /// Values held.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Visits every value in the order of indices and keeps those for which `keep` says so.
    pub fn retain(&mut self, mut keep: impl FnMut(u32, &mut T) -> bool) {
        for (index, slot) in self.slots.iter_mut().enumerate() {
            if slot.as_mut().is_some_and(|value| !keep(index as u32, value)) {
                *slot = None;
                self.free.push(index as u32);
            }
        }
    }
}
