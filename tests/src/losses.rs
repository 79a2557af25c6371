//! What Longwave says that it lost: the counters of the self-telemetry page that speak of records.

use crate::telemetry::Metrics;

/// Records that the kernel side could not hand over, by `reason`.
pub const KERNEL_LOST: &str = "longwave_receiver_kernel_lost_records";
/// Times that a tracing program was skipped, by `program`.
pub const RECURSION_MISSES: &str = "longwave_receiver_program_recursion_misses";

/// Closes that found no room in the kernel's ring.
pub fn of_closes_in_the_ring(page: &Metrics) -> u64 {
    page.sum(KERNEL_LOST, &[("reason", "close_ring_full")])
}

/// Opens and closes that found no room in a pipeline's queue or an exporter's.
pub fn of_events_in_queues(page: &Metrics) -> u64 {
    let names = ["longwave_receiver_refused_records", "longwave_exporter_send_failed_log_records"];
    names.iter().map(|name| page.sum(name, &[("reason", "queue_full")])).sum()
}

/// Samples that found no room in their ring.
pub fn of_samples(page: &Metrics) -> u64 {
    page.sum(KERNEL_LOST, &[("reason", "sample_ring_full")])
}

/// Times that `program` was skipped.
pub fn recursion_misses(page: &Metrics, program: &str) -> u64 {
    page.sum(RECURSION_MISSES, &[("program", program)])
}
