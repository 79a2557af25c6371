//! Formats quantities for people, with three digits and a unit.

use std::fmt::Write;

/// Formats bytes in powers of 1000: `987B`, `12.3kB`, `1.20GB`.
pub fn bytes(count: u64) -> String {
    scaled(count as f64, &["B", "kB", "MB", "GB", "TB", "PB", "EB"])
}

/// Formats a rate without its unit, which the column's heading names: `987`, `12.3k`, `1.20G`.
pub fn rate(per_second: f64) -> String {
    scaled(per_second, &["", "k", "M", "G", "T", "P", "E"])
}

/// Formats a count: `9999`, and from 10,000 on `12.3k`, `1.20M`.
pub fn count(count: u64) -> String {
    if count < 10_000 { count.to_string() } else { scaled(count as f64, &["", "k", "M", "G", "T", "P", "E"]) }
}

/// Formats a time: `950ns`, `12.5µs`, `1.20ms`, `3.40s`. From 100 s on it is formatted as by [`span`].
pub fn seconds(seconds: f64) -> String {
    let nanos = (seconds * 1e9).max(0.0);
    if nanos >= 100e9 { span(seconds) } else { scaled(nanos, &["ns", "µs", "ms", "s"]) }
}

/// Formats a longer time, with at most two units: `250ms`, `5s`, `2m30s`, `1h0m`, `3d4h`.
pub fn span(seconds: f64) -> String {
    if seconds < 1.0 {
        return scaled(seconds * 1e9, &["ns", "µs", "ms", "s"]).replace(".00", "");
    }
    let whole = seconds as u64;
    match whole {
        0..60 => {
            let text = format!("{seconds:.1}");
            format!("{}s", text.strip_suffix(".0").unwrap_or(&text))
        }
        60..3_600 => format!("{}m{}s", whole / 60, whole % 60),
        3_600..86_400 => format!("{}h{}m", whole / 3_600, whole / 60 % 60),
        _ => format!("{}d{}h", whole / 86_400, whole / 3_600 % 24),
    }
}

/// Formats `value`, given in the first unit, with three digits in the unit that fits. In the first unit only numbers below 10 have a
/// fraction.
fn scaled(value: f64, units: &[&str]) -> String {
    let mut value = value;
    let mut index = 0;
    // 999.5 would be rounded to 1000.
    while value >= 999.5 && index + 1 < units.len() {
        value /= 1000.0;
        index += 1;
    }
    let mut text = String::new();
    let digits = if index == 0 {
        usize::from(value < 9.95 && value.fract() != 0.0)
    } else if value < 9.995 {
        2
    } else if value < 99.95 {
        1
    } else {
        0
    };
    // Writing to a String cannot fail.
    let _ = write!(text, "{value:.digits$}{}", units[index]);
    text
}
