//! What the kernel side counts, by name.

use longwave_ebpf_abi::tally;

macro_rules! losses {
    ($($(#[$doc:meta])* $field:ident = $index:ident, $reason:literal;)*) => {
        /// Counts since the programs were loaded. What is not in [`Losses::by_reason`] is no loss.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Losses {
            $($(#[$doc])* pub $field: u64,)*
            /// Entries inserted by seeding.
            pub seeded: u64,
            /// Transitions that `state` missed and `state_again` handled.
            pub second_chance: u64,
            /// Closes that had no entry: reported, as `UNTRACKED`.
            pub close_untracked: u64,
            /// Closes that had no entry, not reported since `pre_existing` is off.
            pub close_suppressed: u64,
            /// Closes whose entry another program freed first: reported, as `UNTRACKED`.
            pub close_taken: u64,
            /// Records that no program of ours writes.
            pub malformed: u64,
            /// Drains cut short by a record that stayed uncommitted; its successors came with the next drain.
            pub stuck_drains: u64,
        }

        impl Losses {
            /// Every loss with the reason that self-telemetry exports.
            pub fn by_reason(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$(($reason, self.$field),)* ("malformed", self.malformed)].into_iter()
            }

            /// From the kernel's counters.
            pub(super) fn from_tallies(counts: &[u64; tally::COUNT], malformed: u64, stuck_drains: u64) -> Self {
                let of = |index: u32| counts.get(index as usize).copied().unwrap_or_default();
                Self {
                    $($field: of(tally::$index),)*
                    seeded: of(tally::SEEDED),
                    second_chance: of(tally::SECOND_CHANCE),
                    close_untracked: of(tally::CLOSE_UNTRACKED),
                    close_suppressed: of(tally::CLOSE_SUPPRESSED),
                    close_taken: of(tally::CLOSE_TAKEN),
                    malformed,
                    stuck_drains,
                }
            }
        }
    };
}

losses! {
    /// `OPEN` events: transitions ring full.
    open_ring_full = OPEN_RING_FULL, "open_ring_full";
    /// `CLOSE` events: transitions ring full. The connection's last bytes are lost.
    close_ring_full = CLOSE_RING_FULL, "close_ring_full";
    /// `LISTEN` and `UNLISTEN` events: transitions ring full.
    listen_ring_full = LISTEN_RING_FULL, "listen_ring_full";
    /// Samples put off to the next pass: samples ring full.
    sample_ring_full = SAMPLE_RING_FULL, "sample_ring_full";
    /// Connections not tracked, so not sampled: both of their buckets are full. Their close is reported as `UNTRACKED`.
    table_full = TABLE_FULL, "table_full";
    /// Connections whose close was missed; found by the sampler.
    vanished = VANISHED, "vanished";
    /// Connections whose close was missed; found by a new connection of the same socket address.
    replaced = REPLACED, "replaced";
    /// Samples discarded, since the slot became another connection's meanwhile.
    sample_raced = SAMPLE_RACED, "sample_raced";
    /// Seeded connections that closed meanwhile.
    seed_raced = SEED_RACED, "seed_raced";
}

impl Losses {
    /// `CLOSE` events that were not delivered.
    pub fn lost_closes(&self) -> u64 {
        self.close_ring_full
    }
}
