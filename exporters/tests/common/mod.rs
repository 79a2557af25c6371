//! Helpers of the tests of both protocols: exporters created by their factories, small windows, certificates, servers.
#![allow(dead_code, reason = "each test binary uses its part")]

pub mod certificates;
pub mod grpc_server;
pub mod http_server;
pub mod rotating_token;

use std::sync::Arc;

use bytes::Bytes;
use longwave_config::{ConfigPath, Value};
use longwave_pipeline::component::{
    Authenticators, Exporter, ExporterContext, ExporterFactory, Payload, PushError, Signal,
};
use longwave_pipeline::model::{
    Batch, ConnectionRecord, Level, Measures, Series, SeriesKey, UnixNanos, Window,
};

/// Creates an exporter of `component_type` with the given section.
pub fn exporter(component_type: &str, section: serde_json::Value, signal: Signal) -> Box<dyn Exporter> {
    try_exporter(component_type, section, signal).unwrap_or_else(|message| panic!("{message}"))
}

/// Does what [`exporter`] does, but returns the error if the creation fails.
pub fn try_exporter(
    component_type: &str,
    section: serde_json::Value,
    signal: Signal,
) -> Result<Box<dyn Exporter>, String> {
    try_authenticated(component_type, section, signal, Authenticators::default())
}

/// Does what [`try_exporter`] does, in a graph that has `authenticators`.
pub fn try_authenticated(
    component_type: &str,
    section: serde_json::Value,
    signal: Signal,
    authenticators: Authenticators,
) -> Result<Box<dyn Exporter>, String> {
    let has_type = |factory: &ExporterFactory| {
        factory.about.component_type == component_type || factory.about.aliases.contains(&component_type)
    };
    let factory = longwave_exporters::factories().into_iter().find(has_type).unwrap();
    let section = Value::from_serialize(&section).unwrap();
    let prepared = match factory.prepare(&section, &ConfigPath::from("exporters::test")) {
        Ok(prepared) => prepared,
        Err(errors) => return Err(errors.to_string()),
    };
    (prepared.create)(context(component_type, signal, authenticators)).map_err(|e| e.to_string())
}

/// Returns the context of an exporter.
pub fn context(id: &str, signal: Signal, authenticators: Authenticators) -> ExporterContext {
    ExporterContext {
        id: id.to_owned(),
        signal,
        resource: Arc::new(vec![("service.name".to_owned(), "longwave".to_owned())]),
        meter: opentelemetry::global::meter("test"),
        authenticators,
        storages: Default::default(),
        log_edits: Default::default(),
        batch: None,
    }
}

/// Returns a window of one series that sent `sent` bytes.
pub fn window(sent: u64) -> Batch {
    let mut measures = Measures::default();
    measures.totals.sent_bytes = sent;
    let series = Series {
        level: Level::Service,
        key: Arc::new(SeriesKey::Overflow),
        created: UnixNanos(0),
        ended: false,
        measures,
    };
    Batch::Window(Arc::new(Window { start: UnixNanos(1), end: UnixNanos(2), series: vec![series] }))
}

/// Returns `count` records.
pub fn records(count: u64) -> Batch {
    let record = |i| ConnectionRecord { observed: UnixNanos(i), ..ConnectionRecord::blank() };
    Batch::records((0..count).map(record).collect())
}

/// Returns the only payload of the batch.
pub fn payload(exporter: &mut dyn Exporter, batch: &Batch) -> Payload {
    let mut payloads = exporter.encode(batch).unwrap();
    assert_eq!(payloads.len(), 1);
    payloads.remove(0)
}

/// Returns a payload that is not a request, for tests that do not depend on the content.
pub fn any_payload() -> Payload {
    Payload { bytes: Bytes::new(), items: 10, traffic_bytes: 0 }
}

/// Returns the message of a retryable error.
pub fn retryable(error: PushError) -> String {
    match error {
        PushError::Retryable { message, .. } => message,
        other => panic!("not retryable: {other}"),
    }
}

/// Returns the message of a permanent error.
pub fn permanent(error: PushError) -> String {
    match error {
        PushError::Permanent(message) => message,
        other => panic!("not permanent: {other:?}"),
    }
}
