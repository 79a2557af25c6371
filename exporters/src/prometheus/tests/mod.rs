//! Helpers of the tests: windows, and pages as a client gets them.

mod config;
mod http;
mod names;
mod pages;
mod properties;
mod store;

use crate::testing;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use longwave_pipeline::component::{Accepted, ExporterContext, Format, Signal};
use longwave_pipeline::model::{
    FlowKey, Level, Measures, Reporter, Series, SeriesKey, ServiceKey, UnixNanos, Window, WorkloadKey,
};

use super::config::PrometheusConfig;
use super::endpoint::Endpoint;
use super::store::Client;

/// Returns a client of this name.
fn scraper(agent: &str) -> Client {
    Client { address: IpAddr::V4(Ipv4Addr::new(10, 0, 0, 9)), agent: agent.into() }
}

const OPEN_METRICS: Accepted = Accepted { format: Format::OpenMetrics, utf8_names: false, gzip: false };
const TEXT: Accepted = Accepted { format: Format::Text, utf8_names: false, gzip: false };

fn context() -> ExporterContext {
    let resource = [("service.name", "longwave"), ("host.name", "node-1"), ("k8s.cluster.name", "east")];
    testing::context("prometheus", Signal::Metrics, &resource)
}

/// An endpoint that is not served, with a clock that the test sets.
struct Fixture {
    endpoint: Endpoint,
    start: Instant,
    /// End of the last window, in seconds.
    window: u64,
}

impl Fixture {
    fn new(config: PrometheusConfig) -> Self {
        Self::started(config, UnixNanos(0))
    }

    /// Creates a fixture whose sums are 0 at `started`.
    fn started(config: PrometheusConfig, started: UnixNanos) -> Self {
        Self { endpoint: Endpoint::new(&config, &context(), started), start: Instant::now(), window: 0 }
    }

    fn at(&self, seconds: u64) -> Instant {
        self.start + Duration::from_secs(seconds)
    }

    /// Adds a window that ends at `seconds`. Returns the number of series that were removed too early.
    fn window(&mut self, seconds: u64, series: Vec<Series>) -> u64 {
        let start = UnixNanos(self.window * 1_000_000_000);
        self.window = seconds;
        let window = Window { start, end: UnixNanos(seconds * 1_000_000_000), series };
        self.endpoint.add(&window, self.at(seconds))
    }

    /// Scrapes at `seconds` and returns the samples by series.
    fn scrape(&self, seconds: u64) -> BTreeMap<String, String> {
        self.scrape_by("Prometheus/3.10.0", seconds)
    }

    fn scrape_by(&self, agent: &str, seconds: u64) -> BTreeMap<String, String> {
        let page = self.endpoint.page(scraper(agent), OPEN_METRICS, self.at(seconds));
        let page = String::from_utf8(page).unwrap();
        let lines = page.lines().filter(|line| !line.starts_with('#'));
        let samples = lines.map(|line| line.rsplit_once(' ').unwrap());
        let mut by_series = BTreeMap::new();
        for (series, value) in samples {
            assert_eq!(by_series.insert(series.to_owned(), value.to_owned()), None, "twice: {series}");
        }
        by_series
    }
}

/// A configuration without labels that are the same in all series.
fn plain() -> PrometheusConfig {
    PrometheusConfig { without_scope_info: true, ..PrometheusConfig::default() }
}

fn workload(name: &str) -> WorkloadKey {
    let [name, kind, namespace] = [name, "Deployment", "shop"].map(|text| Some(text.into()));
    WorkloadKey { name, kind, namespace, details: None }
}

/// Returns the key of a workload series from `source` to `cart`.
fn key(source: &str) -> Arc<SeriesKey> {
    Arc::new(SeriesKey::Flow(FlowKey {
        reporter: Reporter::Source,
        source: workload(source),
        service: ServiceKey { name: Some("cart".into()), namespace: Some("shop".into()), ambiguous: false },
        destination: workload("cart"),
        connection: None,
        folded: None,
    }))
}

/// Returns a series of level `workload` that was created at second 0, with these sent bytes and open connections.
fn series(key: &Arc<SeriesKey>, sent_bytes: u64, active: u64) -> Series {
    let mut measures = Measures { active, ..Measures::default() };
    measures.totals.sent_bytes = sent_bytes;
    Series { level: Level::Workload, key: Arc::clone(key), created: UnixNanos(0), ended: false, measures }
}

/// Returns the last window of a series.
fn ended(key: &Arc<SeriesKey>) -> Series {
    Series { ended: true, ..series(key, 0, 0) }
}

/// Returns the sample of a workload metric whose source is `source`.
fn sample<'a>(samples: &'a BTreeMap<String, String>, metric: &str, source: &str) -> Option<&'a str> {
    let (name, source) =
        (format!("longwave_tcp_workload_{metric}{{"), format!("source_workload_name=\"{source}\""));
    let mut found =
        samples.iter().filter(|(series, _)| series.starts_with(&name) && series.contains(&source));
    let first = found.next().map(|(_, value)| value.as_str());
    assert_eq!(found.next(), None, "more than one series of {metric}");
    first
}
