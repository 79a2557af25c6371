//! [`WindowProcessor`]: which record belongs to which window, and when a window closes.

use std::sync::Arc;

use longwave_pipeline::component::{ComponentError, Node, Processor, ProcessorContext};
use longwave_pipeline::model::{Batch, ConnectionRecord, PassEnd, UnixNanos};

use super::boundaries::Boundaries;
use super::config::WindowConfig;
use super::connections::Connections;
use super::held::Held;
use super::telemetry::Telemetry;
use crate::known::{NOBODY, STRIDE};

/// The processor. Windows close on watermarks, never on timers.
pub struct WindowProcessor {
    config: WindowConfig,
    boundaries: Boundaries,
    id: String,
    node: Arc<Node>,
    telemetry: Telemetry,
    open: Option<OpenWindow>,
    held: Held,
}

struct OpenWindow {
    start: UnixNanos,
    /// Where it will end if the watermark of that time comes: records up to here belong to it.
    end: UnixNanos,
    /// The latest tick of its records.
    last_tick: UnixNanos,
    /// Records in it.
    records: u64,
    /// The clock's step back was reported.
    warned: bool,
    connections: Connections,
}

// === impl WindowProcessor ===

impl WindowProcessor {
    /// With no window open: the first record or watermark opens the first.
    pub fn new(config: &WindowConfig, context: &ProcessorContext) -> Self {
        let interval = u64::try_from(config.interval.as_nanos()).unwrap_or(u64::MAX);
        Self {
            config: config.clone(),
            boundaries: Boundaries::every(interval),
            id: context.id.clone(),
            node: Arc::clone(&context.node),
            telemetry: Telemetry::new(context),
            open: None,
            held: Held::default(),
        }
    }

    fn take(&mut self, records: &[ConnectionRecord]) {
        let window = match &mut self.open {
            Some(window) => window,
            closed => {
                let Some(first) = records.iter().map(|record| record.tick).min() else { return };
                closed.insert(OpenWindow::new(&self.config, self.boundaries, first))
            }
        };
        let mut folded = 0;
        for records in records.chunks(STRIDE) {
            let found = window.connections.look_up(records);
            for (record, index) in records.iter().zip(found) {
                if record.tick > window.end {
                    if self.held.push(record) {
                        continue;
                    }
                    window.connections.tally().early += 1;
                } else if !self.held.is_empty() && record.event.is_end() && self.held.push_behind(record) {
                    continue;
                } else if record.tick <= window.start {
                    window.connections.tally().late += 1;
                }
                window.add(record, index);
                folded += 1;
            }
        }
        self.node.add_folded(folded);
        self.node.set_held(self.held.len() as u64);
    }

    fn pass_end(&mut self, pass_end: PassEnd, out: &mut Vec<Batch>) {
        let PassEnd { tick, last } = pass_end;
        let boundary = self.boundaries.floor(tick);
        let window = self.open.get_or_insert_with(|| OpenWindow::new(&self.config, self.boundaries, tick));
        window.warn_if_stepped_back(tick, &self.id);
        let start = window.start;
        // At the very end a boundary that is the tick itself is left to the last window below, which takes all that is held.
        if boundary > start && !(last && boundary == tick) {
            self.take_held(|record| record.tick <= boundary);
            self.close(boundary, out);
        }
        if last {
            self.close_last(tick, out);
        }
    }

    /// Closes what is open at `tick`, with everything that is held: nothing follows.
    fn close_last(&mut self, tick: UnixNanos, out: &mut Vec<Batch>) {
        let Some(window) = &self.open else { return };
        let pending = window.records > 0 || !self.held.is_empty();
        // Records may be there although their window's time, by this clock, has not begun: they get the window that they name.
        let end = if tick > window.start { tick } else { window.end };
        if tick > window.start || pending {
            self.take_held(|_| true);
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
        self.telemetry.window(&tally, series, open.connections.len() as u64);
        out.push(Batch::Window(Arc::new(window)));
        self.take_held(|record| record.tick <= next);
    }

    /// Adds the held records that `belongs` names to the open window.
    fn take_held(&mut self, belongs: impl Fn(&ConnectionRecord) -> bool) {
        let Some(window) = self.open.as_mut().filter(|_| !self.held.is_empty()) else { return };
        let taken = self.held.take(belongs);
        for record in &taken {
            window.add(record, NOBODY);
        }
        self.node.add_folded(taken.len() as u64);
        self.node.set_held(self.held.len() as u64);
    }
}

impl Processor for WindowProcessor {
    fn process(&mut self, batch: Batch, out: &mut Vec<Batch>) -> Result<(), ComponentError> {
        match batch {
            Batch::Records(records) => self.take(&records),
            Batch::PassEnd(pass_end) => self.pass_end(pass_end, out),
            Batch::Window(_) => {
                let text = "received a window, but aggregates records: a pipeline may have one window processor only";
                return Err(ComponentError::new(format!("processors::{}: {text}", self.id)));
            }
        }
        Ok(())
    }

    /// Without a last watermark the time of the end is not known: the last window ends at the latest tick of its records.
    fn finish(&mut self, out: &mut Vec<Batch>) -> Result<(), ComponentError> {
        let Some(window) = &self.open else { return Ok(()) };
        if window.records > 0 || !self.held.is_empty() {
            let held = self.held.last_tick().unwrap_or_default();
            self.close_last(window.last_tick.max(held), out);
        }
        Ok(())
    }
}

// === impl OpenWindow ===

impl OpenWindow {
    /// The first window: the one that ends at `tick`, or holds it.
    fn new(config: &WindowConfig, boundaries: Boundaries, tick: UnixNanos) -> Self {
        let start = boundaries.before(tick);
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
            let behind = self.start.since(tick);
            tracing::warn!(
                "processors::{id}: a pass ended {behind:?} before the start of the open window, probably since the clock was set \
                 back: the window stays open until the clock has caught up, and what comes is added to it"
            );
        }
    }
}
