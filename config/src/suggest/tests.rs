use super::*;

/// *Scenario*: misspelt names, names with other separators, and unrelated words.
/// *Guarantees*: the first two get a suggestion, the last do not.
#[test]
fn misspelt_names_are_recognised() {
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
