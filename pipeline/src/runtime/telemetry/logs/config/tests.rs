use super::*;

/// *Scenario*: the forms of `output_paths`, as the Collector's logger reads them.
/// *Guarantees*: names of streams, paths and `file://` URLs are read; other URLs and relative `file://` URLs are refused.
#[test]
fn outputs_are_read() {
    let file = |path: &str| Ok(LogOutput::File(path.into()));
    assert_eq!(LogOutput::parse("stdout"), Ok(LogOutput::Stdout));
    assert_eq!(LogOutput::parse("stderr"), Ok(LogOutput::Stderr));
    assert_eq!(LogOutput::parse("/var/log/a b#c.log"), file("/var/log/a b#c.log"));
    assert_eq!(LogOutput::parse("own.log"), file("own.log"));
    assert_eq!(LogOutput::parse("file:///var/log/a"), file("/var/log/a"));
    assert_eq!(LogOutput::parse("file://localhost/var/log/a"), file("/var/log/a"));
    for wrong in ["", "file://host/a", "file://a", "file:///a?b", "https://host/a"] {
        assert!(LogOutput::parse(wrong).is_err(), "{wrong}");
    }
}

/// *Scenario*: invalid values of every setting.
/// *Guarantees*: each error has the path of the setting, and the remedy.
#[test]
fn bad_settings_are_explained() {
    let config: LogConfig = serde_json::from_value(serde_json::json!({
        "sampling": {"tick": "25h"},
        "output_paths": ["stderr", "tcp://host"],
        "error_output_paths": [""],
        "disable_stacktrace": false,
        "development": true,
    }))
    .unwrap();
    let mut problems = Problems::default();
    config.validate(&mut problems);
    let errors: Vec<_> =
        problems.into_errors(&"service::telemetry".into()).map(|error| error.to_string()).collect();
    insta::assert_snapshot!(errors.join("\n"));
}
