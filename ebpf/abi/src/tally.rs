//! Indices of the counters of the BPF programs. Each program counts for itself on each CPU.

macro_rules! tallies {
    ($($(#[$doc:meta])* $name:ident = $index:literal,)*) => {
        $($(#[$doc])* pub const $name: u32 = $index;)*
        /// Number of counters.
        pub const COUNT: usize = [$(stringify!($name)),*].len();
    };
}

tallies! {
    /// `OPEN` events lost because the transitions ring was full.
    OPEN_RING_FULL = 0,
    /// `CLOSE` events lost because the transitions ring was full.
    CLOSE_RING_FULL = 1,
    /// `LISTEN` and `UNLISTEN` events lost because the transitions ring was full.
    LISTEN_RING_FULL = 2,
    /// `SAMPLE` and `VANISHED` events deferred to the next pass because the samples ring was full.
    SAMPLE_RING_FULL = 3,
    /// Connections not tracked because both buckets of the socket were full.
    TABLE_FULL = 4,
    /// Closes without a table entry, reported as `UNTRACKED`.
    CLOSE_UNTRACKED = 5,
    /// Closes without a table entry, not reported because `pre_existing` is off.
    CLOSE_SUPPRESSED = 6,
    /// Closes whose entry another program freed first, reported as `UNTRACKED`.
    CLOSE_TAKEN = 7,
    /// Entries that the sampler removed because their socket was gone or reused. Their close was missed.
    VANISHED = 8,
    /// Entries that a new connection of the same socket removed. Their close was missed.
    REPLACED = 9,
    /// Samples discarded because the slot or the socket was reused for another connection while it was read.
    SAMPLE_RACED = 10,
    /// Transitions that `state` missed and that a later copy of it handled.
    SECOND_CHANCE = 11,
    /// Entries that seeding published.
    SEEDED = 12,
    /// Entries that seeding removed again because the socket closed or was reused meanwhile.
    SEED_RACED = 13,
    /// `CGROUP_CREATED` and `CGROUP_REMOVED` events lost because the cgroups ring was full.
    CGROUP_RING_FULL = 14,
    /// New cgroups whose connections are not reported because the map `cgroup_scope` was full.
    CGROUP_SCOPE_FULL = 15,
}

/// Programs that count separately.
///
/// A program cannot interrupt itself on a CPU, so that counting per program and CPU needs no atomic operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// `state`.
    State = 0,
    /// `state_again`.
    StateAgain = 1,
    /// `state_third`.
    StateThird = 2,
    /// `seed_files` and `seed_namespace`. Only one of them runs at a time.
    Seed = 3,
    /// `sample`.
    Sample = 4,
    /// `cgroup_created` and `cgroup_removed`. The kernel runs only one of them at a time.
    Cgroup = 5,
}

/// Number of variants of [`Program`].
pub const PROGRAMS: u32 = 6;
