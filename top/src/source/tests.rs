use std::io::Write;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use longwave_pipeline::model::codec::{Encoder, SessionEnd, SessionStart, file_header};
use longwave_pipeline::model::{Batch, Level};

use super::live::{Feed, follow};
use super::recording::Recording;
use crate::app::{App, Seek};
use crate::model::Model;
use crate::testing::{pass_end, press, shop, tick};

/// Intervals of an hour.
const HOUR: u64 = 720;

/// Writes a file. Each element of `sessions` is the number of intervals of the shop in one session. Returns the path.
fn record(directory: &Path, sessions: &[u64]) -> PathBuf {
    let (mut encoder, mut file) = (Encoder::default(), file_header().to_vec());
    let mut number = 0;
    for intervals in sessions {
        let (begin, mut records) = (file.len(), 0);
        encoder.session_start(&SessionStart::default(), &mut file).unwrap();
        for _ in 0..*intervals {
            let interval = shop(number);
            encoder.records(&interval, &mut file).unwrap();
            encoder.pass_end(pass_end(number), &mut file).unwrap();
            records += interval.len() as u64;
            number += 1;
        }
        encoder.session_end(SessionEnd { bytes: (file.len() - begin) as u64, records }, &mut file).unwrap();
    }
    let path = directory.join("hour.lwr");
    std::fs::write(&path, file).unwrap();
    path
}

fn opened(path: &Path) -> (Recording, App) {
    let mut recording = Recording::open(path).unwrap();
    let mut app = App::new(recording.origin("hour.lwr".to_owned()), Model::default());
    recording.begin(&mut app).unwrap();
    (recording, app)
}

/// *Scenario*: an hour's file of two runs of Longwave: every minute in both directions, single intervals, times outside of it, both ends.
/// *Guarantees*: each shows the interval that contains the time, with its measures and those before it for charts.
#[test]
fn any_minute_of_an_hour_is_shown() {
    let directory = tempfile::tempdir().unwrap();
    let (mut recording, mut app) = opened(&record(directory.path(), &[HOUR / 2, HOUR / 2]));
    assert_eq!(app.model().tick(), Some(tick(0)));
    for minute in 1..60 {
        assert!(recording.seek(Seek::By(60), &mut app).unwrap());
        assert_eq!(app.model().tick(), Some(tick(minute * 12)));
        let all = app.model().all();
        assert_eq!(all.last.once.failed, 3, "minute {minute}");
        // In the second run nothing of the first one is known any more.
        let intervals = (minute as usize % 30) * 12 + 1;
        assert_eq!(all.history.last(60).count(), intervals.min(25), "minute {minute}");
    }
    for minute in (0..59).rev() {
        assert!(recording.seek(Seek::By(-60), &mut app).unwrap());
        assert_eq!(app.model().tick(), Some(tick(minute * 12)));
    }
    assert!(recording.seek(Seek::Next, &mut app).unwrap());
    assert_eq!(app.model().tick(), Some(tick(1)));
    assert!(recording.seek(Seek::Back, &mut app).unwrap());
    assert_eq!(app.model().tick(), Some(tick(0)));
    recording.seek(Seek::To(tick(5_000)), &mut app).unwrap();
    assert_eq!(app.model().tick(), Some(tick(HOUR - 1)));
    assert!(!recording.seek(Seek::Next, &mut app).unwrap(), "it ends here");
}

/// *Scenario*: the user has opened the connections of a workload and the details of one, and goes to other times.
/// *Guarantees*: the same connection is shown there; where it does not exist the table is.
#[test]
fn what_is_selected_stays_at_another_time() {
    let directory = tempfile::tempdir().unwrap();
    let (mut recording, mut app) = opened(&record(directory.path(), &[HOUR]));
    press(&mut app, "<Enter><Enter>");
    let names = |app: &App| app.detail.map(|id| app.model().row(id).unwrap().names.clone());
    let before = names(&app).unwrap();
    recording.seek(Seek::By(600), &mut app).unwrap();
    assert_eq!((names(&app), app.view().level), (Some(before), Level::Connection));
    press(&mut app, "<Esc><Esc>");
    assert_eq!((app.view().level, &app.view().scope), (Level::Workload, &None));
}

/// *Scenario*: files that are cut within a block or at its end, empty, of another kind, a directory, and one that does not exist.
/// *Guarantees*: what is complete is shown, and the fault is known. The others are refused with the reason.
#[test]
fn incomplete_files_show_what_they_have() {
    let directory = tempfile::tempdir().unwrap();
    let path = record(directory.path(), &[10]);
    let whole = std::fs::read(&path).unwrap();
    let fault = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        let (mut recording, mut app) = opened(&path);
        recording.seek(Seek::To(tick(100)), &mut app).unwrap();
        let crate::app::Origin::Recording { fault, .. } = app.origin.clone() else { panic!() };
        (app.model().tick().unwrap(), fault.unwrap_or_default())
    };
    assert_eq!(fault(&whole), (tick(9), String::new()));
    let (last, message) = fault(&whole[..whole.len() - 7]);
    assert!(last == tick(9) && message.contains("ends inside a block"), "{message}");
    let (last, message) = fault(&whole[..whole.len() - 400]);
    assert!(last == tick(8) && message.contains("ends inside a block"), "{message}");
    let refusal = |path: &Path| format!("{:#}", Recording::open(path).unwrap_err());
    std::fs::write(&path, b"").unwrap();
    assert!(refusal(&path).contains("the file is empty"));
    std::fs::write(&path, b"{}").unwrap();
    assert!(refusal(&path).contains("not a Longwave record file"));
    std::fs::write(&path, file_header()).unwrap();
    assert!(refusal(&path).contains("no complete interval"));
    assert!(refusal(directory.path()).contains("is not a file"));
    assert!(refusal(Path::new("/nonexistent")).contains("check its name"));
}

/// *Scenario*: a Longwave that sends an interval and stops, and another one that starts at the same socket.
/// *Guarantees*: the records arrive, the stop is reported, and after the new start the former records are removed first.
#[tokio::test]
async fn a_socket_is_followed_over_restarts() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("live.sock");
    let error = follow(&path).unwrap_err();
    assert!(error.contains("start Longwave with the exporter live"), "{error}");
    let listener = UnixListener::bind(&path).unwrap();
    let server = std::thread::spawn(move || {
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().unwrap();
            let (mut encoder, mut blocks) = (Encoder::default(), file_header().to_vec());
            encoder.session_start(&SessionStart::default(), &mut blocks).unwrap();
            encoder.records(&shop(0), &mut blocks).unwrap();
            encoder.pass_end(pass_end(0), &mut blocks).unwrap();
            stream.write_all(&blocks).unwrap();
        }
    });
    let mut feeds = follow(&path).unwrap();
    let mut seen = Vec::new();
    while seen.len() < 7 {
        seen.push(match feeds.recv().await.unwrap() {
            Feed::Batch(Batch::Records(records)) => format!("{} records", records.len()),
            Feed::Batch(_) => "pass".to_owned(),
            Feed::Restart => "restart".to_owned(),
            Feed::Notice(None) => "connected".to_owned(),
            Feed::Notice(Some(notice)) => notice.split(':').next().unwrap_or_default().to_owned(),
        });
    }
    server.join().unwrap();
    let ended = "Longwave ended, or this program was too slow to read";
    assert_eq!(seen, ["8 records", "pass", ended, "restart", "connected", "8 records", "pass"]);
}
