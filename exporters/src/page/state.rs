//! [`PageState`]: the last window, and the history of flows.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use longwave_pipeline::model::{Level, Window};
use tokio::sync::watch;

use super::history::History;
use super::window::PageWindow;

pub(super) struct PageState {
    /// Name of this host. Empty if it is unknown.
    host: String,
    /// `None` before the first window.
    latest: watch::Sender<Option<Arc<PageWindow>>>,
    history: Mutex<History>,
}

/// Maximum number of series of a level whose history is kept while no browser is connected. They cost less than 5 ms of CPU time per window.
const MAX_UNWATCHED: usize = 5_000;

// === impl PageState ===

impl PageState {
    pub(super) fn new(host: String) -> Self {
        Self { host, latest: watch::Sender::new(None), history: Mutex::default() }
    }

    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// Stores a window as the last one. The history of a level with more than [`MAX_UNWATCHED`] series is kept only while a browser is
    /// connected.
    pub(super) fn add(&self, window: &Arc<Window>) {
        let window = Arc::new(PageWindow::new(Arc::clone(window)));
        let is_kept = |level: &Level| self.clients() > 0 || window.series(*level) <= MAX_UNWATCHED;
        let kept = window.levels().into_iter().filter(is_kept);
        let flows = kept.map(|level| (level, window.flows(level))).collect();
        self.history().add(flows);
        self.latest.send_replace(Some(window));
    }

    pub(super) fn latest(&self) -> Option<Arc<PageWindow>> {
        self.latest.borrow().clone()
    }

    /// Returns a receiver of each new window.
    pub(super) fn subscribe(&self) -> watch::Receiver<Option<Arc<PageWindow>>> {
        self.latest.subscribe()
    }

    /// Returns the number of receivers.
    pub(super) fn clients(&self) -> usize {
        self.latest.receiver_count()
    }

    pub(super) fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
