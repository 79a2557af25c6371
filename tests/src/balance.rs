//! Whether the accounting adds up: per stage, what came in = what went out + what was dropped + what is held.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::longwave::Longwave;
use crate::telemetry::{Metrics, Sample};

/// Names on the self-telemetry page, in one place.
pub mod name {
    /// Items that entered a stage.
    pub const INCOMING: &str = "longwave_stage_incoming_items";
    /// Items that left it.
    pub const OUTGOING: &str = "longwave_stage_outgoing_items";
    /// Items that became part of an aggregate.
    pub const FOLDED: &str = "longwave_stage_folded_items";
    /// Items inside.
    pub const HELD: &str = "longwave_stage_held_items";
    /// Items dropped, by `reason`.
    pub const DROPPED: &str = "longwave_dropped_items";
}

/// Asks until the page balances; a moment in which something is on its way is not a failure.
///
/// # Panics
/// With the page when it never balances.
pub fn assert_balances(longwave: &Longwave) {
    let mut problems = Vec::new();
    let mut page = Metrics::default();
    for _ in 0..50 {
        page = longwave.telemetry();
        problems = check(&page);
        if problems.is_empty() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50)); // the page is a snapshot: there is no event to wait for
    }
    panic!("the accounting never balanced:\n{}\n{}", problems.join("\n"), page.show());
}

/// What does not add up.
pub fn check(page: &Metrics) -> Vec<String> {
    let stages = stages(page);
    let mut problems = Vec::new();
    if stages.is_empty() {
        problems.push(format!("the page has no {}", name::INCOMING));
    }
    for (stage, incoming) in stages {
        let of = |name: &str| sum(page, name, &stage);
        let (outgoing, folded, held, dropped) =
            (of(name::OUTGOING), of(name::FOLDED), of(name::HELD), of(name::DROPPED));
        // A stage that aggregates has folded items; what leaves it is of another kind.
        let left = if folded > 0 { folded } else { outgoing };
        if incoming != left + dropped + held {
            problems.push(format!(
                "{stage:?}: incoming {incoming} ≠ left {left} + dropped {dropped} + held {held}"
            ));
        }
    }
    problems
}

type Stage = BTreeMap<String, String>;

fn stages(page: &Metrics) -> Vec<(Stage, u64)> {
    page.select(name::INCOMING, &[]).map(|sample| (stage_of(sample), sample.value as u64)).collect()
}

fn stage_of(sample: &Sample) -> Stage {
    sample
        .labels
        .iter()
        .filter(|(key, _)| !key.starts_with("otel_scope"))
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect()
}

fn sum(page: &Metrics, name: &str, stage: &Stage) -> u64 {
    page.select(name, &[])
        .filter(|sample| stage.iter().all(|(key, value)| sample.labels.get(key) == Some(value)))
        .map(|sample| sample.value as u64)
        .sum()
}
