//! Texts that many objects share: namespaces, nodes, owners, kinds.

use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashSet;

/// One allocation for each text, freed some time after its last use.
#[derive(Debug, Default)]
pub(super) struct StringPool {
    held: HashSet<Arc<str>, RandomState>,
    sweep_at: usize,
}

const FIRST_SWEEP: usize = 256;

// === impl StringPool ===

impl StringPool {
    pub fn get(&mut self, text: &str) -> Arc<str> {
        if let Some(held) = self.held.get(text) {
            return Arc::clone(held);
        }
        if self.held.len() >= self.sweep_at {
            self.held.retain(|word| Arc::strong_count(word) > 1);
            self.sweep_at = (self.held.len() * 2).max(FIRST_SWEEP);
        }
        let word: Arc<str> = text.into();
        self.held.insert(Arc::clone(&word));
        word
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.held.len()
    }
}
