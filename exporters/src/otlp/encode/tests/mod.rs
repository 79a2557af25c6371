//! What the encoders' tests share: a resource, series and windows.

mod cumulative;
mod decoded;
mod logs;
mod metrics;

use std::borrow::Cow;
use std::sync::Arc;

use longwave_pipeline::model::{Attributes, Level, Measures, Series, UnixNanos, Value, Window};

fn resource() -> Vec<(String, String)> {
    vec![("service.name".into(), "longwave".into()), ("host.name".into(), "node-1".into())]
}

fn named(source: &str) -> Arc<Attributes> {
    Arc::new(Attributes(vec![
        (Cow::Borrowed("reporter"), Value::Str("source".into())),
        (Cow::Borrowed("source.workload.name"), Value::Str(source.into())),
        (Cow::Borrowed("destination.port"), Value::Int(443)),
        (Cow::Borrowed("longwave.service.ambiguous"), Value::Bool(true)),
    ]))
}

fn one(level: Level, attributes: &Arc<Attributes>, created: u64, measures: Measures) -> Series {
    Series { level, attributes: Arc::clone(attributes), created: UnixNanos(created), ended: false, measures }
}

fn window(start: u64, series: Vec<Series>) -> Window {
    Window { start: UnixNanos(start), end: UnixNanos(start + 100), series }
}
