//! Measures a scrape of the exporter `prometheus`, from the request to the last byte of the response: 1,000 series of each of the three
//! levels and an overflow series, as 100,000 connections have them with `max_series: 1000`.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use longwave_config::{ConfigPath, Value};
use longwave_pipeline::component::{ExporterContext, Signal};
use longwave_pipeline::model::{Batch, Level, Measures, Series, SeriesKey, UnixNanos, Window};
use opentelemetry::metrics::{MeterProvider, noop::NoopMeterProvider};

/// Scrapes and returns the length of the response.
fn scrape(address: SocketAddr, headers: &str) -> usize {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n").unwrap();
    let mut response = Vec::new();
    stream.read_to_end(&mut response).unwrap();
    assert!(response.starts_with(b"HTTP/1.1 200"));
    response.len()
}

fn window() -> Window {
    let mut window = common::busy_window(Level::Service);
    for level in Level::ALL {
        let overflow = Series {
            level,
            key: Arc::new(SeriesKey::Overflow),
            created: UnixNanos(1),
            ended: false,
            measures: Measures { active: 99_000, ..Measures::default() },
        };
        window.series.push(overflow);
    }
    for level in [Level::Workload, Level::Connection] {
        window.series.extend(common::busy_window(level).series);
    }
    window
}

fn scrapes(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let section = Value::from_serialize(&serde_json::json!({"endpoint": address.to_string()})).unwrap();
    let prepared = longwave_exporters::prometheus::factory()
        .prepare(&section, &ConfigPath::from("exporters::prometheus"));
    let context = ExporterContext {
        id: "prometheus".to_owned(),
        signal: Signal::Metrics,
        resource: Arc::default(),
        meter: NoopMeterProvider::new().meter("bench"),
        authenticators: Default::default(),
        storages: Default::default(),
        log_edits: Default::default(),
        batch: None,
    };
    let mut exporter = (prepared.ok().unwrap().create)(context).unwrap();
    runtime.block_on(exporter.pusher().start()).unwrap();
    exporter.encode(&Batch::Window(Arc::new(window()))).unwrap();

    let mut group = criterion.benchmark_group("scrape");
    let open_metrics = "accept: application/openmetrics-text;version=1.0.0\r\n";
    let gzip = "accept-encoding: gzip\r\n";
    let protobuf = "accept: application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited\r\n";
    for (name, headers) in [
        ("text", String::new()),
        ("text, gzip", gzip.to_owned()),
        ("OpenMetrics", open_metrics.to_owned()),
        ("OpenMetrics, gzip", format!("{open_metrics}{gzip}")),
        ("protobuf, gzip", format!("{protobuf}{gzip}")),
    ] {
        eprintln!("{name}: {} bytes", scrape(address, &headers));
        group.bench_function(name, |bencher| bencher.iter(|| scrape(address, &headers)));
    }
    group.finish();
    group_of_windows(criterion, &mut *exporter);
    runtime.block_on(exporter.pusher().shutdown()).unwrap();
}

/// Measures how long a window takes to be added.
fn group_of_windows(criterion: &mut Criterion, exporter: &mut dyn longwave_pipeline::component::Exporter) {
    let batch = Batch::Window(Arc::new(window()));
    criterion.bench_function("add a window", |bencher| bencher.iter(|| exporter.encode(&batch).unwrap()));
}

criterion_group!(benches, scrapes);
criterion_main!(benches);
