//! [`WindowProcessor`]: assigns records to windows, and closes windows.

use std::convert::Infallible;
use std::sync::Arc;

use longwave_pipeline::component::{ComponentError, Node, Processor, ProcessorContext};
use longwave_pipeline::model::{Batch, ConnectionRecord, PassEnd, UnixNanos, Window};

use super::boundaries::Boundaries;
use super::config::WindowConfig;
use super::connections::Connections;
use super::early_records::EarlyRecords;
use super::last_ends::LastEnds;
use super::telemetry::Telemetry;
use crate::connection_map::{NO_INDEX, STRIDE};

/// Processor `window`. Windows close on watermarks, never on timers.
pub struct WindowProcessor {
    config: WindowConfig,
    boundaries: Boundaries,
    id: String,
    pipeline: String,
    node: Arc<Node>,
    telemetry: Telemetry,
    open: Option<OpenWindow>,
    early: EarlyRecords,
    last_ends: Arc<LastEnds>,
    /// Whether the last watermark has closed the last window.
    has_ended: bool,
}

struct OpenWindow {
    start: UnixNanos,
    /// Nominal end, at which the window closes if there is a watermark of that time. Records up to this time belong to the window.
    end: UnixNanos,
    /// The latest tick of its records.
    last_tick: UnixNanos,
    /// Number of records in the window.
    records: u64,
    /// Whether a warning about a step back of the clock was logged for this window.
    warned: bool,
    connections: Connections,
}

// === impl WindowProcessor ===

impl WindowProcessor {
    /// Creates the processor without a window. The first record or watermark opens one.
    pub fn new(config: &WindowConfig, context: &ProcessorContext) -> Self {
        let interval = u64::try_from(config.interval.as_nanos()).unwrap_or(u64::MAX);
        let last_ends = context.shared.get_or_make(|| Ok::<_, Infallible>(LastEnds::default()));
        let last_ends = last_ends.unwrap_or_else(|never| match never {});
        Self {
            config: config.clone(),
            boundaries: Boundaries::every(interval),
            id: context.id.clone(),
            pipeline: context.pipeline.clone(),
            node: Arc::clone(&context.node),
            telemetry: Telemetry::new(context),
            open: None,
            early: EarlyRecords::default(),
            last_ends,
            has_ended: false,
        }
    }

    /// Returns the open window. The first window contains `tick` or ends there. If a reload has replaced another processor within it, it
    /// starts where the last window of that one ended.
    fn open_window(&mut self, tick: UnixNanos) -> &mut OpenWindow {
        let Self { open, config, boundaries, last_ends, pipeline, .. } = self;
        open.get_or_insert_with(|| {
            let start = boundaries.before(tick);
            let last_end = last_ends.take(pipeline);
            let inside = last_end.filter(|end| (start..boundaries.after(start)).contains(end));
            OpenWindow::new(config, *boundaries, inside.unwrap_or(start))
        })
    }

    fn add_records(&mut self, records: &[ConnectionRecord]) {
        if self.open.is_none() {
            let Some(first) = records.iter().map(|record| record.tick).min() else { return };
            self.open_window(first);
        }
        let Some(window) = &mut self.open else { return };
        // Another receiver of the pipeline may go on after a last watermark.
        self.has_ended = false;
        let mut folded = 0;
        for records in records.chunks(STRIDE) {
            let indices = window.connections.look_up(records);
            for (record, index) in records.iter().zip(indices) {
                if record.tick > window.end {
                    if self.early.push(record) {
                        continue;
                    }
                    window.connections.tally().early += 1;
                } else if !self.early.is_empty()
                    && record.event.is_end()
                    && self.early.push_after_others(record)
                {
                    continue;
                } else if record.tick <= window.start {
                    window.connections.tally().late += 1;
                }
                window.add(record, index);
                folded += 1;
            }
        }
        self.node.add_folded(folded);
        self.node.set_held(self.early.len() as u64);
    }

    fn pass_end(&mut self, pass_end: PassEnd, out: &mut Vec<Batch>) {
        let PassEnd { tick, last } = pass_end;
        let boundary = self.boundaries.floor(tick);
        let start = self.open_window(tick).start;
        if let Some(window) = &mut self.open {
            window.warn_if_stepped_back(tick, &self.id);
        }
        // If the last watermark is on a boundary, `close_last` closes that window, with all waiting records.
        if boundary > start && !(last && boundary == tick) {
            self.add_early(|record| record.tick <= boundary);
            self.close(boundary, out);
        }
        self.has_ended = last;
        if last {
            self.close_last(tick, out);
        }
    }

    /// Closes the last window at `tick`, with all waiting records, because no watermark follows.
    fn close_last(&mut self, tick: UnixNanos, out: &mut Vec<Batch>) {
        let Some(window) = &self.open else { return };
        let pending = window.records > 0 || !self.early.is_empty();
        // After a step back of the clock, records can be pending although the window has not started yet. Then its nominal end is used.
        let end = if tick > window.start { tick } else { window.end };
        if tick > window.start || pending {
            self.add_early(|_| true);
            self.close(end, out);
        }
    }

    fn close(&mut self, end: UnixNanos, out: &mut Vec<Batch>) {
        let Some(open) = &mut self.open else { return };
        let (window, tally, series) = open.connections.close(end);
        open.start = end;
        open.end = self.boundaries.after(end);
        open.records = 0;
        open.warned = false;
        let next = open.end;
        self.telemetry.record_window(&tally, series, open.connections.len() as u64);
        out.push(Batch::Window(Arc::new(window)));
        self.add_early(|record| record.tick <= next);
    }

    /// Returns the number of series, pairs of series and sums that are stored, without those of connections that are too young.
    #[cfg(test)]
    pub(super) fn stored_series(&self) -> usize {
        self.open.as_ref().map_or(0, |window| window.connections.stored_series())
    }

    /// Adds the waiting records for which `is_due` returns true to the open window.
    fn add_early(&mut self, is_due: impl Fn(&ConnectionRecord) -> bool) {
        let Some(window) = self.open.as_mut().filter(|_| !self.early.is_empty()) else { return };
        let due = self.early.take(is_due);
        for record in &due {
            window.add(record, NO_INDEX);
        }
        self.node.add_folded(due.len() as u64);
        self.node.set_held(self.early.len() as u64);
    }
}

impl Processor for WindowProcessor {
    fn process(&mut self, batch: Batch, out: &mut Vec<Batch>) -> Result<(), ComponentError> {
        match batch {
            Batch::Records(records) => self.add_records(&records),
            Batch::PassEnd(pass_end) => self.pass_end(pass_end, out),
            Batch::Window(_) => {
                let text = "received a window, but aggregates records: a pipeline may have one window processor only";
                return Err(ComponentError::new(format!("processors::{}: {text}", self.id)));
            }
        }
        Ok(())
    }

    /// Closes the last window if there was no last watermark: a reload replaces the processor, or a record file is truncated. In the first
    /// case the window ends now, so that the next processor's window can follow, and has all series. Otherwise it ends at the latest tick of
    /// its records, because the end of the input has no time. All series end, because the next processor creates its own.
    fn finish(&mut self, out: &mut Vec<Batch>) -> Result<(), ComponentError> {
        let Some(window) = self.open.as_ref().filter(|_| !self.has_ended) else { return Ok(()) };
        let now = UnixNanos::now();
        let is_now = window.start < now && now < window.end;
        let pending = window.records > 0 || !self.early.is_empty();
        if pending || (is_now && window.connections.len() > 0) {
            let latest = window.last_tick.max(self.early.last_tick().unwrap_or_default());
            let first = out.len();
            self.close_last(if is_now { now } else { latest }, out);
            for batch in &mut out[first..] {
                if let Batch::Window(window) = batch {
                    end_series(Arc::make_mut(window));
                }
            }
        }
        if let Some(window) = &self.open {
            self.last_ends.set(&self.pipeline, window.start);
        }
        self.has_ended = true;
        Ok(())
    }
}

fn end_series(window: &mut Window) {
    window.series.iter_mut().for_each(|series| series.ended = true);
}

// === impl OpenWindow ===

impl OpenWindow {
    /// Opens the first window. It ends at the next boundary.
    fn new(config: &WindowConfig, boundaries: Boundaries, start: UnixNanos) -> Self {
        Self {
            start,
            end: boundaries.after(start),
            last_tick: UnixNanos::default(),
            records: 0,
            warned: false,
            connections: Connections::new(config, start),
        }
    }

    #[inline]
    fn add(&mut self, record: &ConnectionRecord, index: u32) {
        self.records += 1;
        self.last_tick = self.last_tick.max(record.tick);
        self.connections.observe(record, index);
    }

    fn warn_if_stepped_back(&mut self, tick: UnixNanos, id: &str) {
        if tick < self.start && !self.warned {
            self.warned = true;
            let step = self.start.since(tick);
            tracing::warn!(
                "processors::{id}: a pass ended {step:?} before the start of the open window, probably because the clock was set \
                 back: the window stays open until the clock reaches its end, and records are added to it"
            );
        }
    }
}
