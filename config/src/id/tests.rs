use super::*;

/// *Scenario*: the ids of the Collector's tests.
/// *Guarantees*: they are accepted and trimmed, and print as in a configuration.
#[test]
fn accepted() {
    let long_type = "a".repeat(63);
    let long = format!("{long_type}/{}", "n".repeat(1024));
    for (written, printed) in [
        ("otlp", "otlp"),
        ("otlp/backup", "otlp/backup"),
        (" otlp / 2 ", "otlp/2"),
        ("a_1/a/b", "a_1/a/b"),
        ("otlp/中文.x-y", "otlp/中文.x-y"),
        (long.as_str(), long.as_str()),
    ] {
        assert_eq!(written.parse::<ComponentId>().unwrap().to_string(), printed);
    }
    assert_eq!("bpf".parse::<ComponentId>().unwrap().kind(), "bpf");
    assert_eq!(PipelineId::new(Signal::Logs, "a").unwrap(), "logs/a".parse().unwrap());
}

/// *Scenario*: ids with invalid characters, with empty parts, or that are too long.
/// *Guarantees*: each is refused.
#[test]
fn refused() {
    let long_type = "a".repeat(64);
    let long_name = format!("a/{}", "n".repeat(1025));
    for written in [
        "",
        " ",
        "/",
        "a/",
        "/a",
        "1a",
        "_a",
        "a-b",
        "ä",
        "a/b c",
        "a/$x",
        "a/\u{7}",
        "a/\u{200b}",
        "a/€",
        "a/→",
        "a/😀",
        long_type.as_str(),
        long_name.as_str(),
    ] {
        assert!(written.parse::<ComponentId>().is_err(), "{written:?}");
    }
    assert!("traces".parse::<PipelineId>().is_err());
    assert!("metrics/".parse::<PipelineId>().is_err());
    assert!(PipelineId::new(Signal::Metrics, "a b").is_err());
}
