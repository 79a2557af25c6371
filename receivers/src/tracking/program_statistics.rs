//! Statistics that the kernel keeps of each program.

/// Statistics of one program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProgramStatistics {
    /// Name of the program.
    pub name: &'static str,
    /// Number of times that the kernel skipped the program, because it would have interrupted itself on its CPU. An event is only lost if
    /// all copies of `state` skip it.
    pub recursion_misses: u64,
    /// Number of runs while BPF statistics were enabled.
    pub run_cnt: u64,
    /// Time of these runs in ns.
    pub run_time_ns: u64,
    /// Size of the program after verification, in bytes.
    pub translated_bytes: u32,
    /// Number of instructions that the verifier processed.
    pub verified_instructions: u32,
}
