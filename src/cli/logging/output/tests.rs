#![allow(clippy::unwrap_used)]

use serde_json::json;

use super::*;

fn settings(encoding: LogEncoding, output: &str, error_output: &str) -> LogConfig {
    LogConfig {
        encoding,
        output_paths: vec![output.to_owned()],
        error_output_paths: vec![error_output.to_owned()],
        ..LogConfig::default()
    }
}

fn fields() -> Map<String, Value> {
    json!({"foo": "a \"b\"", "more": {"rack": 7}}).as_object().unwrap().clone()
}

/// *Scenario*: a line in each encoding, with fields, appended to a file that has a line already.
/// *Guarantees*: the earlier line stays. The fields are at the end of the line, and a JSON line is still JSON.
#[test]
fn lines_are_appended_with_their_fields() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let name = path.to_str().unwrap();
    std::fs::write(&path, "first\n").unwrap();
    let console = LogWriter::open(&settings(LogEncoding::Console, name, "stderr"), &fields()).unwrap();
    (&console).write_all(b"INFO hello\n").unwrap();
    let json = LogWriter::open(&settings(LogEncoding::Json, name, "stderr"), &fields()).unwrap();
    (&json).write_all(b"{\"message\":\"hello\"}\n").unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[..2], ["first", r#"INFO hello foo="a \"b\"" more={"rack":7}"#]);
    let line: Value = serde_json::from_str(lines[2]).unwrap();
    assert_eq!(line, json!({"message": "hello", "foo": "a \"b\"", "more": {"rack": 7}}));
}

/// *Scenario*: a disk that is full, and a folder that does not exist.
/// *Guarantees*: the failure is reported in the error output. A file that cannot be opened is an error that names the setting.
#[test]
fn failures_are_reported() {
    let folder = tempfile::tempdir().unwrap();
    let errors = folder.path().join("errors");
    let settings_of = |output: &str| settings(LogEncoding::Console, output, errors.to_str().unwrap());
    let writer = LogWriter::open(&settings_of("/dev/full"), &Map::new()).unwrap();
    (&writer).write_all(b"INFO hello\n").unwrap();
    let reported = std::fs::read_to_string(&errors).unwrap();
    assert!(reported.contains("not written: No space left on device"), "{reported}");
    let missing = folder.path().join("none/log");
    let error = LogWriter::open(&settings_of(missing.to_str().unwrap()), &Map::new()).err().unwrap();
    assert!(
        error.to_string().starts_with("service::telemetry::logs::output_paths::0: cannot open"),
        "{error}"
    );
}
