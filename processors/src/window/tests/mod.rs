//! Tests of `window`.

mod config;
mod connection_level;
mod folds;
mod moves;
mod properties;
mod reload;
mod renames;
mod series;
mod times;

use std::num::NonZeroU64;
use std::sync::Arc;

use longwave_config::GoDuration;
use longwave_pipeline::component::{Accounting, Processor};
use longwave_pipeline::model::{
    Batch, CloseReason, ConnectionId, ConnectionRecord, End, Event, FailReason, FlowKey, Handle, Interner,
    Level, PassEnd, Role, Series, TcpState, Totals, UnixNanos, Window, Workload,
};

use super::{WindowConfig, WindowProcessor, WorkloadAttribute};

/// Times in tests are in seconds after this boundary, which is in seconds since the Unix epoch.
const BASE: u64 = 1_000_000;

/// A window processor, its accounting, and its windows.
struct Bench {
    processor: WindowProcessor,
    accounting: Accounting,
    windows: Vec<Arc<Window>>,
}

impl Bench {
    fn new(config: &WindowConfig) -> Self {
        let (context, accounting) = crate::testing::context("window", "metrics", true);
        Self { processor: WindowProcessor::new(config, &context), accounting, windows: Vec::new() }
    }

    fn feed(&mut self, batch: Batch) -> &mut Self {
        for node in self.accounting.nodes() {
            node.add_incoming(batch.items());
        }
        let mut out = Vec::new();
        self.processor.process(batch, &mut out).unwrap();
        self.keep(out)
    }

    fn records(&mut self, records: impl IntoIterator<Item = ConnectionRecord>) -> &mut Self {
        self.feed(Batch::records(records.into_iter().collect()))
    }

    fn pass_end(&mut self, second: f64) -> &mut Self {
        self.feed(Batch::PassEnd(PassEnd { tick: at(second), last: false }))
    }

    fn last(&mut self, second: f64) -> &mut Self {
        self.feed(Batch::PassEnd(PassEnd { tick: at(second), last: true }))
    }

    fn finish(&mut self) -> &mut Self {
        let mut out = Vec::new();
        self.processor.finish(&mut out).unwrap();
        self.keep(out)
    }

    fn keep(&mut self, out: Vec<Batch>) -> &mut Self {
        for batch in out {
            let Batch::Window(window) = batch else { panic!("not a window: {batch:?}") };
            self.windows.push(window);
        }
        assert_eq!(self.accounting.imbalances(), []);
        self
    }

    /// Returns the starts and ends of the windows, in seconds after [`BASE`].
    fn times(&self) -> Vec<(f64, f64)> {
        self.windows.iter().map(|window| (seconds(window.start), seconds(window.end))).collect()
    }

    /// Returns the series of a level in the last window.
    fn series(&self, level: Level) -> Vec<&Series> {
        self.windows.last().unwrap().series.iter().filter(|series| series.level == level).collect()
    }

    /// Returns the only series of a level in the last window.
    fn only(&self, level: Level) -> &Series {
        let series = self.series(level);
        assert_eq!(series.len(), 1, "{series:#?}");
        series[0]
    }

    /// Returns the sent bytes of a level, by window.
    fn sent(&self, level: Level) -> Vec<u64> {
        let of = |window: &Window| {
            window.series.iter().filter(|s| s.level == level).map(|s| s.measures.totals.sent_bytes).sum()
        };
        self.windows.iter().map(|window| of(window)).collect()
    }
}

fn config(levels: &[Level]) -> WindowConfig {
    WindowConfig {
        levels: levels.iter().copied().collect(),
        interval: GoDuration::from_secs(5),
        ..WindowConfig::default()
    }
}

/// Returns the flow of a series that is not the overflow series.
fn flow(series: &Series) -> &FlowKey {
    series.key.flow().unwrap()
}

/// Returns the name of the source's workload.
fn source(series: &Series) -> &str {
    flow(series).source.name.as_deref().unwrap()
}

fn at(second: f64) -> UnixNanos {
    UnixNanos(BASE * 1_000_000_000 + (second * 1e9) as u64)
}

fn seconds(time: UnixNanos) -> f64 {
    (time.0 - BASE * 1_000_000_000) as f64 / 1e9
}

/// Returns an update of connection `cookie`, which was opened at second 1 and has sent `bytes` since its last record.
fn update(cookie: u64, tick: f64, bytes: u64) -> ConnectionRecord {
    ConnectionRecord {
        id: ConnectionId { boot: 1, netns: 1, cookie, generation: 7 },
        event: Event::Update,
        role: Role::Client,
        state: TcpState::Established,
        start_known: true,
        opened: at(1.0),
        observed: at(tick),
        age: at(tick).0.saturating_sub(at(1.0).0),
        tick: at(tick),
        delta: Totals { sent_bytes: bytes, ..Totals::default() },
        ..ConnectionRecord::blank()
    }
}

fn close(cookie: u64, tick: f64, bytes: u64) -> ConnectionRecord {
    ConnectionRecord {
        event: Event::Close,
        end: Some(End::Closed(CloseReason::Fin)),
        ..update(cookie, tick, bytes)
    }
}

fn fail(cookie: u64, tick: f64) -> ConnectionRecord {
    ConnectionRecord {
        event: Event::Fail,
        state: TcpState::SynSent,
        end: Some(End::Failed(FailReason::Refused)),
        ..update(cookie, tick, 0)
    }
}

fn seeded(record: ConnectionRecord) -> ConnectionRecord {
    ConnectionRecord { start_known: false, opened: UnixNanos::default(), ..record }
}

fn with_rtt(mut record: ConnectionRecord, micros: u64) -> ConnectionRecord {
    record.acked = true;
    record.round_trip.smoothed = NonZeroU64::new(micros * 1000);
    record.round_trip.minimum = NonZeroU64::new(micros * 500);
    record
}

/// Creates handles of workloads.
struct Workloads(Interner<Workload>);

impl Workloads {
    fn new() -> Self {
        Self(Interner::default())
    }

    fn get(&self, name: &str) -> Handle<Workload> {
        self.0.intern(Workload { name: name.into(), kind: "Process".into(), ..Workload::default() })
    }

    fn named(&self, mut record: ConnectionRecord, local: &str) -> ConnectionRecord {
        record.names.local = Some(self.get(local));
        record
    }
}
