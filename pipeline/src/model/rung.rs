//! [`Rung`]: what a series without room is folded into.

/// How coarse the series is into which a series without room is folded. The finest rung is first, and is tried first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Rung {
    /// All connections between two pods.
    Pod = 0,
    /// All connections between two workloads, which are the owners of pods.
    Owner = 1,
    /// All connections between two namespaces.
    Namespace = 2,
    /// The level's overflow series.
    Overflow = 3,
}

// === impl Rung ===

impl Rung {
    /// All rungs, the finest first.
    pub const ALL: [Self; 4] = [Self::Pod, Self::Owner, Self::Namespace, Self::Overflow];

    /// Returns `pod`, `owner`, `namespace` or `overflow`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pod => "pod",
            Self::Owner => "owner",
            Self::Namespace => "namespace",
            Self::Overflow => "overflow",
        }
    }
}
