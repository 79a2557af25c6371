//! Shares texts that many objects have: namespaces, nodes, owners, kinds.

use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashSet;

/// One allocation for each text. It is freed some time after its last use.
#[derive(Debug, Default)]
pub(super) struct StringPool {
    strings: HashSet<Arc<str>, RandomState>,
    sweep_at: usize,
}

/// Number of texts from which unused ones are freed.
const FIRST_SWEEP: usize = 256;

// === impl StringPool ===

impl StringPool {
    pub fn get(&mut self, text: &str) -> Arc<str> {
        if let Some(string) = self.strings.get(text) {
            return Arc::clone(string);
        }
        if self.strings.len() >= self.sweep_at {
            self.strings.retain(|string| Arc::strong_count(string) > 1);
            self.sweep_at = (self.strings.len() * 2).max(FIRST_SWEEP);
        }
        let string: Arc<str> = text.into();
        self.strings.insert(Arc::clone(&string));
        string
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.strings.len()
    }
}
