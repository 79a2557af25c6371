//! A configuration with a download, and its reload.
#![allow(clippy::unwrap_used)]

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use longwave_tests::Longwave;
use longwave_tests::longwave::Options;
use longwave_tests::serve::serve_each;
use rustix::process::{Signal, kill_process};
use serde_json::json;
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(60);

/// Starts an HTTP server that sends the current response to each request.
fn server(response: Arc<Mutex<String>>) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    serve_each(listener, move |mut stream| {
        read_head(&stream);
        let response = response.lock().unwrap().clone();
        stream.write_all(response.as_bytes()).unwrap();
    });
    address
}

fn response(status: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
}

/// Reads a request up to the empty line.
fn read_head(stream: &TcpStream) {
    let head = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    assert!(head.take_while(|line| !line.is_empty()).count() > 0);
}

fn recording() -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/connections.lwr")).unwrap()
}

/// Starts Longwave with a format of `stdout` that it downloads from `address`. It replays `records` from a pipe. Returns the pipe's end, which
/// ends the replay when it is dropped, and the directory of the pipe.
fn start(address: SocketAddr, records: &[u8]) -> (Longwave, File, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("records");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let longwave = Longwave::spawn(
        json!({
            "receivers": {"replay": {"path": pipe}},
            "exporters": {"stdout": {"format": format!("${{http://{address}/format}}")}},
            "service": {
                "pipelines": {"logs": {"receivers": ["replay"], "exporters": ["stdout"]}},
            },
        }),
        Options::default(),
    );
    let mut writer = File::create(&pipe).unwrap();
    writer.write_all(records).unwrap();
    longwave.await_stderr("Begin running", LIMIT);
    (longwave, writer, folder)
}

/// *Scenario*: a value of the configuration is downloaded. SIGHUP is sent while the server fails, and again when the server has another value.
/// *Guarantees*: the first SIGHUP keeps the running configuration, and the log has the cause. The second one reloads.
#[test]
fn a_reload_downloads_again() {
    let current = Arc::new(Mutex::new(response("200 OK", "json\n")));
    let address = server(Arc::clone(&current));
    // The recording does not end, so that the receiver waits for more until the end of the test.
    let records = recording();
    let (longwave, writer, _folder) = start(address, &records[..records.len() / 2]);

    *current.lock().unwrap() = response("503 Service Unavailable", "");
    longwave.reload_with(json!({}));
    longwave.await_stderr("keeping the running configuration", LIMIT);
    let cause = format!(
        "exporters::stdout::format: unable to download http://{address}/format: the server responds 503"
    );
    assert!(longwave.stderr().contains(&cause), "{}", longwave.stderr());

    *current.lock().unwrap() = response("200 OK", "text\n");
    longwave.reload_with(json!({}));
    longwave.await_stderr("the new configuration is in effect", LIMIT);
    assert_eq!(longwave.stderr().matches("keeping the running configuration").count(), 1);
    drop(writer);
}

/// *Scenario*: SIGHUP while the server does not respond, and then SIGTERM.
/// *Guarantees*: the process drains and exits with 0 because of the signal. It does not wait until the download has failed.
#[test]
fn a_stop_does_not_wait_for_a_download() {
    let (requested, is_requested) = std::sync::mpsc::channel();
    let is_silent = Arc::new(AtomicBool::new(false));
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let silent = Arc::clone(&is_silent);
    serve_each(listener, move |mut stream| {
        read_head(&stream);
        if silent.load(Ordering::SeqCst) {
            requested.send(()).unwrap();
            // Until the client closes the connection.
            drop(std::io::Read::read(&mut stream, &mut [0]));
        } else {
            stream.write_all(response("200 OK", "json\n").as_bytes()).unwrap();
        }
    });
    let (longwave, writer, _folder) = start(address, &recording());

    is_silent.store(true, Ordering::SeqCst);
    longwave.reload_with(json!({}));
    is_requested.recv_timeout(LIMIT).unwrap();
    kill_process(longwave.pid(), Signal::TERM).unwrap();
    // The receiver waits for more until the input ends.
    drop(writer);
    let finished = longwave.wait();
    assert!(finished.status.success(), "{:?}: {}", finished.status, finished.stderr);
    assert!(!finished.stderr.contains("keeping the running configuration"), "{}", finished.stderr);
}
