//! What limits a connection, from the kernel's counters: times in jiffies, and counts of rare events.

use std::num::{NonZeroU32, NonZeroU64};

use hashbrown::HashMap;
use longwave_ebpf_abi::LimitCounters;
use longwave_pipeline::model::{Limits, OptionalCount};

use super::connection::extend;

/// Times in jiffies and counts since the open of a connection, or the differences between two of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LimitCounts {
    /// Busy time without the two others, time with a full window of the peer, time with a full send buffer. Jiffies.
    pub jiffies: [u64; 3],
    pub rare: RareCounts,
}

/// Counts that are 0 for most connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RareCounts {
    pub out_of_order: u64,
    pub duplicate_sacks: u64,
    pub delivered_ce: u64,
    pub timeouts: u64,
}

/// What is stored only of connections for which a value differs from its default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rare {
    pub counts: RareCounts,
    /// Bits 32 to 63 of [`LimitCounts::jiffies`].
    pub high_jiffies: [u32; 3],
    /// Slow start threshold in segments at the last observation.
    pub ssthresh: Option<NonZeroU32>,
}

/// [`Rare`] by cookie, of connections that have one.
pub type RareMap = HashMap<u64, Rare, foldhash::fast::RandomState>;

/// Which fields the running kernel has, and the length of a jiffy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LimitFields {
    /// Microseconds in a jiffy. `None` if the kernel has no times, or its clock tick is unknown.
    pub jiffy_micros: Option<NonZeroU32>,
    /// Whether the kernel counts segments that arrived out of order (`rcv_ooopack`).
    pub out_of_order: bool,
    /// Whether the kernel counts duplicate SACKs (`dsack_dups`).
    pub duplicate_sacks: bool,
    /// Whether the kernel counts delivered segments with a mark of congestion (`delivered_ce`).
    pub delivered_ce: bool,
    /// Whether the kernel counts retransmission timeouts (`total_rto`, since 6.7).
    pub timeouts: bool,
    /// Whether the kernel has the peer's window.
    pub peer_window: bool,
}

/// The kernel's value of a slow start threshold that was never lowered.
const INFINITE_SSTHRESH: u32 = 0x7fff_ffff;

// === impl LimitCounts ===

impl LimitCounts {
    /// Advances the counts to the counters of an event. None decreases.
    pub fn advance(&mut self, c: &LimitCounters) {
        let jiffies = [c.busy_jiffies, c.peer_window_jiffies, c.send_buffer_jiffies];
        for (total, counter) in self.jiffies.iter_mut().zip(jiffies) {
            *total = extend(*total, counter);
        }
        let rare = &mut self.rare;
        rare.out_of_order = extend(rare.out_of_order, c.rcv_ooopack);
        rare.duplicate_sacks = extend(rare.duplicate_sacks, c.dsack_dups);
        rare.delivered_ce = extend(rare.delivered_ce, c.delivered_ce);
        let ahead = (c.total_rto as u16).wrapping_sub(rare.timeouts as u16) as i16;
        rare.timeouts += u64::try_from(ahead).unwrap_or(0);
    }

    /// Returns the differences to earlier counts.
    pub fn since(&self, before: &Self) -> Self {
        let mut jiffies = self.jiffies;
        jiffies
            .iter_mut()
            .zip(before.jiffies)
            .for_each(|(after, before)| *after = after.saturating_sub(before));
        let (after, before) = (&self.rare, &before.rare);
        let rare = RareCounts {
            out_of_order: after.out_of_order.saturating_sub(before.out_of_order),
            duplicate_sacks: after.duplicate_sacks.saturating_sub(before.duplicate_sacks),
            delivered_ce: after.delivered_ce.saturating_sub(before.delivered_ce),
            timeouts: after.timeouts.saturating_sub(before.timeouts),
        };
        Self { jiffies, rare }
    }

    /// Returns what a record reports: the counts that the kernel has.
    pub fn reported(&self, fields: &LimitFields) -> Limits {
        let micros = |jiffies: u64| {
            fields.jiffy_micros.map_or(OptionalCount::ABSENT, |micros| {
                OptionalCount::new(jiffies.saturating_mul(micros.get().into()))
            })
        };
        let count = |has: bool, count| if has { OptionalCount::new(count) } else { OptionalCount::ABSENT };
        let [other, peer_window, send_buffer] = self.jiffies;
        let rare = &self.rare;
        Limits {
            busy: micros(other.saturating_add(peer_window).saturating_add(send_buffer)),
            peer_window: micros(peer_window),
            send_buffer: micros(send_buffer),
            out_of_order: count(fields.out_of_order, rare.out_of_order),
            duplicate_sacks: count(fields.duplicate_sacks, rare.duplicate_sacks),
            delivered_ce: count(fields.delivered_ce, rare.delivered_ce),
            timeouts: count(fields.timeouts, rare.timeouts),
        }
    }
}

// === impl Rare ===

impl Rare {
    /// Returns what is stored of these counts beside the low bits of the times.
    pub fn of(counts: &LimitCounts, ssthresh: Option<NonZeroU32>) -> Self {
        let high_jiffies = counts.jiffies.map(|jiffies| (jiffies >> 32) as u32);
        Self { counts: counts.rare, high_jiffies, ssthresh }
    }

    /// Returns the counts whose times have these low bits.
    pub fn counts(&self, low_jiffies: [u32; 3]) -> LimitCounts {
        let mut jiffies = low_jiffies.map(u64::from);
        jiffies.iter_mut().zip(self.high_jiffies).for_each(|(low, high)| *low |= u64::from(high) << 32);
        LimitCounts { jiffies, rare: self.counts }
    }
}

/// Returns the slow start threshold; `None` until the kernel has lowered it.
pub fn ssthresh(c: &LimitCounters) -> Option<NonZeroU32> {
    NonZeroU32::new(c.snd_ssthresh).filter(|segments| segments.get() < INFINITE_SSTHRESH)
}

/// Returns the pacing rate in bytes per second; `None` if it was not read, or is not limited.
pub fn pacing_rate(c: &LimitCounters) -> Option<NonZeroU64> {
    // The kernel has the largest number if the rate is not limited.
    NonZeroU64::new(c.pacing_rate).filter(|rate| rate.get() != u64::MAX)
}
