use std::time::Duration;

use longwave_config::{ConfigPath, Value};
use longwave_pipeline::component::RecordOutput;
use longwave_pipeline::model::codec::{Encoder, FILE_HEADER_LEN, SessionEnd, SessionStart, file_header};
use longwave_pipeline::model::{Batch, ConnectionRecord, PassEnd, UnixNanos};
use longwave_testing::golden;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::config::Speed;
use super::pace::Pace;
use super::*;

/// Batches that were delivered, and the result of the receiver.
struct Played {
    batches: Vec<Batch>,
    result: Result<(), String>,
}

impl Played {
    fn records(&self) -> Vec<ConnectionRecord> {
        let records = self.batches.iter().filter_map(|batch| match batch {
            Batch::Records(records) => Some(records.as_ref().clone()),
            Batch::PassEnd(_) | Batch::Window(_) => None,
        });
        records.flatten().collect()
    }

    fn passes(&self) -> Vec<PassEnd> {
        let passes = self.batches.iter().filter_map(|batch| match batch {
            Batch::PassEnd(pass_end) => Some(*pass_end),
            Batch::Records(_) | Batch::Window(_) => None,
        });
        passes.collect()
    }
}

fn shown(records: &[ConnectionRecord]) -> Vec<String> {
    records.iter().map(|record| format!("{record:?}")).collect()
}

/// Replays bytes through a channel with room for one batch only.
async fn play(bytes: &[u8]) -> Played {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("records.lwr");
    std::fs::write(&path, bytes).unwrap();
    let played = play_file(&path).await;
    let result = played.result.map_err(|error| error.replace(directory.path().to_str().unwrap(), "…"));
    Played { result, ..played }
}

async fn play_file(path: &std::path::Path) -> Played {
    let config = Config { path: path.to_owned(), speed: Speed::Fast };
    let replay = Box::new(Replay { path: "receivers::replay".to_owned(), config });
    let (output, mut edge) = RecordOutput::pair(1);
    let running = match replay.start(output, CancellationToken::new()).await {
        Ok(running) => tokio::spawn(running),
        Err(error) => return Played { batches: Vec::new(), result: Err(error.to_string()) },
    };
    let mut batches = Vec::new();
    while let Some(batch) = edge.recv().await {
        batches.push(batch);
    }
    let result = running.await.unwrap().map_err(|error| error.to_string());
    Played { batches, result }
}

/// Encodes one session with one batch and the given passes, without the end mark if `ended` is false.
fn session(records: &[ConnectionRecord], passes: &[PassEnd], ended: bool) -> Vec<u8> {
    let (mut encoder, mut blocks) = (Encoder::default(), Vec::new());
    encoder.session_start(&SessionStart::default(), &mut blocks).unwrap();
    encoder.records(records, &mut blocks).unwrap();
    for pass_end in passes {
        encoder.pass_end(*pass_end, &mut blocks).unwrap();
    }
    if ended {
        let end = SessionEnd { bytes: blocks.len() as u64, records: records.len() as u64 };
        encoder.session_end(end, &mut blocks).unwrap();
    }
    blocks
}

fn pass(tick: UnixNanos, last: bool) -> PassEnd {
    PassEnd { tick, last }
}

/// *Scenario*: the golden recording is replayed into a pipeline with room for one batch.
/// *Guarantees*: its records are delivered with names and times as recorded, then its pass, then a last pass at its tick. The receiver ends
/// without an error.
#[tokio::test]
async fn the_golden_recording_is_delivered_whole() {
    let played = play(golden::RECORDING).await;
    assert_eq!(played.result, Ok(()));
    assert_eq!(shown(&played.records()), shown(&golden::records()));
    assert_eq!(played.passes(), [pass(golden::END, false), pass(golden::END, true)]);
}

/// *Scenario*: two recordings in one file. Each ends with a last pass that is not at a multiple of the interval.
/// *Guarantees*: only one last pass, at the end, with the last recorded tick.
#[tokio::test]
async fn only_the_last_pass_is_last() {
    let (one, two) = (UnixNanos(golden::END.0 + 17), UnixNanos(golden::END.0 + 10_000_000_003));
    let file = [
        file_header().to_vec(),
        session(&golden::records(), &[pass(golden::END, false), pass(one, true)], true),
        session(&golden::records(), &[pass(two, true)], true),
    ];
    let played = play(&file.concat()).await;
    assert_eq!(played.result, Ok(()));
    assert_eq!(played.passes(), [pass(golden::END, false), pass(one, false), pass(two, true)]);
    assert_eq!(played.records().len(), 10);
}

/// *Scenario*: bad files: missing, a directory, empty, of another kind, of another version, cut inside a block, cut at a block's
/// boundary, damaged in the middle.
/// *Guarantees*: the records before the damage are delivered, followed by a last pass. The error names component, key, file, offset and
/// cause.
#[tokio::test]
async fn bad_files_give_their_records_and_an_error() {
    let whole = golden::RECORDING;
    let mut version = whole.to_vec();
    version[8] = 9;
    let two = [file_header().to_vec(), session(&golden::records(), &[golden::pass_end()], true), {
        let mut second = session(&golden::records(), &[], true);
        second[60] ^= 0x10;
        second
    }]
    .concat();
    let unended =
        [file_header().to_vec(), session(&golden::records(), &[golden::pass_end()], false)].concat();
    let cases: [(&str, &[u8], usize); 7] = [
        ("empty", &[], 0),
        ("other kind", b"{\"resourceLogs\":[]}", 0),
        ("other version", &version, 0),
        ("cut in the header", &whole[..FILE_HEADER_LEN - 3], 0),
        ("cut in the last block", &whole[..whole.len() - 7], 5),
        ("cut at a boundary", &unended, 5),
        ("damaged in the second recording", &two, 5),
    ];
    let mut text = String::new();
    for (name, bytes, delivered) in cases {
        let played = play(bytes).await;
        assert_eq!(played.records().len(), delivered, "{name}");
        if delivered > 0 {
            assert_eq!(played.passes().last(), Some(&pass(golden::END, true)), "{name}");
        }
        text += &format!("{name}: {}\n", played.result.unwrap_err());
    }
    let missing = play_file(std::path::Path::new("/nonexistent/records.lwr")).await;
    text += &format!("missing: {}\n", missing.result.unwrap_err());
    let directory = play_file(std::path::Path::new("/")).await;
    text += &format!("directory: {}\n", directory.result.unwrap_err());
    insta::assert_snapshot!(text);
}

/// *Scenario*: a stop while the pipeline accepts nothing.
/// *Guarantees*: the receiver sends a last pass and ends, without an error.
#[tokio::test]
async fn a_stop_ends_a_replay_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("records.lwr");
    let mut file = file_header().to_vec();
    (0..50).for_each(|_| file.extend(session(&golden::records(), &[golden::pass_end()], true)));
    std::fs::write(&path, &file).unwrap();
    let replay = Box::new(Replay {
        path: "receivers::replay".to_owned(),
        config: Config { path, speed: Speed::Fast },
    });
    let (output, mut edge) = RecordOutput::pair(1);
    let stop = CancellationToken::new();
    let running = tokio::spawn(replay.start(output, stop.clone()).await.unwrap());
    let first = edge.recv().await.unwrap();
    assert_eq!(first.items(), 5);
    stop.cancel();
    let mut last = first;
    while let Some(batch) = edge.recv().await {
        last = batch;
    }
    assert!(matches!(last, Batch::PassEnd(PassEnd { last: true, .. })));
    running.await.unwrap().unwrap();
}

/// *Scenario*: recorded times with gaps, one that goes back, and a second recording much later.
/// *Guarantees*: at original speed each is due as long after the first one as it was recorded. Earlier times do not wait. The gap between
/// recordings is skipped. At full speed nothing waits.
#[tokio::test]
async fn the_pace_is_the_recorded_one() {
    let now = Instant::now();
    let at = |millis: u64| UnixNanos(golden::START.0 + millis * 1_000_000);
    let mut pace = Pace::new(Speed::Original);
    assert_eq!(pace.due(at(0), now), None);
    assert_eq!(pace.due(at(1_500), now), Some(now + Duration::from_millis(1_500)));
    assert_eq!(pace.due(at(1_500), now + Duration::from_secs(2)), None);
    assert_eq!(pace.due(UnixNanos(1), now), None);
    assert_eq!(pace.due(UnixNanos(u64::MAX), now).map(|due| due > now), Some(true));
    pace.restart();
    assert_eq!(pace.due(at(86_400_000), now), None);
    assert_eq!(pace.due(at(86_401_000), now), Some(now + Duration::from_secs(1)));
    assert_eq!(Pace::new(Speed::Fast).due(at(5_000), now), None);
}

/// *Scenario*: bad settings.
/// *Guarantees*: the message names the key and the remedy. Only `path` has no default.
#[test]
fn bad_settings_are_explained() {
    let decode = |yaml: Value| {
        let path: ConfigPath = "receivers::replay".into();
        match factory().prepare(&yaml, &path) {
            Ok(_) => "accepted".to_owned(),
            Err(errors) => errors.to_string(),
        }
    };
    let map = |pairs: &[(&str, &str)]| {
        Value::Map(
            pairs.iter().map(|(key, text)| ((*key).to_owned(), Value::Str((*text).to_owned()))).collect(),
        )
    };
    let cases = [
        decode(Value::Null),
        decode(map(&[("path", "records.lwr")])),
        decode(map(&[("path", "records.lwr"), ("speed", "double")])),
        decode(map(&[("file", "records.lwr")])),
    ];
    insta::assert_snapshot!(cases.join("\n---\n"));
}

/// *Scenario*: a socket that sends a recording and its end mark, one that is cut, one that sends nothing and disconnects, and one that stays open
/// until the receiver is stopped.
/// *Guarantees*: records are delivered as from a file; a cut and a foreign socket are explained; a stop does not wait for the socket.
#[tokio::test]
async fn a_socket_is_replayed_until_its_end() {
    use std::io::Write;
    use std::os::unix::net::UnixListener;

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("live.sock");
    let mut recording = file_header().to_vec();
    let mut encoder = Encoder::default();
    encoder.session_start(&SessionStart::default(), &mut recording).unwrap();
    let session = (recording.len() - FILE_HEADER_LEN) as u64;
    encoder.records(&golden::records(), &mut recording).unwrap();
    let end = SessionEnd {
        bytes: (recording.len() - FILE_HEADER_LEN) as u64,
        records: golden::records().len() as u64,
    };
    assert!(end.bytes > session);
    let cut = recording.clone();
    encoder.session_end(end, &mut recording).unwrap();
    for (sent, count, result) in [
        (recording, golden::records().len(), Ok(())),
        (cut, golden::records().len(), Err("the connection was cut")),
        (Vec::new(), 0, Err("must be that of an exporter live")),
    ] {
        let listener = UnixListener::bind(&path).unwrap();
        let server = std::thread::spawn(move || listener.accept().unwrap().0.write_all(&sent).unwrap());
        let played = play_file(&path).await;
        server.join().unwrap();
        assert_eq!(played.records().len(), count);
        match (played.result, result) {
            (Ok(()), Ok(())) => {}
            (Err(error), Err(expected)) => assert!(error.contains(expected), "{error}"),
            other => panic!("{other:?}"),
        }
        std::fs::remove_file(&path).unwrap();
    }
    let listener = UnixListener::bind(&path).unwrap();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(&file_header()).unwrap();
        stream
    });
    let config = Config { path: path.clone(), speed: Speed::Fast };
    let replay = Box::new(Replay { path: "receivers::replay".to_owned(), config });
    let (output, _edge) = RecordOutput::pair(4);
    let stop = CancellationToken::new();
    let running = tokio::spawn(replay.start(output, stop.clone()).await.unwrap());
    stop.cancel();
    running.await.unwrap().unwrap();
    drop(server.join().unwrap());
}
