//! [`Level`]: the level of detail of a series.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a series distinguishes: services, workloads or connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Level {
    /// Source workload → destination service.
    Service = 0,
    /// Source workload → destination workload.
    Workload = 1,
    /// One connection.
    Connection = 2,
}

// === impl Level ===

impl Level {
    /// All levels, the coarsest first.
    pub const ALL: [Self; 3] = [Self::Service, Self::Workload, Self::Connection];

    /// Returns `service`, `workload` or `connection`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Workload => "workload",
            Self::Connection => "connection",
        }
    }
}
