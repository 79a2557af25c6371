//! What the kernel side counts.

macro_rules! tallies {
    ($($(#[$doc:meta])* $name:ident = $index:literal,)*) => {
        $($(#[$doc])* pub const $name: u32 = $index;)*
        /// How many counters there are.
        pub const COUNT: usize = [$(stringify!($name)),*].len();
    };
}

tallies! {
    /// `OPEN` events lost: transitions ring full.
    OPEN_RING_FULL = 0,
    /// `CLOSE` events lost: transitions ring full.
    CLOSE_RING_FULL = 1,
    /// `LISTEN` and `UNLISTEN` events lost: transitions ring full.
    LISTEN_RING_FULL = 2,
    /// `SAMPLE` and `VANISHED` events not written in this pass: samples ring full. The next pass makes up for it.
    SAMPLE_RING_FULL = 3,
    /// Connections not tracked: both buckets of the socket are full.
    TABLE_FULL = 4,
    /// Closes without a table entry, reported as such.
    CLOSE_UNTRACKED = 5,
    /// Closes without a table entry, not reported since `pre_existing` is off.
    CLOSE_SUPPRESSED = 6,
    /// Closes whose entry another program freed first: reported as closes without an entry.
    CLOSE_TAKEN = 7,
    /// Entries whose socket was gone or reused: their close was missed.
    VANISHED = 8,
    /// Entries replaced by a new connection of the same socket: their close was missed.
    REPLACED = 9,
    /// Samples discarded: the slot or the socket became another connection's while it was read.
    SAMPLE_RACED = 10,
    /// Transitions that `state` missed and a later copy handled.
    SECOND_CHANCE = 11,
    /// Entries published by seeding.
    SEEDED = 12,
    /// Seeded entries withdrawn, since the socket closed or was reused meanwhile.
    SEED_RACED = 13,
}

/// Who counts. Each has counters of its own on each CPU, and no program interrupts itself there, so that counting needs no atomic operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// `state`.
    State = 0,
    /// `state_again`.
    StateAgain = 1,
    /// `state_third`.
    StateThird = 2,
    /// `seed_files` and `seed_namespace`, of which one runs at a time.
    Seed = 3,
    /// `sample`.
    Sample = 4,
}

/// How many of them there are.
pub const PROGRAMS: u32 = 5;
