#![allow(clippy::unwrap_used)]

use serde_json::json;

use super::*;

/// Logs 14 times the same, and once something else, with these settings. Returns the lines.
fn logged(settings: serde_json::Value) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let paths = ["a", "b"].map(|name| folder.path().join(name));
    let mut settings: LogConfig = serde_json::from_value(settings).unwrap();
    settings.output_paths = paths.iter().map(|path| path.display().to_string()).collect();
    let resource = [("service.name".to_owned(), "longwave".to_owned())];
    tracing::dispatcher::with_default(&dispatch(&settings, &resource).unwrap(), || {
        for number in 1..=14 {
            tracing::info!(number, "repeated");
        }
        tracing::warn!("other");
        tracing::debug!("not of this level");
    });
    let [first, second] = paths.map(|path| std::fs::read_to_string(path).unwrap());
    assert_eq!(first, second);
    first.lines().map(str::to_owned).collect()
}

/// *Scenario*: messages that repeat, with the default and without sampling.
/// *Guarantees*: by default the first 10 of 10 s are written, as by the Collector, whatever their fields are. A message with another text is
/// written. Each line is in every output.
#[test]
fn messages_are_sampled() {
    let lines = logged(json!({}));
    assert_eq!(lines.len(), 11, "{lines:?}");
    assert!(lines[9].ends_with("repeated number=10") && lines[10].ends_with("WARN other"), "{lines:?}");
    assert_eq!(logged(json!({"sampling": {"enabled": false}})).len(), 15);
    assert_eq!(logged(json!({"sampling": {"initial": 1, "thereafter": 4}})).len(), 5);
}

/// *Scenario*: JSON lines with fields of the user, the resource and the source.
/// *Guarantees*: each line is JSON and has all of them.
#[test]
fn lines_have_fields() {
    let lines = logged(json!({
        "encoding": "json",
        "initial_fields": {"cluster": "a"},
        "disable_zap_resource": false,
        "disable_caller": false,
        "level": "warn",
    }));
    assert_eq!(lines.len(), 1, "{lines:?}");
    let line: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
    assert_eq!((&line["message"], &line["level"]), (&json!("other"), &json!("WARN")));
    assert_eq!((&line["cluster"], &line["resource"]), (&json!("a"), &json!({"service.name": "longwave"})));
    assert!(line["filename"].as_str().unwrap().ends_with("logging/tests.rs"), "{line}");
    assert!(line["line_number"].is_u64(), "{line}");
}
