use serde_json::json;

use super::check;
use crate::telemetry::Metrics;

const PAGE: &str = r#"
longwave_receiver_accepted_records_total{receiver="bpf",pipeline="metrics"} 10
longwave_processor_incoming_items_total{processor="window",pipeline="metrics"} 10
longwave_processor_folded_items_total{processor="window",pipeline="metrics"} 9
longwave_processor_dropped_items_total{processor="window",pipeline="metrics",reason="x"} 1
longwave_processor_outgoing_items_total{processor="window",pipeline="metrics"} 3
longwave_exporter_incoming_metric_points_total{exporter="stdout",signal="metrics"} 3
longwave_exporter_sent_metric_points_total{exporter="stdout",signal="metrics"} 2
"#;

/// *Scenario*: a window aggregates and drops items. An exporter has sent all points but one, which it has not counted, or counts as held.
/// *Guarantees*: the page balances only if the point is counted as held, or as kept in the storage. Points that were restored from there count, too.
#[test]
fn finds_what_is_missing() {
    let config = json!({"service": {"pipelines": {"metrics": {
            "receivers": ["bpf"], "processors": ["window"], "exporters": ["stdout"]}}}});
    let problems = check(&Metrics::parse(PAGE), &config);
    assert_eq!(problems, ["metrics: stdout: incoming 3 + restored 0 ≠ sent 2 + failed 0 + held 0 + kept 0"]);
    let with = |name: &str, points: u64| {
        format!("longwave_exporter_{name}_metric_points{{exporter=\"stdout\",signal=\"metrics\"}} {points}\n")
    };
    for more in [with("held", 1), with("kept", 1), with("held", 4) + &with("restored", 3)] {
        assert_eq!(check(&Metrics::parse(&format!("{PAGE}{more}")), &config), Vec::<String>::new());
    }
}
