//! Checks that the counters of the self-telemetry add up, within each stage and from each stage to the next.

use std::time::Duration;

use serde_json::Value;

use crate::longwave::Longwave;
use crate::telemetry::Metrics;

/// Number of reads with the same problems after which they are final.
const MAX_UNCHANGED: u32 = 100;

/// Reads the page until it balances. While items are on their way, the page does not balance, but the problems change between two reads.
///
/// # Panics
/// If the problems stop changing, or after a time limit, with the page.
pub fn assert_balances(longwave: &Longwave) {
    let mut problems = Vec::new();
    let mut page = Metrics::default();
    let mut same = 0;
    for _ in 0..40 * MAX_UNCHANGED {
        page = longwave.telemetry();
        let found = check(&page, longwave.config());
        if found.is_empty() {
            return;
        }
        same = if found == problems { same + 1 } else { 0 };
        problems = found;
        if same > MAX_UNCHANGED {
            break;
        }
        std::thread::sleep(Duration::from_millis(50)); // the page is a snapshot: there is no event to wait for
    }
    panic!("the accounting does not balance:\n{}\n{}", problems.join("\n"), page.show());
}

/// Returns the counters on `page` that do not add up, for the pipelines of `config`.
pub fn check(page: &Metrics, config: &Value) -> Vec<String> {
    let mut problems = Vec::new();
    if !page.has("longwave_receiver_accepted_records") {
        problems.push("the page has no longwave_receiver_accepted_records".to_owned());
    }
    let mut delivered: Vec<(String, &str, u64)> = Vec::new();
    for (pipeline, parts) in config["service"]["pipelines"].as_object().into_iter().flatten() {
        let signal = pipeline.split('/').next().unwrap_or_default();
        let last = check_pipeline(page, pipeline, parts, &mut problems);
        for exporter in ids(&parts["exporters"]) {
            match delivered.iter_mut().find(|(id, of, _)| id == exporter && *of == signal) {
                Some((_, _, items)) => *items += last,
                None => delivered.push((exporter.to_owned(), signal, last)),
            }
        }
    }
    for (exporter, signal, given) in delivered {
        check_exporter(page, &exporter, signal, given, &mut problems);
    }
    problems
}

/// Checks the receivers and processors of a pipeline. Returns the number of items that its last stage sent to each exporter.
fn check_pipeline(page: &Metrics, pipeline: &str, parts: &Value, problems: &mut Vec<String>) -> u64 {
    let mut given: u64 = ids(&parts["receivers"])
        .map(|id| page.sum("longwave_receiver_accepted_records", &[("receiver", id), ("pipeline", pipeline)]))
        .sum();
    for id in ids(&parts["processors"]) {
        let of = |what: &str| {
            page.sum(
                &format!("longwave_processor_{what}_items"),
                &[("processor", id), ("pipeline", pipeline)],
            )
        };
        let (incoming, outgoing, folded) = (of("incoming"), of("outgoing"), of("folded"));
        let (dropped, filtered, held) = (of("dropped"), of("filtered"), of("held"));
        if incoming != given {
            problems.push(format!("{pipeline}: {id}: incoming {incoming}, the stage before sent {given}"));
        }
        // A window aggregates its items, and its output has other items.
        let left = if id.split('/').next() == Some("window") { folded } else { outgoing };
        if incoming != left + dropped + filtered + held {
            problems.push(format!(
                "{pipeline}: {id}: incoming {incoming} ≠ left {left} + dropped {dropped} + filtered {filtered} + held {held}"
            ));
        }
        given = outgoing;
    }
    given
}

fn check_exporter(page: &Metrics, id: &str, signal: &str, given: u64, problems: &mut Vec<String>) {
    let unit = if signal == "logs" { "log_records" } else { "metric_points" };
    let of = |what: &str| page.sum(&format!("longwave_exporter_{what}_{unit}"), &[("exporter", id)]);
    let (incoming, sent, failed, held) = (of("incoming"), of("sent"), of("send_failed"), of("held"));
    if incoming != given {
        problems.push(format!("{signal}: {id}: incoming {incoming}, the stages before sent {given}"));
    }
    let restored = of("restored");
    if incoming + restored != sent + failed + held {
        problems.push(format!(
            "{signal}: {id}: incoming {incoming} + restored {restored} ≠ sent {sent} + failed {failed} + held {held}"
        ));
    }
}

fn ids(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str)
}

#[cfg(test)]
mod tests;
