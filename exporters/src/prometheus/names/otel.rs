//! OpenTelemetry's names: the same metrics and attributes as by OTLP.

use std::borrow::Cow;
use std::fmt::Write;

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
    let mut scratch = String::new();
    key.for_each_attribute(&mut |name, value| {
        scratch.clear();
        let text = match value {
            AttributeValue::Unknown => return,
            AttributeValue::Str(text) => text,
            AttributeValue::Bool(value) => {
                if value {
                    "true"
                } else {
                    "false"
                }
            }
            other => {
                // Writing to a string cannot fail.
                let _ = match other {
                    AttributeValue::Int(number) => write!(scratch, "{number}"),
                    AttributeValue::Float(number) => write!(scratch, "{number}"),
                    AttributeValue::Text(text) => write!(scratch, "{text}"),
                    AttributeValue::Str(_) | AttributeValue::Bool(_) | AttributeValue::Unknown => Ok(()),
                };
                &scratch
            }
        };
        visit(&translation::label(name, escapes), text);
    });
}
