//! The interface between a source of events and the worker. The BPF programs are one, the receiver `sock_diag` has another, and tests have
//! scripts.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::kernel::{Kernel, PassError, PassReport, ProgramStatistics, Transition, WalkError};

/// Delivers the kernel's events.
pub trait Source {
    /// Why a pass failed.
    type PassError: std::error::Error;

    /// Visits every connection once. Passes on the events of connections, and of listeners that must be known before them.
    ///
    /// # Errors
    /// Returns an error if the kernel refused. The events before that were passed on.
    fn pass(&mut self, on: &mut dyn FnMut(Transition<'_>)) -> Result<PassReport, Self::PassError>;
    /// Passes on every transition that was reported before the call. Returns how many.
    fn drain_transitions(&mut self, on_transition: &mut dyn FnMut(Transition<'_>)) -> usize;
    /// Looks up which processes have descriptors of connections and listeners. Passes on every transition.
    ///
    /// # Errors
    /// Returns an error if the kernel refused.
    fn look_up_holders(&mut self, _on_transition: &mut dyn FnMut(Transition<'_>)) -> Result<(), WalkError> {
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

impl Source for Kernel {
    type PassError = PassError;

    fn pass(&mut self, on: &mut dyn FnMut(Transition<'_>)) -> Result<PassReport, PassError> {
        Kernel::pass(self, &mut |event| on(Transition::Connection(event)))
    }

    fn drain_transitions(&mut self, on_transition: &mut dyn FnMut(Transition<'_>)) -> usize {
        Kernel::drain_transitions(self, on_transition)
    }

    fn look_up_holders(&mut self, on_transition: &mut dyn FnMut(Transition<'_>)) -> Result<(), WalkError> {
        Kernel::look_up_holders(self, on_transition)
    }

    fn wait(&mut self, stop: BorrowedFd<'_>, at_most: Duration) -> bool {
        wait(self.armed_transitions_fd(), stop, at_most)
    }

    fn counts(&self) -> SourceCounts {
        let losses = Kernel::losses(self);
        SourceCounts {
            lost: losses.by_reason().collect(),
            events: losses.other_events().to_vec(),
            lost_samples: losses.lost_samples(),
        }
    }

    fn fault(&self) -> Option<String> {
        Kernel::fault(self)
    }

    fn program_stats(&self) -> Vec<ProgramStatistics> {
        Kernel::program_stats(self)
    }
}

/// Blocks until `events` or `stop` is readable, or `at_most` is over. Returns true if `stop` is readable.
fn wait(events: BorrowedFd<'_>, stop: BorrowedFd<'_>, at_most: Duration) -> bool {
    let mut fds =
        [PollFd::from_borrowed_fd(events, PollFlags::IN), PollFd::from_borrowed_fd(stop, PollFlags::IN)];
    // A signal has the effect of a timeout: the caller waits again.
    let _ = poll(&mut fds, Some(&timespec(at_most)));
    !fds[1].revents().is_empty()
}

/// Converts a time to wait.
pub fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: duration.subsec_nanos().into(),
    }
}
