//! Settings of `memory_limiter`.

use std::time::Duration;

use longwave_config::GoDuration;
use longwave_pipeline::component::{ComponentConfig, Problems};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `memory_limiter`, with the names and defaults of the Collector's processor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct MemoryLimiterConfig {
    /// Time between two measurements of the resident memory. Must be greater than zero.
    #[schemars(example = &"1s")]
    pub check_interval: GoDuration,
    /// Limit of the resident memory in MiB; 0: `limit_percentage`.
    #[schemars(example = 200)]
    pub limit_mib: u64,
    /// Part of the limit in MiB that is kept free for what arrives between two measurements; 0: a fifth of the limit.
    pub spike_limit_mib: u64,
    /// Limit in percent of the memory that the process may use: the smallest limit of its cgroups, but at most the memory of the host.
    #[schemars(example = 80)]
    pub limit_percentage: u64,
    /// `spike_limit_mib` in percent of the memory that the process may use; 0: a fifth of the limit.
    pub spike_limit_percentage: u64,
    /// Shortest time between two requests to the allocator to give memory back, while the memory is above the soft limit (the limit minus
    /// the part that is kept free).
    pub min_gc_interval_when_soft_limited: GoDuration,
    /// Shortest time between two requests to the allocator to give memory back, while the memory is above the limit.
    pub min_gc_interval_when_hard_limited: GoDuration,
}

/// Limits in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MemoryLimits {
    /// Records are refused above it.
    pub(super) soft: u64,
    pub(super) hard: u64,
}

/// Longest interval: an hour.
const MAX_INTERVAL: GoDuration = GoDuration::from_secs(3600);
/// Largest limit: 1 PiB.
const MAX_MIB: u64 = 1 << 30;

// === impl MemoryLimiterConfig ===

impl Default for MemoryLimiterConfig {
    fn default() -> Self {
        Self {
            check_interval: GoDuration::from(Duration::ZERO),
            limit_mib: 0,
            spike_limit_mib: 0,
            limit_percentage: 0,
            spike_limit_percentage: 0,
            min_gc_interval_when_soft_limited: GoDuration::from_secs(10),
            min_gc_interval_when_hard_limited: GoDuration::from(Duration::ZERO),
        }
    }
}

impl MemoryLimiterConfig {
    /// Returns the limits. `memory` is the memory that the process may use, in bytes; `None` if it is unknown and needed.
    pub(super) fn limits(&self, memory: Option<u64>) -> Option<MemoryLimits> {
        let mib = |mib: u64| mib.saturating_mul(1 << 20);
        let (hard, spike) = if self.limit_mib > 0 {
            (mib(self.limit_mib), mib(self.spike_limit_mib))
        } else {
            let share = |percentage: u64| memory.map(|memory| memory / 100 * percentage);
            (share(self.limit_percentage)?, share(self.spike_limit_percentage)?)
        };
        let spike = if spike == 0 { hard / 5 } else { spike };
        Some(MemoryLimits { soft: hard.saturating_sub(spike), hard })
    }
}

impl ComponentConfig for MemoryLimiterConfig {
    fn validate(&self, problems: &mut Problems) {
        if self.check_interval.is_zero() {
            problems.at("check_interval", "must be greater than zero, for example 1s");
        }
        problems.at_most("check_interval", self.check_interval, MAX_INTERVAL);
        problems.at_most("limit_mib", self.limit_mib, MAX_MIB);
        if self.limit_mib == 0 && self.limit_percentage == 0 {
            problems.at("", "'limit_mib' or 'limit_percentage' must be greater than zero, for example limit_percentage: 80");
        }
        for (key, percentage) in [
            ("limit_percentage", self.limit_percentage),
            ("spike_limit_percentage", self.spike_limit_percentage),
        ] {
            problems.at_most(key, percentage, 100);
        }
        if self.limit_mib > 0 && self.spike_limit_mib >= self.limit_mib {
            problems.at("spike_limit_mib", "must be smaller than limit_mib");
        }
        if self.limit_percentage > 0 && self.spike_limit_percentage >= self.limit_percentage {
            problems.at("spike_limit_percentage", "must be smaller than limit_percentage");
        }
        let (soft, hard) = (self.min_gc_interval_when_soft_limited, self.min_gc_interval_when_hard_limited);
        problems.at_most("min_gc_interval_when_soft_limited", soft, MAX_INTERVAL);
        if soft < hard {
            problems.at(
                "min_gc_interval_when_soft_limited",
                "must not be less than min_gc_interval_when_hard_limited",
            );
        }
    }

    fn is_first(&self) -> bool {
        true
    }
}
