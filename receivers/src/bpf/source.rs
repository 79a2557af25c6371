//! The interface between the kernel side and the worker, so that tests can replace the kernel side.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use longwave_ebpf_abi::ConnectionEvent;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::kernel::{Kernel, Losses, PassError, PassReport, ProgramStatistics, Transition, WalkError};

/// Delivers the kernel's events.
pub trait Source {
    /// Visits every connection once.
    ///
    /// # Errors
    /// Returns an error if the kernel refused. The events before that were passed to `on_event`.
    fn pass(&mut self, on_event: &mut dyn FnMut(&ConnectionEvent)) -> Result<PassReport, PassError>;
    /// Passes on every transition that was reported before the call. Returns how many.
    fn drain_transitions(&mut self, on_transition: &mut dyn FnMut(Transition<'_>)) -> usize;
    /// Looks up which processes have descriptors of connections and listeners. Passes on every transition.
    ///
    /// # Errors
    /// Returns an error if the kernel refused.
    fn look_up_holders(&mut self, on_transition: &mut dyn FnMut(Transition<'_>)) -> Result<(), WalkError>;
    /// Blocks until many transitions wait, `stop` is readable or `at_most` is over. Returns true if `stop` is readable.
    fn wait(&mut self, stop: BorrowedFd<'_>, at_most: Duration) -> bool;
    /// Returns the loss counters of the kernel side.
    fn losses(&self) -> Losses;
    /// Returns why the kernel side no longer sees all connections, if it does not.
    fn fault(&self) -> Option<String>;
    /// Returns the kernel's statistics of the programs.
    fn program_stats(&self) -> Vec<ProgramStatistics>;
}

impl Source for Kernel {
    fn pass(&mut self, on_event: &mut dyn FnMut(&ConnectionEvent)) -> Result<PassReport, PassError> {
        Kernel::pass(self, on_event)
    }

    fn drain_transitions(&mut self, on_transition: &mut dyn FnMut(Transition<'_>)) -> usize {
        Kernel::drain_transitions(self, on_transition)
    }

    fn look_up_holders(&mut self, on_transition: &mut dyn FnMut(Transition<'_>)) -> Result<(), WalkError> {
        Kernel::look_up_holders(self, on_transition)
    }

    fn wait(&mut self, stop: BorrowedFd<'_>, at_most: Duration) -> bool {
        let timeout = Timespec {
            tv_sec: i64::try_from(at_most.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: at_most.subsec_nanos().into(),
        };
        let transitions = self.armed_transitions_fd();
        let mut fds = [
            PollFd::from_borrowed_fd(transitions, PollFlags::IN),
            PollFd::from_borrowed_fd(stop, PollFlags::IN),
        ];
        // A signal has the effect of a timeout: the caller waits again.
        let _ = poll(&mut fds, Some(&timeout));
        !fds[1].revents().is_empty()
    }

    fn losses(&self) -> Losses {
        Kernel::losses(self)
    }

    fn fault(&self) -> Option<String> {
        Kernel::fault(self)
    }

    fn program_stats(&self) -> Vec<ProgramStatistics> {
        Kernel::program_stats(self)
    }
}
