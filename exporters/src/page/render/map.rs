//! The map of clients and servers. Clients are at the left, servers at the right. A wider band between them means more bytes.

use std::collections::HashMap;

use maud::{Markup, html};

use super::chart::round;
use super::{View, per_second, trouble};
use crate::flows::Flow;

/// Maximum number of bands. Flows with failures or losses come first, then the busiest ones.
const MAX_BANDS: usize = 24;
/// Sizes in units of the view box.
const WIDTH: f64 = 620.0;
const BAR: f64 = 6.0;
const MIN_BAND: f64 = 2.0;
const MAX_BAND: f64 = 26.0;
/// Height of a name, which is more than that of a narrow band.
const MIN_NODE: f64 = 20.0;
const GAP: f64 = 8.0;
/// Maximum length of a name, in characters.
const MAX_NAME: usize = 34;

/// One workload or service at one side of the map.
#[derive(Default)]
struct MapNode {
    /// Sum of the widths of its bands.
    bands: f64,
    /// Position of its top.
    top: f64,
    /// Height of the bands that were drawn.
    used: f64,
}

/// The nodes of one side, in the order of their first band.
#[derive(Default)]
struct Column<'a> {
    names: Vec<&'a str>,
    nodes: HashMap<&'a str, MapNode>,
}

pub(super) fn render(view: &View) -> Markup {
    let mut flows: Vec<&Flow> = view.flows.iter().copied().filter(|flow| !flow.is_overflow).collect();
    // Stable: the busiest first, as in the table.
    flows.sort_by_key(|flow| !flow.is_troubled());
    let others = flows.len().saturating_sub(MAX_BANDS);
    flows.truncate(MAX_BANDS);
    flows.sort_by(|one, other| {
        one.source.cmp(&other.source).then_with(|| one.destination.cmp(&other.destination))
    });
    let most = flows.iter().map(|flow| flow.bytes()).max().unwrap_or_default();
    let (mut sources, mut destinations) = (Column::default(), Column::default());
    for flow in &flows {
        let band = band(flow, most);
        sources.add(&flow.source, band);
        destinations.add(server(flow), band);
    }
    let height = sources.arrange().max(destinations.arrange());
    let bands: Vec<_> = flows
        .iter()
        .map(|flow| {
            let width = band(flow, most);
            (flow, path(sources.next(&flow.source, width), destinations.next(server(flow), width), width))
        })
        .collect();
    html! {
        figure.map {
            svg viewBox={ "0 0 " (WIDTH) " " (round(height)) } role="img" aria-label="Map of clients and servers" {
                @for (flow, path) in &bands {
                    a href=(view.link(flow)) {
                        path class={ "band " (trouble(flow).unwrap_or_default()) } d=(path) { title { (title(flow)) } }
                    }
                }
                (column(&sources, 0.0, BAR + 4.0, "start"))
                (column(&destinations, WIDTH - BAR, -4.0, "end"))
            }
            figcaption {
                "Clients at the left, servers at the right."
                @if others > 0 { " " (others) " more flows are only in the table." }
            }
        }
    }
}

/// Returns the name at the right: the service, or the workload if the service is unknown.
fn server(flow: &Flow) -> &str {
    if flow.service.is_empty() { &flow.destination } else { &flow.service }
}

/// Returns the width of a band. It grows with the square root of the bytes, so that quiet flows are visible beside busy ones.
fn band(flow: &Flow, most: u64) -> f64 {
    let share = if most > 0 { flow.bytes() as f64 / most as f64 } else { 0.0 };
    MIN_BAND + (MAX_BAND - MIN_BAND) * share.sqrt()
}

/// Returns the path of a band between two heights.
fn path(from: f64, to: f64, width: f64) -> String {
    let (left, right, middle) = (BAR, WIDTH - BAR, WIDTH / 2.0);
    let [top, bottom] = [from, from + width].map(round);
    let [to_top, to_bottom] = [to, to + width].map(round);
    format!(
        "M{left} {top}C{middle} {top} {middle} {to_top} {right} {to_top}V{to_bottom}C{middle} {to_bottom} {middle} {bottom} {left} {bottom}Z"
    )
}

fn title(flow: &Flow) -> String {
    let (towards, back) = (per_second(flow.towards, flow.seconds), per_second(flow.back, flow.seconds));
    let mut title =
        format!("{} → {}: → {towards}, ← {back}, {} open", flow.source, server(flow), flow.active);
    for (count, what) in [(flow.failed, "failed"), (flow.retransmits, "retransmits")] {
        if count > 0 {
            title += &format!(", {count} {what}");
        }
    }
    title
}

fn column(column: &Column, x: f64, text_offset: f64, anchor: &str) -> Markup {
    html! {
        @for name in &column.names {
            @let node = &column.nodes[name];
            rect.node x=(x) y=(round(node.top)) width=(BAR) height=(round(node.bands)) {}
            text x=(round(x + text_offset)) y=(round(node.top + node.bands / 2.0)) text-anchor=(anchor) dominant-baseline="middle" {
                title { (name) }
                (shortened(name))
            }
        }
    }
}

/// Returns a name with at most [`MAX_NAME`] characters.
fn shortened(name: &str) -> String {
    if name.chars().count() <= MAX_NAME {
        return name.to_owned();
    }
    name.chars().take(MAX_NAME - 1).chain(['…']).collect()
}

// === impl Column ===

impl<'a> Column<'a> {
    fn add(&mut self, name: &'a str, band: f64) {
        let node = self.nodes.entry(name).or_insert_with(|| {
            self.names.push(name);
            MapNode::default()
        });
        node.bands += band;
    }

    /// Gives each node its position. Returns the height of the column.
    fn arrange(&mut self) -> f64 {
        let mut top = GAP;
        for name in &self.names {
            let Some(node) = self.nodes.get_mut(name) else { continue };
            let height = node.bands.max(MIN_NODE);
            node.top = top + (height - node.bands) / 2.0;
            top += height + GAP;
        }
        top
    }

    /// Returns the position of the next band of a node.
    fn next(&mut self, name: &str, band: f64) -> f64 {
        let Some(node) = self.nodes.get_mut(name) else { return 0.0 };
        let position = node.top + node.used;
        node.used += band;
        position
    }
}
