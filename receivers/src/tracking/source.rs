//! The interface between a receiver's source of events and the worker. Tests have scripts.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use longwave_ebpf_abi::{ConnectionEvent, ListenEvent};
use rustix::event::Timespec;

use super::program_statistics::ProgramStatistics;

/// Event of a connection or of a listener.
#[derive(Clone, Copy, Debug)]
pub enum Transition<'a> {
    /// Event of a connection. One that is not of a pass is an OPEN or CLOSE.
    Connection(&'a ConnectionEvent),
    /// The kind is LISTEN or UNLISTEN.
    Listen(&'a ListenEvent),
}

/// Delivers the kernel's events.
pub trait Source {
    /// Why a pass failed.
    type PassError: std::error::Error + Send + Sync + 'static;

    /// Visits every connection once. Passes on the events of connections, and of listeners that must be known before them.
    ///
    /// # Errors
    /// Returns an error if the kernel refused. The events before that were passed on.
    fn pass(&mut self, on: &mut dyn FnMut(Transition<'_>)) -> Result<PassCounts, Self::PassError>;
    /// Passes on every transition that was reported before the call. Returns how many.
    fn drain_transitions(&mut self, on_transition: &mut dyn FnMut(Transition<'_>)) -> usize;
    /// Looks up which processes have descriptors of connections and listeners. Passes on every transition.
    ///
    /// # Errors
    /// Returns an error if the kernel refused.
    fn look_up_holders(
        &mut self,
        _on_transition: &mut dyn FnMut(Transition<'_>),
    ) -> Result<(), Box<dyn std::error::Error>> {
        Ok(())
    }
    /// Blocks until many transitions wait, `stop` is readable or `at_most` is over. Returns true if `stop` is readable.
    fn wait(&mut self, stop: BorrowedFd<'_>, at_most: Duration) -> bool;
    /// Returns what was lost, and other counts.
    fn counts(&self) -> SourceCounts;
    /// Returns why the kernel side no longer sees all connections, if it does not.
    fn fault(&self) -> Option<String>;
    /// Returns the kernel's statistics of the programs.
    fn program_stats(&self) -> Vec<ProgramStatistics> {
        Vec::new()
    }
}

/// Counts of one pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PassCounts {
    /// Events that were passed on.
    pub events: usize,
    /// Connections that were visited.
    pub visited: u64,
    /// Runs of a program in the kernel.
    pub runs: u64,
}

/// Counts of a source since its start, with the names under which self-telemetry exports them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceCounts {
    /// What was lost, by reason.
    pub lost: Vec<(&'static str, u64)>,
    /// Events that are no loss, by kind.
    pub events: Vec<(&'static str, u64)>,
    /// Samples that may be missing in a pass. A connection without a sample in such a pass may still exist.
    pub lost_samples: u64,
}

/// Converts a time to wait.
pub fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: duration.subsec_nanos().into(),
    }
}
