use super::Metrics;

/// *Scenario*: a page with comments, escapes in labels, and a counter with the suffix `_total`.
/// *Guarantees*: `sum` selects samples by name without the suffix, and by labels.
#[test]
fn reads_a_page() {
    let page = "# HELP a_b x\n# TYPE a_b counter\na_b_total{x=\"1\",y=\"q\\\"}\"} 3\na_b_total{x=\"2\"} 4\nplain 5 17\n";
    let metrics = Metrics::parse(page);
    assert_eq!(metrics.sum("a_b", &[]), 7);
    assert_eq!(metrics.sum("a_b", &[("y", "q\"}")]), 3);
    assert_eq!(metrics.sum("plain", &[]), 5);
    assert_eq!(metrics.label_values("a_b", "x"), ["1", "2"]);
    assert!(!metrics.has("a"));
}
