//! Charts of the last windows.

use maud::{Markup, html};

use super::super::history::{Sample, WINDOWS};
use crate::units;

/// Size of a chart in units of its view box.
const WIDTH: f64 = 300.0;
const HEIGHT: f64 = 56.0;

/// Renders one chart for each measure. The last window is at the right.
pub(super) fn of_samples(samples: &[Option<Sample>]) -> Markup {
    let rate = |value: f64| format!("{}B/s", units::rate(value));
    let count = |value: f64| units::count(value as u64);
    let of = |value: fn(&Sample) -> Option<f64>| -> Vec<Option<f64>> {
        samples.iter().map(|sample| sample.as_ref().and_then(value)).collect()
    };
    html! {
        div.charts {
            (chart("Client → server", &of(|it| Some(it.towards)), rate))
            (chart("Server → client", &of(|it| Some(it.back)), rate))
            (chart("Round trip", &of(|it| it.round_trip), units::seconds))
            (chart("Retransmits", &of(|it| Some(it.retransmits as f64)), count))
            (chart("Failed", &of(|it| Some(it.failed as f64)), count))
        }
    }
}

fn chart(name: &str, values: &[Option<f64>], format: fn(f64) -> String) -> Markup {
    let known = values.iter().flatten();
    let most = known.copied().fold(0.0, f64::max);
    let last = values.last().copied().flatten();
    let step = WIDTH / WINDOWS as f64;
    let first = WINDOWS.saturating_sub(values.len());
    let bars = values.iter().enumerate().filter_map(|(index, value)| {
        let value = (*value)?;
        let height = if most > 0.0 { value / most * HEIGHT } else { 0.0 };
        Some((step * (first + index) as f64, height))
    });
    html! {
        figure.chart {
            figcaption { (name) b { @if let Some(last) = last { (format(last)) } @else { "-" } } span { "max " (format(most)) } }
            svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } preserveAspectRatio="none" role="img" aria-label=(name) {
                @for (x, height) in bars {
                    rect x=(round(x)) y=(round(HEIGHT - height)) width=(round(step - 1.0)) height=(round(height)) {}
                }
            }
        }
    }
}

/// Rounds a coordinate, which keeps the document short.
pub(super) fn round(coordinate: f64) -> f64 {
    (coordinate * 10.0).round() / 10.0
}
