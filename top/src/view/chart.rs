//! Charts of one character for each interval.

/// Parts of a full block, the smallest first.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Returns one line. The largest value is a full block; a missing one is a space.
pub(super) fn spark(values: impl Iterator<Item = Option<f32>>, cells: usize) -> String {
    let values: Vec<Option<f32>> = values.collect();
    bars(&values, cells, 1).pop().unwrap_or_default()
}

/// Returns the lines of a chart, the top first. New values are at the right; without enough values the left is empty.
pub(super) fn bars(values: &[Option<f32>], cells: usize, height: usize) -> Vec<String> {
    let values = &values[values.len().saturating_sub(cells)..];
    let max = values.iter().flatten().copied().fold(0.0_f32, f32::max);
    let steps = (height * BARS.len()) as f32;
    let level =
        |value: f32| if max > 0.0 { (value / max * steps).ceil().clamp(1.0, steps) as usize } else { 1 };
    let line = |from_bottom: usize| {
        let empty = " ".repeat(cells - values.len());
        let bar = |value: &Option<f32>| match value.map(level) {
            None => ' ',
            Some(level) => match level.saturating_sub(from_bottom * BARS.len()) {
                0 => ' ',
                part => BARS[part.min(BARS.len()) - 1],
            },
        };
        empty + &values.iter().map(bar).collect::<String>()
    };
    (0..height).rev().map(line).collect()
}
