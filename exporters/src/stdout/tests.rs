use std::io::Read;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use longwave_config::{ConfigPath, Map, Value};
use longwave_pipeline::component::{ActionKind, AttributeAction, AttributeEdits, Payload, PushError, Pusher};
use longwave_pipeline::model::{
    Batch, ConnectionRecord, EditedKey, Interner, Level, OwnedValue, Rung, Series, SeriesAttributes,
    SeriesKey, Window, Workload,
};
use rustix::fs::{Mode, OFlags};

use super::config::Format;
use super::writer::Writer;
use super::*;
use crate::testing;
use crate::units;
use longwave_pipeline::component::visible;
use longwave_testing::golden;

fn json_of(records: &[ConnectionRecord], window: Option<&Window>) -> String {
    let mut out = Vec::new();
    records.iter().for_each(|record| json::log(record, &AttributeEdits::default(), &mut out));
    if let Some(window) = window {
        window.series.iter().for_each(|series| json::series(window, series, &mut out));
    }
    String::from_utf8(out).unwrap()
}

/// Compares with a golden file. If `LONGWAVE_UPDATE_GOLDEN` is set, writes the file instead.
fn assert_golden(name: &str, expected: &str, found: &str) {
    if std::env::var_os("LONGWAVE_UPDATE_GOLDEN").is_some() {
        std::fs::write(golden::path(name), found).unwrap();
        return;
    }
    for (expected, found) in expected.lines().zip(found.lines()) {
        assert_eq!(found, expected);
    }
    assert_eq!(found.lines().count(), expected.lines().count());
}

/// *Scenario*: one record of each kind, with names that need escapes and numbers above 2^53.
/// *Guarantees*: the output is the golden lines, the stable format of logs pipelines. Each is a JSON object with exact numbers and unique
/// keys.
#[test]
fn records_are_the_golden_lines() {
    let found = json_of(&golden::records(), None);
    assert_golden("logs.jsonl", golden::LOGS, &found);
    let objects: Vec<serde_json::Value> =
        found.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(objects[1]["longwave.tcp.received_bytes"], 9_007_199_254_740_993_u64);
    assert_eq!(objects[4]["longwave.tcp.sent_bytes"], u64::MAX);
    assert_eq!(objects[3]["source.workload.name"], "odd \"one\"\n\u{1F980}");
    for (object, line) in objects.iter().zip(found.lines()) {
        let keys = object.as_object().unwrap().len();
        assert_eq!(
            serde_json::to_string(object).unwrap().len(),
            line.len(),
            "one of {keys} keys is a duplicate"
        );
    }
}

/// *Scenario*: one series of each level, a failing one, and the overflow series.
/// *Guarantees*: the output is the golden lines, the stable format of metrics pipelines. Closed and failed totals equal the sums of their
/// parts.
#[test]
fn series_are_the_golden_lines() {
    let window = golden::window();
    let found = json_of(&[], Some(&window));
    assert_golden("metrics.jsonl", golden::METRICS, &found);
    for line in found.lines() {
        let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line).unwrap();
        for total in ["connections.closed", "connections.failed"] {
            let parts = object.iter().filter(|(key, _)| key.starts_with(&format!("{total}.")));
            let parts: u64 = parts.map(|(_, count)| count.as_u64().unwrap()).sum();
            assert_eq!(object[total].as_u64(), Some(parts));
        }
    }
}

/// *Scenario*: a connection's series that is folded by namespaces, and one with selected attributes of which one name is unknown.
/// *Guarantees*: attributes that a series does not have are no keys, and an unknown name is `unknown`. Text has neither.
#[test]
fn absent_attributes_are_absent() {
    let mut record = golden::records()[0].clone();
    record.names.peer = None;
    let of = |attributes| SeriesKey::of_record(&record, &attributes);
    let folded = of(SeriesAttributes::of(Level::Connection)).folded(Rung::Namespace).unwrap();
    let selected = ["source.workload.name", "destination.workload.kind", "destination.port"];
    let selected = of(SeriesAttributes::select(selected));
    let mut window = golden::window();
    let level = Level::Connection;
    window.series =
        [folded, selected].map(|key| Series { level, key: Arc::new(key), ..window.series[0].clone() }).into();
    let found = json_of(&[], Some(&window));
    let attributes = |line: &str| -> Vec<(String, String)> {
        let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line).unwrap();
        let is_attribute =
            |key: &str| key.contains("source.") || key.contains("destination.") || key.contains("longwave.");
        object
            .iter()
            .filter(|(key, _)| is_attribute(key))
            .map(|(key, value)| (key.clone(), value.to_string()))
            .collect()
    };
    insta::assert_snapshot!(found.lines().map(|line| format!("{:?}", attributes(line))).collect::<Vec<_>>().join("\n"), @r#"
    [("destination.k8s.namespace.name", "\"unknown\""), ("destination.service.namespace", "\"shop\""), ("longwave.folded", "\"namespace\""), ("source.k8s.namespace.name", "\"shop\"")]
    [("destination.port", "8080"), ("destination.workload.kind", "\"unknown\""), ("source.workload.name", "\"checkout\"")]
    "#);
    let mut out = Vec::new();
    window.series.iter().for_each(|series| text::series(&window, series, &mut out));
    insta::assert_snapshot!(String::from_utf8(out).unwrap(), @r#"
    2026-11-21T08:00:05.000000Z connection reporter=source src.namespace="shop" dst.service.namespace="shop" folded=namespace bytes_sent=1500 bytes_recv=9007199254740993 retransmits=2 lost=1 active=1 opened=3 closed=2 failed=0 rtt_mean=312µs min_rtt=201µs
    2026-11-21T08:00:05.000000Z connection reporter=source src.workload="checkout" dst.addr=:8080 bytes_sent=1500 bytes_recv=9007199254740993 retransmits=2 lost=1 active=1 opened=3 closed=2 failed=0 rtt_mean=312µs min_rtt=201µs
    "#);
}

/// *Scenario*: the golden records and window as text.
/// *Guarantees*: each is one line, with quoted names that cannot break the line.
#[test]
fn text_is_a_line_for_each() {
    let (records, window) = (golden::records(), golden::window());
    let mut out = Vec::new();
    records.iter().for_each(|record| text::log(record, &mut out));
    window.series.iter().for_each(|series| text::series(&window, series, &mut out));
    let found = String::from_utf8(out).unwrap();
    assert_eq!(found.lines().count(), records.len() + window.series.len());
    insta::assert_snapshot!(found);
}

/// *Scenario*: a process and a workload whose names reverse the text, clear the screen by a C1 control, have zero-width characters, tags
/// and bytes that are not UTF-8; a log record and a series as text and as JSON.
/// *Guarantees*: no such character is in a line. Text has it as `\u{…}`, JSON as JSON's escape, so that a reader gets the name unchanged.
#[test]
fn names_cannot_hide_anything() {
    const ODD: &str = "a\u{202e}b\u{9b}2J\u{200b}c\u{7f}\u{e0041}\u{fffd}";
    let mut record = golden::records()[0].clone();
    record.owner.name = *b"x\xe2\x80\xaey\xc2\x9bz\xff\0\0\0\0\0\0\0";
    record.names.local = Some(Interner::default().intern(Workload {
        name: ODD.into(),
        kind: "Process".into(),
        ..Workload::default()
    }));
    let mut window = golden::window();
    let SeriesKey::Flow(flow) = &*window.series[0].key else { panic!("a flow") };
    let mut flow = flow.clone();
    flow.source.name = Some(ODD.into());
    window.series[0].key = Arc::new(SeriesKey::Flow(flow));
    window.series.truncate(1);

    let mut out = Vec::new();
    text::log(&record, &mut out);
    text::series(&window, &window.series[0], &mut out);
    let as_text = String::from_utf8(out).unwrap();
    let as_json = json_of(&[record], Some(&window));
    for line in as_text.lines().chain(as_json.lines()) {
        assert!(!line.contains(visible::must_be_escaped), "{line}");
    }
    let escaped = "\"a\\u{202e}b\\u{9b}2J\\u{200b}c\\u{7f}\\u{e0041}\u{fffd}\"";
    assert_eq!(as_text.matches(escaped).count(), 2, "{as_text}");
    assert!(as_text.contains("process=\"x\\u{202e}y\\u{9b}z\u{fffd}\""), "{as_text}");
    let objects: Vec<serde_json::Value> =
        as_json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(as_json.contains("a\\u202eb\\u009b2J\\u200bc\\u007f\\udb40\\udc41\u{fffd}"), "{as_json}");
    assert_eq!(objects[0]["process.executable.name"], "x\u{202e}y\u{9b}z\u{fffd}");
    assert!(
        [&objects[0]["source.workload.name"], &objects[0]["destination.workload.name"]]
            .iter()
            .any(|name| **name == ODD)
    );
    assert_eq!(objects[1]["source.workload.name"], ODD);
}

/// *Scenario*: quantities at the limits of their units.
/// *Guarantees*: they have three digits and a unit, never `1000kB`.
#[test]
fn quantities_have_three_digits() {
    let bytes = [0, 1, 999, 1_000, 9_994, 9_996, 99_949, 99_951, 999_499, 999_500, 1_234_567_890, u64::MAX];
    let counts = [0, 9_999, 10_000, 123_456, 99_999_999];
    let times = [0.0, 3e-9, 12.4e-6, 999.6e-6, 0.0312, 1.5, 99.0, 130.0];
    let spans = [0.25, 1.0, 5.0, 2.5, 60.0, 90.0, 3_700.0, 200_000.0];
    let rates = [0.2, 15.6, 999.4, 1_250_000.0];
    let shown = [
        bytes.map(units::bytes).join(" "),
        counts.map(units::count).join(" "),
        times.map(units::seconds).join(" "),
        spans.map(units::span).join(" "),
        rates.map(units::rate).join(" "),
    ];
    insta::assert_snapshot!(shown.join("\n"));
}

fn exporter(format: Format) -> StdoutExporter {
    let config = StdoutConfig { format, ..StdoutConfig::default() };
    StdoutExporter::new(&config, &context(Signal::Metrics)).unwrap()
}

/// *Scenario*: records, a watermark and a window are encoded in each format.
/// *Guarantees*: the payloads have the batch's items and traffic. A watermark has no payload.
#[test]
fn payloads_account_for_the_batch() {
    let batches = [Batch::records(golden::records()), Batch::Window(Arc::new(golden::window()))];
    for format in [Format::Json, Format::Text, Format::Table] {
        let mut exporter = exporter(format);
        for batch in &batches {
            let payloads = exporter.encode(batch).unwrap();
            assert_eq!(payloads.iter().map(|payload| payload.items).sum::<u64>(), batch.items());
            assert_eq!(
                payloads.iter().map(|payload| payload.traffic_bytes).sum::<u64>(),
                batch.traffic_bytes()
            );
        }
        assert!(exporter.encode(&Batch::PassEnd(golden::pass_end())).unwrap().is_empty());
    }
}

fn payload(bytes: impl Into<Vec<u8>>) -> Payload {
    Payload { bytes: bytes.into().into(), items: 1, traffic_bytes: 0 }
}

fn pipe() -> (std::io::PipeReader, OwnedFd) {
    let (reader, writer) = std::io::pipe().unwrap();
    (reader, writer.into())
}

/// *Scenario*: payloads that are far larger than the pipe's capacity. The pipe is non-blocking, and its reader starts late.
/// *Guarantees*: all bytes arrive, in order. A push waits without blocking its thread.
#[tokio::test]
async fn payloads_are_written_whole_and_in_order() {
    let (mut reader, descriptor) = pipe();
    rustix::io::ioctl_fionbio(&descriptor, true).unwrap();
    let writer = Writer::to(descriptor);
    writer.start().await.unwrap();
    let payloads: Vec<_> = (0..4u8).map(|number| payload(vec![b'a' + number; 300_000])).collect();
    let expected: Vec<u8> = payloads.iter().flat_map(|payload| payload.bytes.to_vec()).collect();
    let (reading, begin) = tokio::sync::oneshot::channel::<()>();
    let read = tokio::task::spawn_blocking(move || {
        begin.blocking_recv().unwrap();
        let mut found = Vec::new();
        reader.read_to_end(&mut found).unwrap();
        found
    });
    let pushed = async {
        for payload in &payloads {
            writer.push(payload).await.unwrap();
        }
        writer.shutdown().await.unwrap();
    };
    // Both run on this one thread, so the reader starts only once the first push waits.
    tokio::join!(pushed, async { reading.send(()).unwrap() });
    assert!(read.await.unwrap() == expected);
}

/// *Scenario*: the reader has closed the pipe. Then the output is a socket of a service manager that was closed, and a file on a full disk.
/// *Guarantees*: the first two errors are fatal, the third drops the payload. All name their cause. Only the first has the typed cause with
/// which the process does not fail, because a service has to be started again.
#[tokio::test]
async fn a_closed_pipe_is_fatal_and_a_full_disk_is_not() {
    let (reader, descriptor) = pipe();
    drop(reader);
    let closed = Writer::to(descriptor).push(&payload("data\n")).await.unwrap_err();
    assert!(
        matches!(&closed, PushError::Fatal { message, source: Some(_) } if message.starts_with("stdout was closed")),
        "{closed}"
    );
    let (reader, socket) = std::os::unix::net::UnixStream::pair().unwrap();
    drop(reader);
    let closed = Writer::to(socket.into()).push(&payload("data\n")).await.unwrap_err();
    assert!(
        matches!(&closed, PushError::Fatal { message, source: None } if message.starts_with("stdout was closed")),
        "{closed}"
    );
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let full = Writer::to(full.into()).push(&payload("data\n")).await.unwrap_err();
    assert!(matches!(&full, PushError::Permanent(message) if message.contains("No space left")), "{full}");
}

/// *Scenario*: the output is a terminal that is closed, because its session ended or its window was closed.
/// *Guarantees*: the error is fatal, so that the process does not run without a reader.
#[tokio::test]
async fn a_closed_terminal_is_fatal() {
    use rustix::pty::{OpenptFlags, openpt, ptsname, unlockpt};
    let screen = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    unlockpt(&screen).unwrap();
    let name = ptsname(&screen, Vec::new()).unwrap();
    let terminal = rustix::fs::open(name, OFlags::WRONLY | OFlags::NOCTTY, Mode::empty()).unwrap();
    let writer = Writer::to(terminal);
    writer.push(&payload("data\n")).await.unwrap();
    drop(screen);
    let closed = writer.push(&payload("data\n")).await.unwrap_err();
    assert!(
        matches!(&closed, PushError::Fatal { message, source: None } if message.starts_with("the terminal was closed")),
        "{closed}"
    );
}

fn context(signal: Signal) -> ExporterContext {
    testing::context("stdout/2", signal, &[])
}

/// *Scenario*: every format in both kinds of pipelines, with an output that is not a terminal, and invalid settings.
/// *Guarantees*: the snapshot shows which are refused, with the errors.
#[test]
fn settings_are_checked() {
    let section = |pairs: &[(&str, Value)]| {
        Value::Map(pairs.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect::<Map>())
    };
    let try_out =
        |value: &Value, signal| match factory().prepare(value, &ConfigPath::from("exporters::stdout/2")) {
            Err(errors) => errors.to_string(),
            Ok(prepared) => match (prepared.create)(context(signal)) {
                Ok(_) => "accepted".to_owned(),
                Err(error) => error.to_string(),
            },
        };
    let format = |name: &str| section(&[("format", Value::Str(name.to_owned()))]);
    let queue = section(&[(
        "sending_queue",
        section(&[("queue_size", Value::Int(0)), ("num_consumers", Value::Int(2))]),
    )]);
    let mut text = String::new();
    for (name, value) in [
        ("nothing", Value::Null),
        ("table", format("table")),
        ("text", format("text")),
        ("json", format("json")),
        ("yaml", format("yaml")),
        ("queue", queue),
    ] {
        text += &format!("{name}, metrics: {}\n", try_out(&value, Signal::Metrics));
        text += &format!("{name}, logs: {}\n", try_out(&value, Signal::Logs));
    }
    insta::assert_snapshot!(text);
}

/// *Scenario*: a processor removes an attribute of records and adds two, of which one has the name of a field. Series get an attribute with the name
/// of a metric.
/// *Guarantees*: the JSON has the changed attributes. No key occurs twice.
#[test]
fn changed_attributes_are_written() {
    let insert = |key: &str| AttributeAction {
        key: key.to_owned(),
        value: Some("x".to_owned()),
        from_attribute: None,
        action: ActionKind::Insert,
    };
    let delete =
        AttributeAction { value: None, action: ActionKind::Delete, ..insert("source.workload.name") };
    let edits = AttributeEdits::new(vec![delete, insert("timestamp"), insert("team"), insert("sent_bytes")]);
    let mut out = Vec::new();
    json::log(&golden::records()[1], &edits, &mut out);
    let mut window = golden::window();
    let series = &mut window.series[0];
    let mut attributes = Vec::new();
    edits.for_each(&|visit| series.key.for_each_attribute(visit), &mut |key, value| {
        attributes.push((key.to_owned(), OwnedValue::from(value)));
    });
    series.key = Arc::new(SeriesKey::Edited(Box::new(EditedKey::new(&series.key, attributes))));
    json::series(&window, &window.series[0], &mut out);
    for line in str::from_utf8(&out).unwrap().lines() {
        let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line).unwrap();
        assert_eq!(serde_json::to_string(&object).unwrap().len(), line.len(), "a key occurs twice: {line}");
        let found = ["source.workload.name", "attributes.timestamp", "team", "attributes.sent_bytes"];
        let found = found.map(|key| object.get(key).and_then(|value| value.as_str()));
        assert_eq!(found, [None, Some("x"), Some("x"), Some("x")]);
    }
}
