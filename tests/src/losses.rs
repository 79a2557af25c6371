//! What Longwave says that it lost: the counters of the self-telemetry page that speak of final records.

use crate::telemetry::Metrics;

/// Records that the kernel side could not hand over, by `reason`.
pub const KERNEL_LOST: &str = "longwave_receiver_lost_records";
/// Times that a tracing program was skipped, by `program`.
pub const RECURSION_MISSES: &str = "longwave_bpf_recursion_misses";

/// Final records that were lost on purpose or by overload and counted: in the kernel's ring, in the table, in a queue.
pub fn of_finals(page: &Metrics) -> u64 {
    page.sum(KERNEL_LOST, &[("ring", "transitions")])
        + page.sum("longwave_dropped_items", &[("reason", "queue_full")])
}

/// Samples that found no room in their ring.
pub fn of_samples(page: &Metrics) -> u64 {
    page.sum(KERNEL_LOST, &[("ring", "samples")])
}

/// Times that `program` was skipped.
pub fn recursion_misses(page: &Metrics, program: &str) -> u64 {
    page.sum(RECURSION_MISSES, &[("program", program)])
}
