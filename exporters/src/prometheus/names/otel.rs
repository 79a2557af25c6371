//! OpenTelemetry's names: the same metrics and attributes as by OTLP.

use std::borrow::Cow;

use longwave_pipeline::model::metric::{Id, METRICS};
use longwave_pipeline::model::{AttributeValue, Level, SeriesKey};

use super::{GroupNames, MeshGroup, MetricNames, Value, translation};
use crate::prometheus::config::TranslationStrategy;

/// Returns one group for each level.
pub(super) fn groups(strategy: TranslationStrategy) -> Vec<GroupNames> {
    let metrics = |level: Level| {
        let metrics = METRICS.iter().zip(Id::ALL).map(|(metric, id)| {
            let (name, unit) = translation::metric(strategy, metric.names[level as usize], metric.unit);
            MetricNames {
                name,
                unit,
                kind: translation::kind(strategy, metric.kind),
                help: Cow::Borrowed(metric.description),
                value: Value::Points(id),
            }
        });
        metrics.collect()
    };
    let group = |level| GroupNames { level, metrics: metrics(level), labels: MeshGroup::default() };
    Level::ALL.into_iter().map(group).collect()
}

/// Visits the attributes of a series as labels. An unknown name has no label.
pub(super) fn for_each_label(key: &SeriesKey, escapes: bool, visit: &mut dyn FnMut(&str, &str)) {
    key.for_each_attribute(&mut |name, value| {
        let mut visit = |text: &str| visit(&translation::label(name, escapes), text);
        match value {
            AttributeValue::Unknown => {}
            AttributeValue::Str(text) => visit(text),
            AttributeValue::Text(text) => visit(&text.to_string()),
            AttributeValue::Int(number) => visit(&number.to_string()),
            AttributeValue::Float(number) => visit(&number.to_string()),
            AttributeValue::Bool(value) => visit(if value { "true" } else { "false" }),
        }
    });
}
