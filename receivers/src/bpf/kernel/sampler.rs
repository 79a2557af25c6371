//! Runs the program `sample` over a range of the connection table.

use std::io;

use aya::Ebpf;
use aya::programs::{ProgramError, RawTracePoint, RawTracePointRunOptions, TestRun};
use longwave_ebpf_abi::sample_context;

use super::diagnosis::root_cause;

/// Name of the program.
pub const SAMPLE: &str = "sample";

/// Buckets that one run visits.
///
/// The kernel does not preempt the program. It takes about 1 µs for each busy connection, of which a full table has five in a bucket.
pub const BUCKETS_PER_RUN: u32 = 128;

/// The kernel refused to run `sample`, so that the pass ended early.
#[derive(Debug, thiserror::Error)]
#[error("running `sample`: {source}: the kernel refused to run the program; was a capability dropped?")]
pub struct PassError {
    /// Error that the kernel returned.
    source: io::Error,
}

/// Visits `buckets` buckets from index `first` on. Returns the number of connections in them.
pub fn run(ebpf: &Ebpf, first: u32, buckets: u32) -> Result<u32, PassError> {
    let failed = |error: &ProgramError| PassError { source: root_cause(error) };
    let program = ebpf.program(SAMPLE).ok_or(ProgramError::NotLoaded).map_err(|error| failed(&error))?;
    let program: &RawTracePoint = program.try_into().map_err(|error| failed(&error))?;
    let mut options = RawTracePointRunOptions::default();
    options.args[sample_context::FIRST] = first.into();
    options.args[sample_context::COUNT] = buckets.into();
    let result = program.test_run(options).map_err(|error| failed(&error))?;
    Ok(result.return_value)
}
