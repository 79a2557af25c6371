//! Explicit-bucket histograms with fixed bounds.
//!
//! Explicit buckets have three advantages over exponential ones. Common backends read them (Prometheus' classic histograms, Istio's
//! dashboards). Series with the same bounds add up exactly. A sample costs a search among at most 24 bounds, without rescaling.

/// Upper bounds in seconds for round trips and connect durations: 1, 2.5 and 5 times each power of ten from 10 µs to 10 s.
pub const ROUND_TRIP_BOUNDS: &[f64] = &[
    0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
    0.5, 1.0, 2.5, 5.0, 10.0,
];

/// Upper bounds in seconds for connection durations: from 1 ms to one week.
pub const CONNECTION_DURATION_BOUNDS: &[f64] = &[
    0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 21600.0, 86400.0,
    604800.0,
];

/// Counts by bucket. A value belongs to the first bucket whose upper bound is at least the value. The last bucket has no bound.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    bounds: &'static [f64],
    /// Empty until the first sample, because most series have no sample in most windows.
    counts: Vec<u64>,
    sum: f64,
    count: u64,
}

impl Histogram {
    /// Returns an empty histogram with these upper bounds in seconds, which must ascend.
    pub fn new(bounds: &'static [f64]) -> Self {
        Self { bounds, counts: Vec::new(), sum: 0.0, count: 0 }
    }

    /// Adds one sample, in seconds.
    pub fn record(&mut self, seconds: f64) {
        if self.counts.is_empty() {
            self.counts = vec![0; self.bounds.len() + 1];
        }
        let bucket = self.bounds.partition_point(|bound| *bound < seconds);
        self.counts[bucket] += 1;
        self.count += 1;
        self.sum += seconds;
    }

    /// Adds another histogram with the same bounds.
    pub fn merge(&mut self, other: &Self) {
        debug_assert_eq!(self.bounds, other.bounds);
        if other.count == 0 {
            return;
        }
        if self.counts.is_empty() {
            self.counts = vec![0; self.bounds.len() + 1];
        }
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.count += other.count;
        self.sum += other.sum;
    }

    /// Removes all samples and keeps the allocation.
    pub fn clear(&mut self) {
        self.counts.fill(0);
        self.count = 0;
        self.sum = 0.0;
    }

    /// Returns the upper bounds in seconds.
    pub fn bounds(&self) -> &'static [f64] {
        self.bounds
    }

    /// Returns the count of each bucket: one more than bounds, or empty if there was never a sample.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// Returns the sum of the samples in seconds.
    pub fn sum(&self) -> f64 {
        self.sum
    }

    /// Returns the number of samples.
    pub fn count(&self) -> u64 {
        self.count
    }
}
