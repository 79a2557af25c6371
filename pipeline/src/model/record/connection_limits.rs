//! [`ConnectionLimits`]: what a record reports of the limits of its connection.

use std::num::{NonZeroU32, NonZeroU64};

use crate::model::record::limits::{Limits, OptionalCount};

/// What limited a connection, as one record reports it.
///
/// Most records are of connections that are short or idle, and that nothing has limited. So the numbers are in an allocation of their own,
/// which such a record does not have.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConnectionLimits {
    /// `None` if all numbers that are known are 0.
    details: Option<Box<LimitDetails>>,
    /// The fields that are known if `details` is `None`, by the bits of [`Limits::known_fields`].
    known_fields: u8,
}

/// The numbers of [`ConnectionLimits`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LimitDetails {
    /// What limited the connection since its open.
    pub total: Limits,
    /// What limited it since its last record that was delivered. Zeros in the first record of a seeded connection.
    pub delta: Limits,
    /// Pacing rate in bytes per second. `None` if it was not read, or is not limited.
    pub pacing_rate: Option<NonZeroU64>,
    /// Slow start threshold in segments. `None` until the first loss.
    pub ssthresh: Option<NonZeroU32>,
    /// Whether the peer's receive window is full.
    pub zero_window: bool,
    /// Name of the congestion control, padded with NUL. All zero if unknown.
    pub congestion_control: [u8; 16],
}

// === impl ConnectionLimits ===

impl ConnectionLimits {
    /// Stores the numbers. Allocates only if one of them is not 0.
    #[inline]
    pub fn new(details: LimitDetails) -> Self {
        let known_fields = details.total.known_fields();
        let zeros = Limits::zeros(known_fields);
        let nothing = LimitDetails { total: zeros, delta: zeros, ..LimitDetails::default() };
        let details = (details != nothing).then(|| Box::new(details));
        Self { details, known_fields }
    }

    /// Returns the numbers.
    #[inline]
    pub fn details(&self) -> LimitDetails {
        match &self.details {
            Some(details) => **details,
            None => LimitDetails { total: self.delta(), delta: self.delta(), ..LimitDetails::default() },
        }
    }

    /// Adds [`LimitDetails::delta`] to `sums`.
    #[inline]
    pub fn add_delta_to(&self, sums: &mut Limits) {
        match &self.details {
            Some(details) => sums.add(&details.delta),
            None if self.known_fields == 0 => {}
            None => sums.add(&Limits::zeros(self.known_fields)),
        }
    }

    /// Returns [`LimitDetails::delta`].
    #[inline]
    pub fn delta(&self) -> Limits {
        match &self.details {
            Some(details) => details.delta,
            None => Limits::zeros(self.known_fields),
        }
    }
}

// === impl LimitDetails ===

impl LimitDetails {
    /// Returns the name of the congestion control. `None` if it is unknown, or not text.
    pub fn congestion_control(&self) -> Option<&str> {
        let name = self.congestion_control.split(|byte| *byte == 0).next()?;
        std::str::from_utf8(name).ok().filter(|name| !name.is_empty())
    }
}

// === impl Limits ===

impl Limits {
    /// Returns a bit for each field that is not absent. The first field has the lowest bit.
    fn known_fields(&self) -> u8 {
        self.fields().iter().rev().fold(0, |bits, field| bits << 1 | u8::from(field.get().is_some()))
    }

    /// Returns zeros for the fields with these bits. The others are absent.
    fn zeros(known_fields: u8) -> Self {
        let bits = [0, 1, 2, 3, 4, 5, 6];
        Self::of_fields(bits.map(|bit| {
            if known_fields & 1 << bit == 0 { OptionalCount::ABSENT } else { OptionalCount::new(0) }
        }))
    }
}

#[cfg(test)]
mod tests;
