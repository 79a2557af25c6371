use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use longwave_pipeline::component::PushError;
use longwave_pipeline::model::Batch;
use longwave_pipeline::model::codec::{Block, Decoder};

use super::*;
use crate::testing;
use longwave_testing::golden;

fn context() -> ExporterContext {
    testing::context("record_file", Signal::Logs, &[("host.name", "host-1")])
}

fn exporter(path: &Path, append: bool) -> RecordFileExporter {
    let config = RecordFileConfig { path: path.to_owned(), append, ..RecordFileConfig::default() };
    RecordFileExporter::new(&config, &context())
}

async fn push(exporter: &mut RecordFileExporter, batch: &Batch) -> Result<(), PushError> {
    for payload in exporter.encode(batch).unwrap() {
        exporter.pusher().push(&payload).await?;
    }
    Ok(())
}

/// Writes the golden records and their pass to a file.
async fn record(path: &Path, append: bool) {
    let mut exporter = exporter(path, append);
    exporter.pusher().start().await.unwrap();
    push(&mut exporter, &Batch::records(golden::records())).await.unwrap();
    push(&mut exporter, &Batch::PassEnd(golden::pass_end())).await.unwrap();
    exporter.pusher().shutdown().await.unwrap();
    exporter.pusher().shutdown().await.unwrap();
}

/// Returns all blocks as text, without the sessions' times.
fn read(path: &Path) -> Vec<String> {
    let mut decoder = Decoder::new(std::fs::File::open(path).unwrap()).unwrap();
    let mut blocks = Vec::new();
    while let Some(block) = decoder.next().unwrap() {
        blocks.push(match block {
            Block::Session { start, after_interruption } => {
                format!("session of {}, {after_interruption}", start.host)
            }
            Block::Records(records) => format!("{records:?}"),
            Block::PassEnd(pass_end) => format!("{pass_end:?}"),
            Block::End(end) => format!("end after {} records", end.records),
        });
    }
    blocks
}

fn one_session(interrupted: bool) -> [String; 4] {
    [
        format!("session of host-1, {interrupted}"),
        format!("{:?}", golden::records()),
        format!("{:?}", golden::pass_end()),
        "end after 5 records".to_owned(),
    ]
}

async fn refusal(exporter: &RecordFileExporter, directory: &Path) -> String {
    let error = exporter.pusher().start().await.unwrap_err().to_string();
    error.replace(directory.to_str().unwrap(), "…")
}

/// *Scenario*: records and a pass are written to a new file, and it is shut down twice.
/// *Guarantees*: the file decodes to what was written and has its end mark. The payloads have the batch's items and traffic.
#[tokio::test]
async fn a_recording_reads_back() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("records.lwr");
    record(&path, false).await;
    assert_eq!(read(&path), one_session(false));
    let batch = Batch::records(golden::records());
    let payloads = exporter(&path, false).encode(&batch).unwrap();
    assert_eq!((payloads[0].items, payloads[0].traffic_bytes), (batch.items(), batch.traffic_bytes()));
}

/// *Scenario*: `append` to a recording with an end mark, to one whose writer was killed after a block, and to one that ends inside a block.
/// *Guarantees*: all whole blocks stay, the new recording follows them, and an incomplete block is cut off.
#[tokio::test]
async fn append_continues_whole_and_unfinished_files() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("records.lwr");
    record(&path, true).await;
    record(&path, true).await;
    assert_eq!(read(&path), [one_session(false), one_session(false)].concat());

    let whole = std::fs::metadata(&path).unwrap().len();
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(whole - 3).unwrap();
    record(&path, true).await;
    let unended = one_session(false)[..3].to_vec();
    assert_eq!(read(&path), [&one_session(false)[..], &unended, &one_session(true)].concat());
}

/// *Scenario*: a non-empty file without `append`, a file of another format or a damaged one with it, a missing directory, a directory,
/// a device, and a file that another exporter is writing.
/// *Guarantees*: each is refused at the start and not changed. The error has the path, the reason and the remedy.
#[tokio::test]
async fn what_cannot_be_written_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    record(&at("full.lwr"), false).await;
    let mut damaged = std::fs::read(at("full.lwr")).unwrap();
    damaged[20] ^= 4;
    std::fs::write(at("damaged.lwr"), &damaged).unwrap();
    std::fs::write(at("other.txt"), "hello, world").unwrap();
    let busy = exporter(&at("busy.lwr"), false);
    busy.pusher().start().await.unwrap();

    let mut text = String::new();
    for (path, append) in [
        (at("full.lwr"), false),
        (at("damaged.lwr"), true),
        (at("other.txt"), true),
        (at("missing/records.lwr"), false),
        (directory.path().to_owned(), false),
        ("/dev/full".into(), false),
        (at("busy.lwr"), true),
    ] {
        text += &refusal(&exporter(&path, append), directory.path()).await;
        text.push('\n');
    }
    assert_eq!(std::fs::read(at("damaged.lwr")).unwrap(), damaged);
    assert_eq!(std::fs::read(at("other.txt")).unwrap(), b"hello, world");
    let len = std::fs::metadata(at("full.lwr")).unwrap().len();
    insta::assert_snapshot!(text.replace(&format!("contains {len} bytes"), "contains N bytes"));
}

/// *Scenario*: a write failed halfway and left a part of a block. It is retried.
/// *Guarantees*: the part is cut off first, and the file is complete.
#[tokio::test]
async fn the_rest_of_a_failed_write_is_cut_off() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("records.lwr");
    let mut exporter = exporter(&path, false);
    exporter.pusher().start().await.unwrap();
    let len = std::fs::metadata(&path).unwrap().len();
    let other = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    other.write_all_at(&[0xaa; 5_000], len).unwrap();
    push(&mut exporter, &Batch::records(golden::records())).await.unwrap();
    push(&mut exporter, &Batch::PassEnd(golden::pass_end())).await.unwrap();
    exporter.pusher().shutdown().await.unwrap();
    assert_eq!(read(&path), one_session(false));
}

/// *Scenario*: a push before the start, and a shutdown without a start.
/// *Guarantees*: the error of the push is retryable. The shutdown does nothing.
#[tokio::test]
async fn a_file_that_is_not_open_accepts_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let mut exporter = exporter(&directory.path().join("records.lwr"), false);
    let error = push(&mut exporter, &Batch::records(golden::records())).await.unwrap_err();
    assert!(matches!(error, PushError::Retryable { .. }));
    exporter.pusher().shutdown().await.unwrap();
}

/// *Scenario*: `append` to a recording in the format of an older Longwave.
/// *Guarantees*: the file is refused with both versions and the remedy, since a file with two formats could not be decoded.
#[tokio::test]
async fn an_older_format_is_not_continued() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("old.lwr");
    std::fs::write(&path, golden::RECORDING_V1).unwrap();
    let refused = refusal(&exporter(&path, true), directory.path()).await;
    assert!(
        refused.contains("format version 1, and this Longwave writes version 4; choose another"),
        "{refused}"
    );
    assert_eq!(std::fs::read(&path).unwrap(), golden::RECORDING_V1);
}

/// *Scenario*: the exporter is in a pipeline whose processor changes attributes.
/// *Guarantees*: it is refused with the reason and the remedy.
#[test]
fn changed_attributes_are_refused() {
    let section = serde_json::json!({"path": "records.lwr"});
    let section = longwave_config::Value::from_serialize(&section).unwrap();
    let path = longwave_config::ConfigPath::from("exporters::record_file");
    let prepared = factory().prepare(&section, &path).ok().unwrap();
    let delete = serde_json::from_value(serde_json::json!({"key": "a", "action": "delete"})).unwrap();
    let context = ExporterContext {
        log_edits: Arc::new(longwave_pipeline::component::AttributeEdits::new(vec![delete])),
        ..context()
    };
    let error = (prepared.create)(context).err().unwrap().to_string();
    assert!(error.contains("cannot change a record file, because records have no attributes"), "{error}");
}
