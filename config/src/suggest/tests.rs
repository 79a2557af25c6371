use super::*;

/// *Scenario*: slips of the finger, other separators, and words that are something else.
/// *Guarantees*: a suggestion for the first two, none for the last.
#[test]
fn slips_are_recognised() {
    let known = ["interval", "max_series", "levels", "tls", "otlp", "bpf"];
    for (written, meant) in [
        ("intervall", Some("interval")),
        ("itnerval", Some("interval")),
        ("max-series", Some("max_series")),
        ("maxSeries", Some("max_series")),
        ("level", Some("levels")),
        ("bfp", Some("bpf")),
        ("oltp", Some("otlp")),
        ("foo", None),
        ("x", None),
        ("", None),
        ("timeout", None),
    ] {
        assert_eq!(near_miss(written, known), meant, "{written}");
    }
}
