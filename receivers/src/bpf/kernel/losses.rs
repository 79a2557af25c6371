//! Counters of the kernel side, by name.

use longwave_ebpf_abi::tally;

macro_rules! losses {
    ($($(#[$doc:meta])* $field:ident = $index:ident, $reason:literal;)*) => {
        /// Counts since the programs were loaded. Only those in [`Losses::by_reason`] are losses.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Losses {
            $($(#[$doc])* pub $field: u64,)*
            /// Entries that seeding published.
            pub seeded: u64,
            /// Transitions that `state` missed and a later copy of it handled.
            pub second_chance: u64,
            /// Closes without a table entry, reported as `UNTRACKED`.
            pub close_untracked: u64,
            /// Closes without a table entry, not reported because `pre_existing` is off.
            pub close_suppressed: u64,
            /// Closes whose entry another program freed first, reported as `UNTRACKED`.
            pub close_taken: u64,
            /// Records with an unknown size, version or kind.
            pub malformed: u64,
            /// Drains that ended at a record that stayed uncommitted. The next drain returned that record and those after it.
            pub stuck_drains: u64,
        }

        impl Losses {
            /// Returns each loss with its reason, as self-telemetry exports it.
            pub fn by_reason(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$(($reason, self.$field),)* ("malformed", self.malformed)].into_iter()
            }

            /// Converts the counters of the programs, summed over programs and CPUs.
            pub(super) fn from_tallies(counts: &[u64; tally::COUNT], malformed: u64, stuck_drains: u64) -> Self {
                let count = |index: u32| counts.get(index as usize).copied().unwrap_or_default();
                Self {
                    $($field: count(tally::$index),)*
                    seeded: count(tally::SEEDED),
                    second_chance: count(tally::SECOND_CHANCE),
                    close_untracked: count(tally::CLOSE_UNTRACKED),
                    close_suppressed: count(tally::CLOSE_SUPPRESSED),
                    close_taken: count(tally::CLOSE_TAKEN),
                    malformed,
                    stuck_drains,
                }
            }
        }
    };
}

losses! {
    /// `OPEN` events lost because the transitions ring was full.
    open_ring_full = OPEN_RING_FULL, "open_ring_full";
    /// `CLOSE` events lost because the transitions ring was full. The last bytes of these connections are not reported.
    close_ring_full = CLOSE_RING_FULL, "close_ring_full";
    /// `LISTEN` and `UNLISTEN` events lost because the transitions ring was full.
    listen_ring_full = LISTEN_RING_FULL, "listen_ring_full";
    /// Samples deferred to the next pass because the samples ring was full.
    sample_ring_full = SAMPLE_RING_FULL, "sample_ring_full";
    /// Connections not sampled because both of their buckets were full. Their close is reported as `UNTRACKED`.
    table_full = TABLE_FULL, "table_full";
    /// Connections whose close was missed, as a sampling pass found.
    vanished = VANISHED, "vanished";
    /// Connections whose close was missed, as a new connection of the same socket found.
    replaced = REPLACED, "replaced";
    /// Samples discarded because their slot was reused for another connection meanwhile.
    sample_raced = SAMPLE_RACED, "sample_raced";
    /// Connections that closed while they were seeded.
    seed_raced = SEED_RACED, "seed_raced";
    /// Creations and removals of cgroups lost because their ring was full. The paths are read from the directories, as long as these exist.
    cgroup_ring_full = CGROUP_RING_FULL, "cgroup_ring_full";
    /// Cgroups for which there was no room: new ones, and older ones that the setting `cgroup` selects. Their connections are not reported
    /// until there is room.
    cgroup_scope_full = CGROUP_SCOPE_FULL, "cgroup_scope_full";
}

impl Losses {
    /// Returns the counts that are no losses, by the kind that self-telemetry exports.
    pub fn other_events(&self) -> [(&'static str, u64); 6] {
        [
            ("seeded", self.seeded),
            ("second_chance", self.second_chance),
            ("close_untracked", self.close_untracked),
            ("close_suppressed", self.close_suppressed),
            ("close_taken", self.close_taken),
            ("stuck_drain", self.stuck_drains),
        ]
    }

    /// Returns the number of samples that may be missing.
    pub fn lost_samples(&self) -> u64 {
        self.sample_ring_full + self.sample_raced + self.malformed + self.stuck_drains
    }

    /// Returns the number of `CLOSE` events that were not delivered.
    pub fn lost_closes(&self) -> u64 {
        self.close_ring_full
    }
}
