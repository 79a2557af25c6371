//! [`PageWindow`]: a window, with its flows.

use std::sync::{Arc, OnceLock};

use longwave_pipeline::model::{Level, Window};

use crate::flows::Flow;

/// A window, with its flows, which are made once for the history and for all browsers.
pub(super) struct PageWindow {
    pub(super) window: Arc<Window>,
    /// Number of series of each level.
    series: [usize; Level::ALL.len()],
    levels: [OnceLock<LevelFlows>; Level::ALL.len()],
}

/// The flows of one level of a window.
pub(super) struct LevelFlows {
    /// In the order of the window.
    pub(super) all: Vec<Flow>,
    pub(super) total: Flow,
}

// === impl PageWindow ===

impl PageWindow {
    pub(super) fn new(window: Arc<Window>) -> Self {
        let mut series = [0; Level::ALL.len()];
        window.series.iter().for_each(|one| series[one.level as usize] += 1);
        Self { window, series, levels: Default::default() }
    }

    /// Returns the number of series of a level.
    pub(super) fn series(&self, level: Level) -> usize {
        self.series[level as usize]
    }

    /// Returns the levels of which the window has series, the coarsest first.
    pub(super) fn levels(&self) -> Vec<Level> {
        Level::ALL.into_iter().filter(|level| self.series(*level) > 0).collect()
    }

    /// Returns the flows of a level. The first call makes them.
    pub(super) fn flows(&self, level: Level) -> &LevelFlows {
        self.levels[level as usize].get_or_init(|| {
            let all = Flow::at_level(&self.window, level, false);
            let total = Flow::sum(&all, String::new());
            LevelFlows { all, total }
        })
    }
}
