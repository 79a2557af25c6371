//! The details of one flow: all measures of each end that reports it, and charts of the last windows.

use longwave_pipeline::model::metric::{Id, PointValue, for_each_point};
use longwave_pipeline::model::{
    AttributeValue, Histogram, Level, Series, UNKNOWN, Window, micros_to_seconds,
};
use maud::{Markup, html};

use super::super::query::{FlowId, Query};
use super::super::state::PageState;
use super::{chart, when};
use crate::flows::Flow;
use crate::units;

pub(super) fn render(state: &PageState, window: &Window, query: &Query, level: Level, id: FlowId) -> Markup {
    let seconds = window.end.since(window.start).as_secs_f64();
    let reports: Vec<(&Series, Flow)> = window
        .series
        .iter()
        .filter(|series| series.level == level)
        .map(|series| (series, Flow::of_series(series, seconds)))
        .filter(|(_, flow)| FlowId::of(level, flow) == id)
        .collect();
    html! {
        (when(window))
        p { a href=(query.with_flow(None).url()) { "← all flows" } }
        @match reports.first() {
            None => p.empty { "This flow is not in the last window: it has ended, or Longwave has started again." },
            Some((_, flow)) => {
                h2 { (flow.source) " → " (flow.destination) @if !flow.service.is_empty() { " " span.service { (flow.service) } } }
            }
        }
        (chart::of_samples(&state.history().of_flow(id)))
        div.reports { @for (series, flow) in &reports { (report(series, flow)) } }
    }
}

/// Renders what one end reports, with the names of the metrics and attributes that other exporters write.
fn report(series: &Series, flow: &Flow) -> Markup {
    let (mut attributes, mut points) = (Vec::new(), Vec::new());
    series.key.for_each_attribute(&mut |key, value| attributes.push((key.to_owned(), text(value))));
    for_each_point(&series.measures, &mut |id, value| points.push((id, value)));
    html! {
        section.report {
            h3 { "As the " (flow.side.as_str()) " reports it" }
            div.scroll {
                table.measures {
                    tbody {
                        @for (id, value) in &points { (point(*id, value)) }
                        @for (key, value) in &attributes { tr { th { (key) } td { (value) } } }
                    }
                }
            }
        }
    }
}

fn point(id: Id, value: &PointValue<'_>) -> Markup {
    let metric = id.metric();
    let (name, cell) = match value {
        PointValue::Int(number) => {
            let shown = if metric.unit == "By" { units::bytes(*number) } else { units::count(*number) };
            (metric.suffix.to_owned(), html! { data value=(number) { (shown) } })
        }
        PointValue::Micros(time) => {
            let seconds = micros_to_seconds(*time);
            (metric.suffix.to_owned(), html! { data value=(seconds) { (units::seconds(seconds)) } })
        }
        PointValue::Closed(reason, count) => (
            format!("{}.{}", metric.suffix, reason.as_str()),
            html! { data value=(count) { (units::count(*count)) } },
        ),
        PointValue::Failed(reason, count) => {
            (format!("{}.{reason}", metric.suffix), html! { data value=(count) { (units::count(*count)) } })
        }
        PointValue::Float(seconds) => {
            (metric.suffix.to_owned(), html! { data value=(seconds) { (units::seconds(*seconds)) } })
        }
        PointValue::Histogram(histogram) => (metric.suffix.to_owned(), buckets(histogram)),
    };
    html! { tr { th { abbr title=(metric.description) { (name) } } td { (cell) } } }
}

/// Renders the buckets that have samples, with a bar for each.
fn buckets(histogram: &Histogram) -> Markup {
    let bounds = histogram.bounds().iter().copied().map(Some).chain([None]);
    let filled: Vec<_> = bounds.zip(histogram.counts()).filter(|(_, count)| **count > 0).collect();
    let mean = histogram.sum() / histogram.count() as f64;
    html! {
        "mean " data value=(histogram.sum()) { (units::seconds(mean)) } " of "
        data value=(histogram.count()) { (histogram.count()) @if histogram.count() == 1 { " sample" } @else { " samples" } }
        @for (bound, count) in filled {
            div.bucket {
                span { @match bound { Some(bound) => { "≤ " (units::seconds(bound)) }, None => "more" } }
                meter min="0" max=(histogram.count()) value=(count) {}
                data value=(count) { (count) }
            }
        }
    }
}

fn text(value: AttributeValue<'_>) -> String {
    match value {
        AttributeValue::Str(text) => longwave_pipeline::component::visible::Visible(text).to_string(),
        AttributeValue::Text(text) => text.to_string(),
        AttributeValue::Int(number) => number.to_string(),
        AttributeValue::Float(number) => number.to_string(),
        AttributeValue::Bool(value) => value.to_string(),
        AttributeValue::Unknown => UNKNOWN.to_owned(),
    }
}
