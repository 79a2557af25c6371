//! Names of congestion controls, each stored once.

/// The names that were seen. A connection stores the index of its name.
#[derive(Debug, Default)]
pub struct CongestionNames(Vec<[u8; 16]>);

/// Index of a name that is not known.
pub const NO_NAME: u8 = 0;

impl CongestionNames {
    /// Returns the index of a name that an event has. [`NO_NAME`] if it has none, or if there are 255 others: a kernel has about 20.
    pub fn index(&mut self, name: [u8; 16]) -> u8 {
        if name[0] == 0 {
            return NO_NAME;
        }
        let known = self.0.iter().position(|known| *known == name);
        let index = known.unwrap_or_else(|| {
            if self.0.len() < usize::from(u8::MAX) {
                self.0.push(name);
            }
            self.0.iter().position(|known| *known == name).unwrap_or(usize::from(u8::MAX))
        });
        u8::try_from(index + 1).unwrap_or(NO_NAME)
    }

    /// Returns the name at an index; zeros for [`NO_NAME`].
    pub fn name(&self, index: u8) -> [u8; 16] {
        usize::from(index).checked_sub(1).and_then(|index| self.0.get(index)).copied().unwrap_or_default()
    }
}
