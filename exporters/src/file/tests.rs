use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use longwave_config::{ConfigPath, Value};
use longwave_pipeline::component::{Payload, PushError, Pusher};
use longwave_pipeline::model::{Batch, UnixNanos};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use prost::Message;
use serde_json::{Value as Json, json};
use tempfile::TempDir;

use super::config::RotationConfig;
use super::*;
use crate::otlp::http::transcode;
use crate::testing;
use longwave_testing::golden;

/// An exporter of one signal, and what the tests need of it.
struct TestExporter {
    exporter: OtlpExporter,
    pusher: Arc<FilePusher>,
}

fn context(id: &str, signal: Signal) -> ExporterContext {
    testing::context(id, signal, &[("service.name", "longwave")])
}

/// Reads a section and returns the problems, or the settings.
fn config(section: Json) -> Result<FileConfig, String> {
    let section = Value::from_serialize(&section).unwrap();
    factory().prepare(&section, &ConfigPath::from("exporters::file")).map_err(|errors| errors.to_string())?;
    Ok(longwave_config::decode(&section, &ConfigPath::from("exporters::file")).unwrap())
}

impl TestExporter {
    fn new(id: &str, signal: Signal, section: Json) -> Self {
        let (config, context) = (config(section).unwrap(), context(id, signal));
        let pusher = Arc::new(FilePusher::new(&config, &context));
        let exporter = OtlpExporter::new(&context, &config.client(), Arc::clone(&pusher) as Arc<dyn Pusher>);
        Self { exporter, pusher }
    }

    async fn started(id: &str, signal: Signal, section: Json) -> Self {
        let exporter = Self::new(id, signal, section);
        exporter.pusher.start().await.unwrap();
        exporter
    }

    /// Encodes a batch, which becomes one payload.
    fn payload(&mut self, batch: &Batch) -> Payload {
        let mut payloads = self.exporter.encode(batch).unwrap();
        assert_eq!(payloads.len(), 1);
        payloads.remove(0)
    }

    async fn push(&mut self, batch: &Batch) -> Bytes {
        let payload = self.payload(batch);
        self.pusher.push(&payload).await.unwrap();
        payload.bytes
    }

    async fn shutdown(&self) {
        self.pusher.shutdown().await.unwrap();
        self.pusher.shutdown().await.unwrap();
    }
}

fn records() -> Batch {
    Batch::records(golden::records())
}

fn window() -> Batch {
    Batch::Window(Arc::new(golden::window()))
}

/// Splits a file of requests with their lengths.
fn prefixed(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut requests = Vec::new();
    while let Some((len, rest)) = bytes.split_first_chunk::<4>() {
        let (request, rest) = rest.split_at(u32::from_be_bytes(*len) as usize);
        requests.push(request.to_vec());
        bytes = rest;
    }
    requests
}

/// Names of the files beside `path`, sorted.
fn names(directory: &TempDir) -> Vec<String> {
    let entries = fs::read_dir(directory.path()).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort_unstable();
    names
}

fn file_in(directory: &TempDir) -> PathBuf {
    directory.path().join("out.json")
}

async fn refusal(pusher: &FilePusher, directory: &TempDir) -> String {
    let error = pusher.start().await.unwrap_err().to_string();
    error.replace(directory.path().to_str().unwrap(), "…")
}

/// *Scenario*: `format: json`. The exporters of a metrics and a logs pipeline with one id write to one file.
/// *Guarantees*: each request is one line, which is the body that `otlp_http` sends with `encoding: json`. The lines decode to the requests,
/// and have the field names, the numbers as texts and the enumerations as numbers of OTLP's JSON, which the Collector's receiver
/// `otlpjsonfile` reads.
#[tokio::test]
async fn json_lines_are_requests() {
    let directory = tempfile::tempdir().unwrap();
    let path = file_in(&directory);
    let mut metrics = TestExporter::started("file", Signal::Metrics, json!({"path": path})).await;
    let mut logs = TestExporter::started("file", Signal::Logs, json!({"path": path})).await;
    let sent_metrics = metrics.push(&window()).await;
    let sent_logs = logs.push(&records()).await;
    metrics.shutdown().await;
    let more = logs.push(&records()).await;
    logs.shutdown().await;

    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert!(text.ends_with('\n'));
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[0].as_bytes(), transcode(sent_metrics.clone(), Signal::Metrics).unwrap());
    assert_eq!(lines[1].as_bytes(), transcode(sent_logs.clone(), Signal::Logs).unwrap());
    assert_eq!(lines[1], lines[2]);
    assert_eq!(more, sent_logs);
    let decoded: ExportMetricsServiceRequest = serde_json::from_str(lines[0]).unwrap();
    assert_eq!(decoded, ExportMetricsServiceRequest::decode(sent_metrics).unwrap());
    let decoded: ExportLogsServiceRequest = serde_json::from_str(lines[1]).unwrap();
    assert_eq!(decoded, ExportLogsServiceRequest::decode(sent_logs).unwrap());

    let logs: Json = serde_json::from_str(lines[1]).unwrap();
    let record = &logs["resourceLogs"][0]["scopeLogs"][0]["logRecords"][1];
    assert_eq!(record["eventName"], "longwave.tcp.connection.update");
    assert_eq!(record["severityNumber"], 9);
    assert_eq!(record["timeUnixNano"], golden::records()[1].observed.0.to_string());
    let metrics: Json = serde_json::from_str(lines[0]).unwrap();
    let metric = &metrics["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][0];
    assert_eq!(metric["name"], "longwave.tcp.service.sent_bytes");
    assert_eq!(metric["sum"]["aggregationTemporality"], 2);
}

/// *Scenario*: `format: proto`, and `compression: zstd` with both formats.
/// *Guarantees*: each request has its length before it, in 4 bytes with the highest first. What follows is the request, compressed on its own.
#[tokio::test]
async fn other_encodings_have_lengths() {
    for section in [
        json!({"format": "proto"}),
        json!({"format": "proto", "compression": "zstd"}),
        json!({"compression": "zstd"}),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let mut with_path = section.clone();
        with_path["path"] = json!(file_in(&directory));
        let mut exporter = TestExporter::started("file", Signal::Logs, with_path).await;
        let sent = exporter.push(&records()).await;
        exporter.push(&records()).await;
        exporter.shutdown().await;
        let requests = prefixed(&fs::read(file_in(&directory)).unwrap());
        assert_eq!(requests.len(), 2);
        let request = match section["compression"].as_str() {
            None => requests[1].clone(),
            Some(_) => zstd::decode_all(&*requests[1]).unwrap(),
        };
        let expected =
            if section["format"] == "proto" { sent } else { transcode(sent, Signal::Logs).unwrap() };
        assert_eq!(Bytes::from(request), expected);
    }
}

/// *Scenario*: a file has content. Exporters without `append`, with it, and with `rotation` start. The file of the second ends inside a line.
/// *Guarantees*: only the first empties the file, as in the Collector. The others continue on a new line.
#[tokio::test]
async fn only_append_and_rotation_keep_content() {
    for (settings, kept) in [
        (json!({}), ""),
        (json!({"append": true}), "{\"old\": 1}\n{\"cut of\n"),
        (json!({"rotation": {}}), "{\"old\": 1}\n{\"cut of\n"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        fs::write(file_in(&directory), "{\"old\": 1}\n{\"cut of").unwrap();
        let mut settings = settings;
        settings["path"] = json!(file_in(&directory));
        let mut exporter = TestExporter::started("file", Signal::Logs, settings.clone()).await;
        let sent = exporter.push(&records()).await;
        exporter.shutdown().await;
        let line = transcode(sent, Signal::Logs).unwrap();
        let found = fs::read_to_string(file_in(&directory)).unwrap();
        assert_eq!(found, format!("{kept}{}\n", str::from_utf8(&line).unwrap()));
        assert_eq!(names(&directory), ["out.json"], "{settings}");
    }
}

/// *Scenario*: a file of requests with their lengths ends inside a request, because its writer was killed. Another file is a text. Both are
/// continued.
/// *Guarantees*: the part is cut off, and the new request follows the whole ones. The text is refused and stays as it was.
#[tokio::test]
async fn a_torn_request_is_cut_off() {
    let directory = tempfile::tempdir().unwrap();
    let path = file_in(&directory);
    let section = json!({"path": path, "format": "proto", "append": true});
    let mut exporter = TestExporter::started("file", Signal::Logs, section.clone()).await;
    let sent = exporter.push(&records()).await;
    exporter.push(&records()).await;
    exporter.shutdown().await;
    let len = fs::metadata(&path).unwrap().len();
    OpenOptions::new().write(true).open(&path).unwrap().set_len(len - 3).unwrap();
    let mut exporter = TestExporter::started("file", Signal::Logs, section.clone()).await;
    exporter.push(&records()).await;
    exporter.shutdown().await;
    assert_eq!(prefixed(&fs::read(&path).unwrap()), [sent.clone(), sent]);

    fs::write(&path, "{\"json\": true}\n").unwrap();
    let exporter = TestExporter::new("file", Signal::Logs, section);
    insta::assert_snapshot!(refusal(&exporter.pusher, &directory).await);
    assert_eq!(fs::read_to_string(&path).unwrap(), "{\"json\": true}\n");
}

/// *Scenario*: a write fails twice because the disk is full, and leaves a part of its line. Later there is room.
/// *Guarantees*: the error can be retried. After the retry every line is whole.
#[tokio::test]
async fn a_full_disk_is_retried() {
    let directory = tempfile::tempdir().unwrap();
    let path = file_in(&directory);
    let mut exporter = TestExporter::started("file", Signal::Logs, json!({"path": path})).await;
    exporter.push(&records()).await;
    let payload = exporter.payload(&records());
    let len = fs::metadata(&path).unwrap().len();
    exporter.pusher.file().set_capacity(len + 100);
    for _ in 0..2 {
        let error = exporter.pusher.push(&payload).await.unwrap_err();
        let PushError::Retryable { message, may_have_arrived: false, .. } = error else {
            panic!("{error:?}")
        };
        assert!(message.contains("no storage space"), "{message}");
    }
    assert_eq!(fs::metadata(&path).unwrap().len(), len + 100);
    exporter.pusher.file().set_capacity(u64::MAX);
    exporter.pusher.push(&payload).await.unwrap();
    exporter.shutdown().await;
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0], lines[1]);
}

/// *Scenario*: a rotation at 1 MiB and two backups. Requests of about 400 KiB are written.
/// *Guarantees*: no file is larger than 1 MiB, no request is split, the names of backups are those of the Collector, only the two newest
/// backups remain, and what remains is the end of what was written.
#[tokio::test]
async fn files_are_rotated_by_size() {
    let directory = tempfile::tempdir().unwrap();
    let path = file_in(&directory);
    let section = json!({"path": path, "rotation": {"max_megabytes": 1, "max_backups": 2}});
    let exporter = TestExporter::started("file", Signal::Logs, section).await;
    let file = exporter.pusher.file();
    let line = |number: u32| format!("{number} {}\n", "x".repeat(400 << 10));
    for number in 0..9 {
        file.append(line(number).as_bytes()).unwrap();
    }
    exporter.shutdown().await;
    let found = names(&directory);
    assert_eq!(found.len(), 3, "{found:?}");
    assert_eq!(found[2], "out.json");
    for backup in &found[..2] {
        let time = backup.strip_prefix("out-").unwrap().strip_suffix(".json").unwrap();
        let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        assert_eq!(shape, "0000-00-00T00-00-00.000");
    }
    let mut all = String::new();
    for name in &found {
        let text = fs::read_to_string(directory.path().join(name)).unwrap();
        assert!(text.len() <= 1 << 20);
        all += &text;
    }
    assert_eq!(all, (4..9).map(line).collect::<String>());
}

/// *Scenario*: backups of several days, a file with a similar name, and `max_days: 2`.
/// *Guarantees*: the backups that are older than two days are removed. The other files stay.
#[test]
fn old_backups_are_removed() {
    let directory = tempfile::tempdir().unwrap();
    let kept = ["out-2026-11-20T08-00-00.000.json", "out-2026-11-19T08-00-00.001.json", "out-of-date.json"];
    for name in kept.iter().chain(&["out-2026-11-19T07-59-59.999.json", "out-2025-01-01T00-00-00.000.json"]) {
        File::create(directory.path().join(name)).unwrap();
    }
    let rotation = RotationConfig { max_days: 2, ..RotationConfig::default() };
    assert_eq!(rotation::remove_old(&file_in(&directory), &rotation, golden::START).unwrap(), 2);
    let mut kept = kept.to_vec();
    kept.sort_unstable();
    assert_eq!(names(&directory), kept);
}

/// *Scenario*: a rotation at a time for which there is a backup already.
/// *Guarantees*: the backup stays, and the new one has the next free name.
#[test]
fn a_backup_is_never_overwritten() {
    let directory = tempfile::tempdir().unwrap();
    let (path, next) = (file_in(&directory), rotation::next_path(&file_in(&directory)));
    for content in ["first", "second"] {
        fs::write(&path, content).unwrap();
        fs::write(&next, "").unwrap();
        rotation::replace(&path, &next, UnixNanos(golden::START.0)).unwrap();
    }
    let found = names(&directory);
    assert_eq!(found, ["out-2026-11-21T08-00-00.000.json", "out-2026-11-21T08-00-00.001.json", "out.json"]);
    assert_eq!(fs::read_to_string(directory.path().join(&found[0])).unwrap(), "first");
    assert_eq!(fs::read_to_string(directory.path().join(&found[1])).unwrap(), "second");
}

/// *Scenario*: another program renames the file (`logrotate`), and later another shortens it to nothing.
/// *Guarantees*: the next request is in a new file at the path, and after the second in the same one, from its start. The renamed file keeps
/// what it has.
#[tokio::test]
async fn a_moved_file_is_opened_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = file_in(&directory);
    let mut exporter = TestExporter::started("file", Signal::Logs, json!({"path": path})).await;
    let lines = |path: &Path| fs::read_to_string(path).unwrap().lines().count();
    exporter.push(&records()).await;
    fs::rename(&path, directory.path().join("moved")).unwrap();
    exporter.push(&records()).await;
    exporter.push(&records()).await;
    assert_eq!((lines(&directory.path().join("moved")), lines(&path)), (1, 2));
    OpenOptions::new().write(true).open(&path).unwrap().set_len(0).unwrap();
    exporter.push(&records()).await;
    assert_eq!((lines(&directory.path().join("moved")), lines(&path)), (1, 1));
}

/// *Scenario*: two exporters with different ids, an exporter with other settings, and another process (a lock on the file) write to one path.
/// A directory is missing, and the path is a directory or a device.
/// *Guarantees*: each is refused at the start, with path, reason and remedy. A missing directory is created with `create_directory`.
#[tokio::test]
async fn what_cannot_be_written_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let first = TestExporter::started("file", Signal::Logs, json!({"path": at("busy.json")})).await;
    let locked = File::create(at("locked.json")).unwrap();
    rustix::fs::flock(&locked, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let mut text = String::new();
    for (id, section) in [
        ("file/2", json!({"path": at("busy.json")})),
        ("file", json!({"path": at("busy.json"), "append": true})),
        ("file", json!({"path": at("locked.json")})),
        ("file", json!({"path": at("missing/out.json")})),
        ("file", json!({"path": directory.path()})),
        ("file", json!({"path": "/dev/full"})),
    ] {
        let exporter = TestExporter::new(id, Signal::Logs, section);
        text += &refusal(&exporter.pusher, &directory).await;
        text.push('\n');
    }
    insta::assert_snapshot!(text);
    first.shutdown().await;
    let second = TestExporter::started("file/2", Signal::Logs, json!({"path": at("busy.json")})).await;
    second.shutdown().await;
    let nested =
        json!({"path": at("a/b/out.json"), "create_directory": true, "directory_permissions": "0700"});
    TestExporter::started("file", Signal::Logs, nested).await.shutdown().await;
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(at("a/b")).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o700);
}

/// *Scenario*: an exporter without `append` is stopped and started again, as by a reload: with the same settings, with others, and after none has
/// existed for a while.
/// *Guarantees*: what was written stays in the first two cases. In the third the file is a new one for the process, and is emptied.
#[tokio::test]
async fn a_reload_does_not_empty_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = file_in(&directory);
    let section = json!({"path": path});
    let mut logs = TestExporter::started("file", Signal::Logs, section.clone()).await;
    logs.push(&records()).await;
    // The new graph is created before the old one stops.
    let mut next = TestExporter::new("file", Signal::Logs, section.clone());
    logs.shutdown().await;
    drop(logs);
    next.pusher.start().await.unwrap();
    next.push(&records()).await;
    assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 2);
    let changed = json!({"path": path, "temporality": "delta"});
    let mut other = TestExporter::new("file", Signal::Logs, changed);
    next.shutdown().await;
    drop(next);
    other.pusher.start().await.unwrap();
    other.push(&records()).await;
    assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 3);
    other.shutdown().await;
    drop(other);
    let mut last = TestExporter::started("file", Signal::Logs, section).await;
    last.push(&records()).await;
    assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 1);
}

/// *Scenario*: sections with the Collector's settings that Longwave does not have, and with invalid values.
/// *Guarantees*: each is refused with its path, the reason and the remedy.
#[test]
fn bad_sections() {
    let bad = [
        json!({}),
        json!({"path": "a", "compression": "gzip", "format": "text"}),
        json!({"path": "a", "compression": "gzip"}),
        json!({"path": "a", "append": true, "rotation": {}}),
        json!({"path": "a", "rotation": {"max_megabytes": 0, "max_backups": 0, "max_days": 40_000, "localtime": true}}),
        json!({"path": "a", "directory_permissions": "0755"}),
        json!({"path": "a", "create_directory": true, "directory_permissions": "rwx"}),
        json!({"path": "a", "group_by": {"enabled": true}, "encoding": "otlp_json/2"}),
    ];
    let shown: String = bad.into_iter().map(|section| config(section).unwrap_err() + "\n\n").collect();
    insta::assert_snapshot!(shown);
}
