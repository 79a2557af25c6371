//! [`WindowProcessor`]: which record belongs to which window, and when a window closes.

use std::sync::Arc;

use hashbrown::HashMap;
use longwave_pipeline::accounting::Node;
use longwave_pipeline::component::{Processor, ProcessorContext};
use longwave_pipeline::record::ConnectionId;
use longwave_pipeline::{Batch, ComponentError, ConnectionRecord, PassEnd, UnixNanos};

use super::boundaries::Boundaries;
use super::config::WindowConfig;
use super::connections::Connections;
use super::telemetry::Telemetry;

/// Records of later windows that may wait (about 45 MB); what is beyond goes into the open window and is counted.
pub const MOST_HELD: usize = 131_072;

/// The processor. Windows close on watermarks, never on timers.
pub struct WindowProcessor {
    config: WindowConfig,
    boundaries: Boundaries,
    id: String,
    node: Arc<Node>,
    telemetry: Telemetry,
    open: Option<OpenWindow>,
    /// Records of later windows, in the order of their arrival.
    held: Vec<ConnectionRecord>,
    /// Connections with a record in `held` that is not their end, and the latest tick of those. Such a connection's end must not overtake
    /// them (it would, after a step back of the clock), or they would bring it to life again.
    held_ticks: HashMap<ConnectionId, UnixNanos, foldhash::fast::RandomState>,
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
            held: Vec::new(),
            held_ticks: HashMap::default(),
        }
    }

    fn take(&mut self, records: &[ConnectionRecord]) {
        let Some(first) = records.iter().map(|record| record.tick).min() else { return };
        let window = self.open.get_or_insert_with(|| OpenWindow::new(&self.config, self.boundaries, first));
        let mut folded = 0;
        for record in records {
            let is_end = record.event.is_end();
            if record.tick > window.end {
                if self.held.len() < MOST_HELD {
                    if !is_end {
                        let tick = self.held_ticks.entry(record.id).or_default();
                        *tick = record.tick.max(*tick);
                    }
                    self.held.push(record.clone());
                    continue;
                }
                window.connections.tally().early += 1;
            } else if is_end && let Some(tick) = self.held_ticks.get(&record.id) {
                self.held.push(ConnectionRecord { tick: *tick, ..record.clone() });
                continue;
            } else if record.tick <= window.start {
                window.connections.tally().late += 1;
            }
            window.add(record);
            folded += 1;
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

    /// Adds the held records that `belongs` names to the open window, in the order of their arrival.
    fn take_held(&mut self, belongs: impl Fn(&ConnectionRecord) -> bool) {
        let Some(window) = &mut self.open else { return };
        let mut folded = 0;
        for record in self.held.extract_if(.., |record| belongs(record)) {
            window.add(&record);
            folded += 1;
        }
        self.node.add_folded(folded);
        self.node.set_held(self.held.len() as u64);
        if self.held.is_empty() {
            self.held_ticks.clear();
        } else if folded > 0 {
            self.held_ticks.clear();
            for record in self.held.iter().filter(|record| !record.event.is_end()) {
                let tick = self.held_ticks.entry(record.id).or_default();
                *tick = record.tick.max(*tick);
            }
        }
        if self.held.is_empty() && self.held.capacity() > MOST_HELD / 8 {
            self.held = Vec::new();
        }
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
            let held = self.held.iter().map(|record| record.tick).max().unwrap_or_default();
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
    fn add(&mut self, record: &ConnectionRecord) {
        self.records += 1;
        self.last_tick = self.last_tick.max(record.tick);
        self.connections.observe(record);
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
