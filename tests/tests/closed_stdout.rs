//! The program that reads stdout ends, as in `longwave | head`.
#![allow(clippy::unwrap_used)]

use std::io::{PipeReader, PipeWriter, Read, pipe};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use longwave_tests::longwave::{command, write_config};
use serde_json::{Value, json};

/// A record file with a few hundred records (see `fixtures/README.md`).
const RECORDS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/connections.lwr");

/// Runs Longwave with a pipe as stdout, whose reader has ended, and returns the status and stderr.
fn run(args: &[&str]) -> (ExitStatus, String) {
    let output = longwave(args).stdout(closed_pipe()).stderr(Stdio::piped()).output().unwrap();
    (output.status, String::from_utf8(output.stderr).unwrap())
}

fn longwave(args: &[&str]) -> Command {
    let mut longwave = command(&["timeout".to_owned(), "--signal=KILL".to_owned(), "60".to_owned()]);
    longwave.args(args).stdin(Stdio::null());
    longwave
}

fn closed_pipe() -> PipeWriter {
    let (reader, writer): (PipeReader, PipeWriter) = pipe().unwrap();
    drop(reader);
    writer
}

fn config(folder: &Path, exporter: &str, settings: Value) -> String {
    let config = json!({
        "receivers": {"replay": {"path": RECORDS, "speed": "fast"}},
        "exporters": {exporter: settings},
        "service": {
            "telemetry": {"metrics": {"level": "none"}},
            "pipelines": {"logs": {"receivers": ["replay"], "exporters": [exporter]}},
        },
    });
    write_config(folder, &config).display().to_string()
}

/// *Scenario*: `observe`, `stdout` and `debug` write to a pipe whose reader has ended.
/// *Guarantees*: the exit status is 0, so that `set -o pipefail` does not end a script. Stderr has no error and no warning.
#[test]
fn a_closed_pipe_is_no_failure() {
    let folder = tempfile::tempdir().unwrap();
    for format in ["text", "json"] {
        let (status, stderr) = run(&["observe", "--output", format, "--file", RECORDS]);
        assert!(status.success() && stderr.is_empty(), "{format}: {status}: {stderr}");
    }
    let exporters = [("stdout", json!({"format": "json"})), ("debug", json!({"use_internal_logger": false}))];
    for (exporter, settings) in exporters {
        let (status, stderr) = run(&["run", "--config", &config(folder.path(), exporter, settings)]);
        assert!(status.success(), "{exporter}: {status}: {stderr}");
        assert!(!stderr.contains("WARN") && !stderr.to_lowercase().contains("error"), "{exporter}: {stderr}");
    }
}

/// *Scenario*: `stdout` without a format, with a pipe as stdout.
/// *Guarantees*: stderr says once that the format is JSON.
#[test]
fn a_pipe_is_mentioned_once() {
    let folder = tempfile::tempdir().unwrap();
    let output =
        longwave(&["run", "--config", &config(folder.path(), "stdout", json!({}))]).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(stderr.matches("writing JSON lines").count(), 1, "{stderr}");
}

/// *Scenario*: the first line is read, and then the reader ends.
/// *Guarantees*: the line is whole, and the exit status is 0.
#[test]
fn a_reader_gets_its_first_line() {
    let mut child = longwave(&["observe", "--output", "json", "--file", RECORDS])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut line = Vec::new();
    while !line.ends_with(b"\n") {
        let mut byte = [0];
        stdout.read_exact(&mut byte).unwrap();
        line.push(byte[0]);
    }
    drop(stdout);
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && stderr.is_empty(), "{}: {stderr}", output.status);
    serde_json::from_slice::<Value>(&line).unwrap();
}

/// *Scenario*: stdout and stderr are one pipe, as in `longwave 2>&1 | head`, and its reader has ended.
/// *Guarantees*: the exit status is 0: log messages that cannot be written cause no panic.
#[test]
fn a_closed_log_is_no_failure() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), "stdout", json!({"format": "json"}));
    let both = closed_pipe();
    let mut longwave = longwave(&["run", "--config", &config]);
    let status = longwave.stdout(both.try_clone().unwrap()).stderr(both).status().unwrap();
    assert!(status.success(), "{status}");
}
