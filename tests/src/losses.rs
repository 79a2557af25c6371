//! Counters of the self-telemetry that report lost records.

use crate::telemetry::Metrics;

/// Number of records that the kernel side could not deliver, by `reason`.
pub const KERNEL_LOST: &str = "longwave_receiver_kernel_lost_records";
/// Number of times that a tracing program was skipped, by `program`.
pub const RECURSION_MISSES: &str = "longwave_receiver_program_recursion_misses";

/// Returns the number of closes that were lost because the ring was full.
pub fn of_closes_in_the_ring(page: &Metrics) -> u64 {
    page.sum(KERNEL_LOST, &[("reason", "close_ring_full")])
}

/// Returns the number of opens and closes that were lost because the queue of a pipeline or an exporter was full.
pub fn of_events_in_queues(page: &Metrics) -> u64 {
    let names = ["longwave_receiver_refused_records", "longwave_exporter_send_failed_log_records"];
    names.iter().map(|name| page.sum(name, &[("reason", "queue_full")])).sum()
}

/// Returns the number of samples that were lost because their ring was full.
pub fn of_samples(page: &Metrics) -> u64 {
    page.sum(KERNEL_LOST, &[("reason", "sample_ring_full")])
}

/// Returns the number of times that `program` was skipped.
pub fn recursion_misses(page: &Metrics, program: &str) -> u64 {
    page.sum(RECURSION_MISSES, &[("program", program)])
}
