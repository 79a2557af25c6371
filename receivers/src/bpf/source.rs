//! The kernel side as the worker sees it, so that a test can stand in for it.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use longwave_ebpf_abi::ConnectionEvent;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::kernel::{Kernel, Losses, PassError, PassReport, ProgramStatistics, Transition};

/// Where events come from.
pub trait Source {
    /// Visits every connection once.
    ///
    /// # Errors
    /// The kernel refused; what was read before was handed over.
    fn pass(&mut self, on_event: &mut dyn FnMut(&ConnectionEvent)) -> Result<PassReport, PassError>;
    /// Hands over every transition that came before the call; returns how many.
    fn drain_transitions(&mut self, on: &mut dyn FnMut(Transition<'_>)) -> usize;
    /// Waits until many transitions are there, `stop` is readable or the time is over; true: stop.
    fn wait(&mut self, stop: BorrowedFd<'_>, at_most: Duration) -> bool;
    /// What the kernel side counts.
    fn losses(&self) -> Losses;
    /// What the kernel tells of the programs.
    fn program_stats(&self) -> Vec<ProgramStatistics>;
}

impl Source for Kernel {
    fn pass(&mut self, on_event: &mut dyn FnMut(&ConnectionEvent)) -> Result<PassReport, PassError> {
        Kernel::pass(self, on_event)
    }

    fn drain_transitions(&mut self, on: &mut dyn FnMut(Transition<'_>)) -> usize {
        Kernel::drain_transitions(self, on)
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
        // An interruption by a signal is as good as a timeout: the caller looks again.
        let _ = poll(&mut fds, Some(&timeout));
        !fds[1].revents().is_empty()
    }

    fn losses(&self) -> Losses {
        Kernel::losses(self)
    }

    fn program_stats(&self) -> Vec<ProgramStatistics> {
        Kernel::program_stats(self)
    }
}
