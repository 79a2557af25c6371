//! Series of deleted workloads.

use std::collections::{BTreeMap, BTreeSet};

use longwave_tests::otlp_json::FlatPoint;

use super::truth::Truth;
use crate::{attribute, sum};

/// Number of windows after the last window with a workload. They show that its series are not exported again.
const FOLLOWING: usize = 2;

/// Returns whether a point names the workload.
fn names(point: &FlatPoint, workload: &str) -> bool {
    ["source", "destination"]
        .iter()
        .any(|end| attribute(&point.attributes, &format!("{end}.workload.name")) == workload)
}

/// Returns the end times of the windows that name the workload, with whether the window counts something for it, and the end times of all
/// later windows.
pub fn window_ends(points: &[FlatPoint], workload: &str) -> (BTreeMap<u64, bool>, BTreeSet<u64>) {
    let mut own: BTreeMap<u64, bool> = BTreeMap::new();
    for point in points.iter().filter(|point| names(point, workload)) {
        let counts = !matches!(point.value.as_str(), "0") && !point.value.starts_with("0/");
        *own.entry(point.end).or_default() |= counts && !point.name.ends_with(".min_rtt");
    }
    let last = own.last_key_value().map_or(0, |(end, _)| *end);
    let following = points.iter().map(|point| point.end).filter(|end| *end > last).collect();
    (own, following)
}

/// Returns whether enough windows arrived after the last one that names the workload.
pub fn is_followed(points: &[FlatPoint], workload: &str) -> bool {
    window_ends(points, workload).1.len() >= FOLLOWING
}

/// Asserts that the series of the workload were exported once with zeros after the last counts, and not again. `since` is the start time of
/// the last Longwave.
pub fn assert_ended(points: &[FlatPoint], workload: &str, since: u64) {
    let (own, following) = window_ends(points, workload);
    assert!(following.len() >= FOLLOWING, "{workload}: followed by {following:?} only: {own:#?}");
    let idle = own.values().rev().take_while(|counts| !**counts).count();
    assert_eq!(idle, 1, "{workload}: windows without anything to count at its end, {own:#?}");
    let last = own.last_key_value().map_or(0, |(end, _)| *end);
    let mut active: BTreeMap<String, (u64, String)> = BTreeMap::new();
    for point in points.iter().filter(|point| {
        point.end > since
            && point.name == "longwave.tcp.workload.connections.active"
            && names(point, workload)
    }) {
        let series = format!("{:?}", point.attributes);
        let newest = active.entry(series).or_default();
        if point.end >= newest.0 {
            *newest = (point.end, point.value.clone());
        }
    }
    for (series, (end, value)) in &active {
        assert_eq!(value, "0", "{workload}: the last of {series}, at {end}, the workload's last is {last}");
    }
    assert!(!active.is_empty(), "{workload}: no connections.active");
}

/// Asserts that the sums of the windows equal the counts of the ends, for a pair of workloads that is younger than Longwave.
pub fn assert_sums(points: &[FlatPoint], truth: &Truth, client: &str, server: &str) {
    let workload = |pod: &str| truth.pods.get(pod).map_or("", |pod| pod.workload.as_str());
    for (reporter, own, other) in [("source", client, server), ("destination", server, client)] {
        let flow =
            truth.ends().filter(|end| workload(&end.talk.pod) == own && workload(&end.talk.other) == other);
        let written: u64 = flow.map(|end| end.talk.written).sum();
        assert!(written > 0, "{client} → {server}: nothing was sent");
        assert_eq!(sum(points, reporter, client, server), written, "{client} → {server}, by {reporter}");
    }
}
