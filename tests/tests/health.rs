//! The extension `health_check`, as probes see it.
#![allow(clippy::unwrap_used)]

use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use longwave_testing::{gate, harness, tests};
use longwave_tests::longwave::{Options, READY, free_address};
use longwave_tests::{Longwave, config, http};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

fn main() -> ExitCode {
    harness::run(tests![
        it_follows_the_start_a_reload_and_the_stop,
        privileged_a_collector_that_is_down_has_no_effect,
        privileged_a_receiver_without_passes_is_unhealthy,
        privileged_a_detached_program_is_unhealthy,
    ])
}

const LIMIT: Duration = Duration::from_secs(60);

/// Requests the health. `None` if nothing listens.
fn health(address: SocketAddr) -> Option<(u16, Value)> {
    let (status, body) = http::get(address, "/", "*/*").ok()?;
    Some((status, serde_json::from_str(&body).unwrap()))
}

/// Waits until the response has `status`, and `text` in its body. Returns the body.
fn await_health(longwave: &Longwave, address: SocketAddr, status: u16, text: &str) -> Value {
    let end = Instant::now() + LIMIT;
    loop {
        let found = health(address);
        if let Some((found, body)) = &found
            && *found == status
            && body.to_string().contains(text)
        {
            return body.clone();
        }
        assert!(Instant::now() < end, "not {status} with {text:?} but {found:?}\n{}", longwave.stderr());
        std::thread::sleep(Duration::from_millis(20)); // health is a snapshot: there is no event to wait for
    }
}

fn with_health_check(base: Value, address: SocketAddr) -> Value {
    let extensions = json!({"health_check": {"endpoint": address.to_string()}});
    config::merged(base, json!({"extensions": extensions, "service": {"extensions": ["health_check"]}}))
}

/// *Scenario*: a receiver starts only when a pipe has a writer; then everything runs; SIGHUP with another setting of the receiver, which starts late
/// again; SIGTERM.
/// *Guarantees*: 503 until everything has started, 200 with the Collector's JSON while it runs, 503 while the receiver restarts, then 200 again
/// at the same address, 503 while the pipelines drain. Each 503 has its reason.
fn it_follows_the_start_a_reload_and_the_stop() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("records");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let records =
        std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/connections.lwr")).unwrap();
    // Waits for the reader. The recording does not end, so that the receiver waits for more.
    let write = || {
        let mut writer = File::create(&pipe).unwrap();
        writer.write_all(&records[..records.len() / 2]).unwrap();
        writer
    };
    let address = free_address();
    let base = json!({
        "receivers": {"replay": {"path": pipe}},
        "exporters": {"stdout": {"format": "json"}},
        "service": {"pipelines": {"logs": {"receivers": ["replay"], "exporters": ["stdout"]}}},
    });
    let longwave = Longwave::spawn(with_health_check(base, address), Options::default());

    await_health(&longwave, address, 503, "not all components have started");
    let writer = write();
    longwave.await_stderr(READY, LIMIT);
    let body = await_health(&longwave, address, 200, "Server available");
    assert!(body["uptime"].as_str().unwrap().ends_with('s'), "{body}");
    assert!(body["upSince"].as_str().unwrap().starts_with("20"), "{body}");
    assert_eq!(body.as_object().unwrap().len(), 3, "{body}");

    longwave.reload_with(json!({"receivers": {"replay": {"speed": "original"}}}));
    let body = await_health(&longwave, address, 503, "receivers::replay: restarting with other settings");
    assert_eq!(body["status"], "Server not available");
    drop(writer);
    // The reader of the first pipe must be gone before the next writer opens it.
    longwave.await_stderr("the replay has ended", LIMIT);
    await_health(&longwave, address, 503, "restarting");
    let writer = write();
    longwave.await_stderr("SIGHUP: the new configuration is in effect", LIMIT);
    await_health(&longwave, address, 200, "Server available");

    kill_process(longwave.pid(), Signal::TERM).unwrap();
    await_health(&longwave, address, 503, "the pipelines are stopping");
    drop(writer);
    let finished = longwave.wait();
    assert!(finished.status.success(), "{}", finished.stderr);
}

/// *Scenario*: an exporter without a queue, whose server is down, for 30 intervals.
/// *Guarantees*: 200: a restart of Longwave would not repair the server.
fn privileged_a_collector_that_is_down_has_no_effect() {
    let _turn = gate::privileged();
    let address = free_address();
    let otlp = json!({
        "endpoint": free_address().to_string(),
        "tls": {"insecure": true},
        "sending_queue": {"enabled": false},
    });
    let base = config::merged(
        config::logs(json!({"interval": "200ms"})),
        json!({
            "exporters": {"otlp_grpc": otlp},
            "service": {"pipelines": {"logs": {"exporters": ["stdout", "otlp_grpc"]}}},
        }),
    );
    let longwave = Longwave::start(with_health_check(base, address));
    // A connection has a record. Without a queue, the exporter's stage waits for its server from then on.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    longwave.await_stderr("sending fails", LIMIT);
    let passes = || longwave.telemetry().sum("longwave_receiver_passes", &[]);
    let enough = passes() + 30;
    while passes() < enough {
        let (status, body) = health(address).unwrap();
        assert_eq!(status, 200, "{body}");
        std::thread::sleep(Duration::from_millis(50)); // the page is a snapshot: there is no event to wait for
    }
    drop(client);
    longwave.stop();
}

/// Starts a receiver with a pass every 300 ms, and waits until it is healthy.
fn healthy() -> (Longwave, SocketAddr) {
    let address = free_address();
    let base = config::logs(json!({"interval": "300ms"}));
    let longwave = Longwave::start(with_health_check(base, address));
    await_health(&longwave, address, 200, "Server available");
    (longwave, address)
}

/// *Scenario*: the receiver's thread is stopped by a debugger, and continues later.
/// *Guarantees*: 503 after three intervals, with the receiver as the reason; 200 after its next pass.
fn privileged_a_receiver_without_passes_is_unhealthy() {
    let _turn = gate::privileged();
    require("strace");
    let (longwave, address) = healthy();
    let delayed = Delayed::thread(longwave.pid(), "longwave-bpf");
    await_health(&longwave, address, 503, "receivers::bpf: stalled: no pass has ended for");
    drop(delayed);
    await_health(&longwave, address, 200, "Server available");
    longwave.stop();
}

/// *Scenario*: the link of a BPF program is taken from the process, which detaches the program. Passes still succeed.
/// *Guarantees*: 503 with the program as the reason, until Longwave is restarted; the log has it, too.
fn privileged_a_detached_program_is_unhealthy() {
    let _turn = gate::privileged();
    require("gdb");
    let (longwave, address) = healthy();
    // The descriptor of stdin takes the place of each link's, which closes the link. Which of them is that of `state` is not visible.
    let calls = tracing_links(longwave.pid())
        .into_iter()
        .flat_map(|link| ["-ex".to_owned(), format!("call ((int (*)(int, int)) dup2)(0, {link})")]);
    let output = Command::new("gdb")
        .args(["-nx", "-batch", "-readnever", "-p", &longwave.pid().as_raw_nonzero().to_string()])
        .args(calls)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    await_health(&longwave, address, 503, "the program `state");
    longwave.await_stderr("receivers::bpf does not see all connections", LIMIT);
    longwave.stop();
}

/// Skips the test if `program` is missing.
fn require(program: &str) {
    let version = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if version.is_err() {
        gate::missing(&format!("no {program} (Debian: {program})"), "LONGWAVE_REQUIRE_PEERS");
    }
}

/// Returns the descriptors of the links that attach programs to tracepoints.
fn tracing_links(process: Pid) -> Vec<u32> {
    let folder = format!("/proc/{}/fdinfo", process.as_raw_nonzero());
    let links: Vec<u32> = std::fs::read_dir(&folder)
        .unwrap()
        .flatten()
        .filter_map(|entry| {
            let text = std::fs::read_to_string(entry.path()).ok()?;
            let kind = text.lines().find_map(|line| line.strip_prefix("link_type:"))?.trim().to_owned();
            let is_tracing = kind == "tracing" || kind == "raw_tracepoint";
            is_tracing.then(|| entry.file_name().to_str().unwrap().parse().unwrap())
        })
        .collect();
    assert!(!links.is_empty(), "no link of a tracing program in {folder}");
    links
}

/// A thread of another process whose waits take a minute, until this is dropped.
struct Delayed(Child);

impl Delayed {
    fn thread(process: Pid, name: &str) -> Self {
        let folder = format!("/proc/{}/task", process.as_raw_nonzero());
        let thread = std::fs::read_dir(folder).unwrap().flatten().find(|task| {
            std::fs::read_to_string(task.path().join("comm")).is_ok_and(|comm| comm.trim() == name)
        });
        let thread = thread.unwrap().file_name().into_string().unwrap();
        let strace = Command::new("strace")
            .args(["-qq", "-o", "/dev/null", "-e", "inject=poll,ppoll:delay_enter=60s", "-p", &thread])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        Self(strace)
    }
}

impl Drop for Delayed {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.0), Signal::TERM);
        let _ = self.0.wait();
    }
}
