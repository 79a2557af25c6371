//! The BPF programs as a source of events.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};

use super::kernel::{Kernel, PassError, PassReport, ProgramStatistics, Transition};
use crate::tracking::{PassCounts, Source, SourceCounts, timespec};

impl Source for Kernel {
    type PassError = PassError;

    fn pass(&mut self, on: &mut dyn FnMut(Transition<'_>)) -> Result<PassCounts, PassError> {
        let report = Kernel::pass(self, &mut |event| on(Transition::Connection(event)))?;
        let PassReport { events, visited, runs, .. } = report;
        Ok(PassCounts { events, visited, runs })
    }

    fn drain_transitions(&mut self, on_transition: &mut dyn FnMut(Transition<'_>)) -> usize {
        Kernel::drain_transitions(self, on_transition)
    }

    fn look_up_holders(
        &mut self,
        on_transition: &mut dyn FnMut(Transition<'_>),
    ) -> Result<(), Box<dyn std::error::Error>> {
        Ok(Kernel::look_up_holders(self, on_transition)?)
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
