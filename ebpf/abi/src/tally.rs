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
    /// Connections not tracked: table full.
    TABLE_FULL = 4,
    /// Connections not tracked: the table's bucket was locked by what was interrupted.
    TABLE_BUSY = 5,
    /// Closes without a table entry, reported as such.
    CLOSE_UNTRACKED = 6,
    /// Closes without a table entry, not reported since `pre_existing` is off.
    CLOSE_SUPPRESSED = 7,
    /// Closes whose table entry could not be deleted at once.
    CLOSE_BUSY = 8,
    /// Entries whose socket was gone or reused: their close was missed.
    VANISHED = 9,
    /// Entries replaced by a new connection of the same socket address: their close was missed.
    REPLACED = 10,
    /// Samples discarded: the entry or the socket became another connection's while it was read.
    SAMPLE_RACED = 11,
    /// Transitions that `state` missed and `state_again` handled.
    SECOND_CHANCE = 12,
    /// Entries inserted.
    INSERTED = 13,
    /// Entries removed.
    REMOVED = 14,
    /// Entries inserted by seeding.
    SEEDED = 15,
    /// Seeded entries taken back, since the socket had closed meanwhile.
    SEED_RACED = 16,
    /// Connections whose entry was claimed by another program while it was being closed.
    CLOSE_CLAIMED = 17,
}
