//! [`RecordEvents`]: what one record reports in addition to its deltas.

use std::num::NonZeroU64;

use longwave_pipeline::model::{
    CloseReason, ConnectionRecord, End, Event, FailReason, Measures, TcpState, seconds,
};

/// What one record reports in addition to its deltas.
#[derive(Default)]
pub(super) struct RecordEvents {
    /// Whether the connection counts as opened in this window.
    pub opened: bool,
    /// Time from SYN to ESTABLISHED in nanoseconds; only with `opened`.
    pub connect: Option<NonZeroU64>,
    /// The connection's round-trip sample of this window in nanoseconds.
    pub rtt: Option<NonZeroU64>,
    /// How the connection stopped.
    pub end: Option<End>,
    /// Time from the open to the close in seconds; only with `end`.
    pub duration: Option<f64>,
}

// === impl RecordEvents ===

impl RecordEvents {
    /// Adds the events to `measures`.
    #[inline]
    pub fn count_in(&self, measures: &mut Measures) {
        if let Some(rtt) = self.rtt {
            measures.rtt.record(seconds(rtt));
        }
        if self.opened {
            measures.opened += 1;
            if let Some(connect) = self.connect {
                measures.connect_duration.record(seconds(connect));
            }
        }
        match self.end {
            None => {}
            Some(End::Failed(reason)) => measures.count_failed(reason, 1),
            Some(End::Closed(reason)) => {
                measures.count_closed(reason);
                if let Some(duration) = self.duration {
                    measures.connection_duration.record(duration);
                }
            }
        }
    }
}

/// Returns whether the record shows that the connection was established.
pub(super) fn is_established(record: &ConnectionRecord) -> bool {
    match record.event {
        Event::Open | Event::Close | Event::Vanished => true,
        Event::Fail => false,
        Event::Update => {
            !matches!(record.state, TcpState::SynSent | TcpState::SynRecv | TcpState::NewSynRecv)
        }
    }
}

/// Returns how the connection stopped. Whether it counts as closed or failed depends only on whether it was counted as established, so that
/// opened − closed is always the number of open connections.
pub(super) fn end_of(record: &ConnectionRecord, established: bool) -> End {
    match (established, record.end) {
        (true, Some(End::Closed(reason))) => End::Closed(reason),
        (true, _) if record.event == Event::Vanished => End::Closed(CloseReason::Vanished),
        (true, _) => End::Closed(CloseReason::Aborted),
        (false, Some(End::Failed(reason))) => End::Failed(reason),
        (false, _) => End::Failed(FailReason::from_errno(record.errno)),
    }
}
