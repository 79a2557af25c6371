//! What the kernel tells of each program.

/// Counters of one program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProgramStatistics {
    /// The program's name.
    pub name: &'static str,
    /// How often the kernel skipped it, since it would have interrupted itself on its CPU. `state` and `state_again` both
    /// rising together is a possible loss; one alone is none.
    pub recursion_misses: u64,
    /// Runs; counted only while BPF statistics are enabled.
    pub run_cnt: u64,
    /// Nanoseconds in it, likewise.
    pub run_time_ns: u64,
    /// Bytes of the program after verification.
    pub translated_bytes: u32,
    /// Instructions that the verifier walked.
    pub verified_instructions: u32,
}
