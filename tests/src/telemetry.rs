//! Reads the self-telemetry page in the text format of Prometheus.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;

use crate::http;

/// One sample of the page.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Name, with the suffix `_total` if it is a counter.
    pub name: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Value.
    pub value: f64,
}

/// All samples of one scrape.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    /// Samples in the order of the page.
    pub samples: Vec<Sample>,
}

impl Metrics {
    /// Reads `http://address/metrics`.
    ///
    /// # Errors
    /// If there is no response with status 200.
    pub fn scrape(address: SocketAddr) -> io::Result<Self> {
        match http::get(address, "/metrics", "text/plain")? {
            (200, body) => Ok(Self::parse(&body)),
            (status, body) => Err(io::Error::other(format!("status {status}: {body}"))),
        }
    }

    /// Parses the text format. Ignores lines that are not samples.
    pub fn parse(text: &str) -> Self {
        Self { samples: text.lines().filter_map(parse_sample).collect() }
    }

    /// Sums all series of `name` (with or without `_total`) whose labels contain all of `labels`.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        self.select(name, labels).map(|sample| sample.value as u64).sum()
    }

    /// Returns whether the page has a series of `name`.
    pub fn has(&self, name: &str) -> bool {
        self.select(name, &[]).next().is_some()
    }

    /// Returns the series of `name` (with or without `_total`) whose labels contain all of `labels`.
    pub fn select<'a>(
        &'a self,
        name: &'a str,
        labels: &'a [(&'a str, &'a str)],
    ) -> impl Iterator<Item = &'a Sample> {
        self.samples.iter().filter(move |sample| {
            sample.name.strip_suffix("_total").unwrap_or(&sample.name) == name
                && labels
                    .iter()
                    .all(|(key, value)| sample.labels.get(*key).is_some_and(|found| found == value))
        })
    }

    /// Returns the values of `label` in all series of `name`, sorted, each once.
    pub fn label_values(&self, name: &str, label: &str) -> Vec<String> {
        let mut values: Vec<String> =
            self.select(name, &[]).filter_map(|sample| sample.labels.get(label).cloned()).collect();
        values.sort();
        values.dedup();
        values
    }

    /// Formats all samples whose names start with `longwave_`, one per line, for messages.
    pub fn show(&self) -> String {
        let mut text = String::new();
        for sample in self.samples.iter().filter(|sample| sample.name.starts_with("longwave_")) {
            let labels: Vec<String> = sample
                .labels
                .iter()
                .filter(|(key, _)| !key.starts_with("otel_scope"))
                .map(|(key, value)| format!("{key}={value:?}"))
                .collect();
            text.push_str(&format!("{}{{{}}} {}\n", sample.name, labels.join(","), sample.value));
        }
        text
    }
}

fn parse_sample(line: &str) -> Option<Sample> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let (name, rest) = line.split_at(line.find(['{', ' '])?);
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => parse_labels(rest)?,
        None => (BTreeMap::new(), rest),
    };
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some(Sample { name: name.to_owned(), labels, value })
}

/// Parses `a="b",c="d"} rest` into labels and rest.
fn parse_labels(mut text: &str) -> Option<(BTreeMap<String, String>, &str)> {
    let mut labels = BTreeMap::new();
    loop {
        text = text.trim_start_matches([',', ' ']);
        if let Some(rest) = text.strip_prefix('}') {
            return Some((labels, rest));
        }
        let (key, rest) = text.split_once("=\"")?;
        let mut value = String::new();
        let mut characters = rest.char_indices();
        let end = loop {
            match characters.next()? {
                (at, '"') => break at,
                (_, '\\') => match characters.next()?.1 {
                    'n' => value.push('\n'),
                    other => value.push(other),
                },
                (_, other) => value.push(other),
            }
        };
        labels.insert(key.to_owned(), value);
        text = &rest[end + 1..];
    }
}

#[cfg(test)]
mod tests;
