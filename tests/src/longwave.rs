//! Starts and stops the binary under test, and reads its output.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use crate::binary;
use crate::cgroup;
use crate::config::merged;
use crate::record::Record;
use crate::telemetry::Metrics;

/// Message of the binary on stderr when all components run.
pub const READY: &str = "Everything is ready. Begin running and processing data.";

/// Time limit of a start. It is long, because a virtual machine may be emulated.
const START_LIMIT: Duration = Duration::from_secs(120);

/// Time limit of a stop.
const STOP_LIMIT: Duration = Duration::from_secs(120);

/// One series of a window on `stdout`.
pub type Point = Map<String, Value>;

/// Selects the records that are kept in memory.
pub type Keep = fn(&Record) -> bool;

/// A running Longwave. It is killed when dropped.
pub struct Longwave {
    child: Child,
    output: Arc<Shared>,
    readers: Vec<JoinHandle<()>>,
    telemetry: SocketAddr,
    config: Value,
    folder: TempDir,
}

/// Output and exit status of a Longwave that has stopped.
pub struct Finished {
    /// Exit status.
    pub status: ExitStatus,
    /// Kept records, in the order of their lines.
    pub records: Vec<Record>,
    /// Series of all windows, in the order of their lines.
    pub points: Vec<Point>,
    /// Lines of all records, if [`Options::lines`] is set.
    pub lines: Vec<Map<String, Value>>,
    /// Lines of stdout that are neither a record nor a series.
    pub garbage: Vec<String>,
    /// Stderr.
    pub stderr: String,
}

/// Options of a start.
pub struct Options {
    /// Records that are kept. The default is all.
    pub keep: Keep,
    /// Whether the lines of records are kept as well.
    pub lines: bool,
    /// Command that runs the binary (`setpriv …`). Empty: none.
    pub wrapper: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self { keep: |_| true, lines: false, wrapper: Vec::new() }
    }
}

#[derive(Default)]
struct Shared {
    output: Mutex<Output>,
    changed: Condvar,
}

#[derive(Default)]
struct Output {
    records: Vec<Record>,
    points: Vec<Point>,
    lines: Vec<Map<String, Value>>,
    garbage: Vec<String>,
    stderr: String,
    stdout_ended: bool,
    stderr_ended: bool,
}

// === impl Longwave ===

impl Longwave {
    /// Starts Longwave with `config` and waits until it is ready.
    ///
    /// # Panics
    /// If it does not become ready, with its stderr.
    pub fn start(config: Value) -> Self {
        Self::start_with(config, Options::default())
    }

    /// Like [`Longwave::start`] with options.
    pub fn start_with(config: Value, options: Options) -> Self {
        let longwave = Self::spawn(config, options);
        longwave.await_stderr(READY, START_LIMIT);
        longwave
    }

    /// Starts Longwave without waiting. Sets a free port for the self-telemetry and the log level `info`, and writes messages that repeat.
    pub fn spawn(config: Value, options: Options) -> Self {
        let telemetry = free_address();
        let config = merged(
            json!({"service": {"telemetry": {"metrics": {"address": telemetry.to_string()}, "logs": {"level": "info", "sampling": {"enabled": false}}}}}),
            config,
        );
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("config.yaml");
        std::fs::write(&path, serde_json::to_vec_pretty(&config).unwrap()).unwrap();
        let lock = cgroup::lock_original();
        let mut child = command(&options.wrapper)
            .arg("run")
            .arg("--config")
            .arg(&path)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(lock);
        let output = Arc::new(Shared::default());
        let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let readers = vec![
            spawn_reader({
                let output = Arc::clone(&output);
                move || output.read_stdout(stdout, options.keep, options.lines)
            }),
            spawn_reader({
                let output = Arc::clone(&output);
                move || output.read_stderr(stderr)
            }),
        ];
        Self { child, output, readers, telemetry, config, folder }
    }

    /// Returns the id of its process.
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Returns its configuration.
    pub fn config(&self) -> &Value {
        &self.config
    }

    /// Merges `change` into its configuration file and sends SIGHUP.
    ///
    /// # Panics
    /// If the file cannot be written or the signal cannot be sent.
    pub fn reload_with(&self, change: Value) {
        write_config(self.folder.path(), &merged(self.config.clone(), change));
        kill_process(self.pid(), Signal::HUP).unwrap();
    }

    /// Returns a folder that is removed when it is dropped.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Waits until stderr contains `text`.
    ///
    /// # Panics
    /// If it does not within `limit`, with stderr.
    pub fn await_stderr(&self, text: &str, limit: Duration) {
        self.await_stderr_times(text, 1, limit);
    }

    /// Waits until stderr contains `text` as often as `times`.
    ///
    /// # Panics
    /// If it does not within `limit`, with stderr.
    pub fn await_stderr_times(&self, text: &str, times: usize, limit: Duration) {
        let is_there = |output: &Output| output.stderr.matches(text).count() >= times;
        let found = self.output.wait(limit, |output| is_there(output) || output.stderr_ended);
        let output = self.output.lock();
        assert!(
            found && is_there(&output),
            "stderr does not contain {text:?} {times} times within {limit:?}:\n{}",
            output.stderr
        );
    }

    /// Calls `see` once with each kept record, starting with the first, until it returns true.
    ///
    /// # Panics
    /// If that does not happen within `limit`, with `what`.
    pub fn await_records(&self, what: &str, limit: Duration, mut see: impl FnMut(&Record) -> bool) {
        let mut next = 0;
        self.await_output(what, limit, |output| {
            let unseen = &output.records[next..];
            next += unseen.len();
            unseen.iter().any(&mut see)
        });
    }

    /// Like [`Longwave::await_records`] for the series of windows.
    pub fn await_points(&self, what: &str, limit: Duration, mut see: impl FnMut(&Point) -> bool) {
        let mut next = 0;
        self.await_output(what, limit, |output| {
            let unseen = &output.points[next..];
            next += unseen.len();
            unseen.iter().any(&mut see)
        });
    }

    /// Like [`Longwave::await_records`] for lines (see [`Options::lines`]), except the first `from`.
    ///
    /// # Panics
    /// If that does not happen within `limit`, with `what`.
    pub fn await_lines(
        &self,
        what: &str,
        from: usize,
        limit: Duration,
        mut see: impl FnMut(&Map<String, Value>) -> bool,
    ) {
        let mut next = from;
        self.await_output(what, limit, |output| {
            let unseen = &output.lines[next..];
            next += unseen.len();
            unseen.iter().any(&mut see)
        });
    }

    /// Calls `see` with the lines so far.
    pub fn lines<T>(&self, see: impl FnOnce(&[Map<String, Value>]) -> T) -> T {
        see(&self.output.lock().lines)
    }

    /// Returns its stderr so far.
    pub fn stderr(&self) -> String {
        self.output.lock().stderr.clone()
    }

    /// Waits until each cookie has its expected number of final records. Returns whether that happened within `limit`.
    pub fn await_finals(&self, expected: &[(u64, usize)], limit: Duration) -> bool {
        let mut left: std::collections::HashMap<u64, usize> =
            expected.iter().copied().filter(|(_, n)| *n > 0).collect();
        let mut next = 0;
        self.output.wait(limit, |output| {
            for record in &output.records[next..] {
                if !record.is_final() {
                    continue;
                }
                let cookie = record.cookie();
                if let Some(times) = left.get_mut(&cookie) {
                    *times -= 1;
                    if *times == 0 {
                        left.remove(&cookie);
                    }
                }
            }
            next = output.records.len();
            left.is_empty() || output.stdout_ended
        }) && left.is_empty()
    }

    /// Returns the number of kept records so far.
    pub fn records_seen(&self) -> usize {
        self.records(<[Record]>::len)
    }

    /// Calls `see` with the kept records so far.
    pub fn records<T>(&self, see: impl FnOnce(&[Record]) -> T) -> T {
        see(&self.output.lock().records)
    }

    /// Waits for `count` kept records, or the end of stdout. Returns whether one of them happened within `limit`.
    pub fn await_count(&self, count: usize, limit: Duration) -> bool {
        self.output.wait(limit, |output| output.records.len() >= count || output.stdout_ended)
    }

    /// Reads its self-telemetry page.
    pub fn telemetry(&self) -> Metrics {
        Metrics::scrape(self.telemetry)
            .unwrap_or_else(|error| panic!("http://{}/metrics: {error}\n{}", self.telemetry, self.stderr()))
    }

    /// Returns the address of its self-telemetry page.
    pub fn telemetry_address(&self) -> SocketAddr {
        self.telemetry
    }

    /// Sends SIGTERM, waits for the exit and returns the output.
    ///
    /// # Panics
    /// If it does not exit with 0, prints something other than data on stdout, or logs that its accounting does not balance.
    pub fn stop(self) -> Finished {
        let finished = self.signal_and_wait(Signal::TERM);
        assert!(
            finished.status.success(),
            "exit {:?} after SIGTERM, stderr:\n{}",
            finished.status,
            finished.stderr
        );
        assert!(
            finished.garbage.is_empty(),
            "stdout contains lines that are no data: {:?}",
            finished.garbage
        );
        assert!(!finished.stderr.contains("does not balance"), "stderr:\n{}", finished.stderr);
        finished
    }

    /// Sends `signal` and waits for the exit, with any status.
    pub fn signal_and_wait(self, signal: Signal) -> Finished {
        let _ = kill_process(self.pid(), signal);
        self.wait()
    }

    /// Waits until it exits by itself.
    pub fn wait(mut self) -> Finished {
        let deadline = Instant::now() + STOP_LIMIT;
        let ended = self.output.wait(STOP_LIMIT, |output| output.stdout_ended && output.stderr_ended);
        if !ended {
            let stderr = self.output.lock().stderr.clone();
            panic!(
                "still running {STOP_LIMIT:?} after it should have ended (deadline {deadline:?}), stderr:\n{stderr}"
            );
        }
        let status = self.child.wait().unwrap();
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        let output = std::mem::take(&mut *self.output.lock());
        Finished {
            status,
            records: output.records,
            points: output.points,
            lines: output.lines,
            garbage: output.garbage,
            stderr: output.stderr,
        }
    }

    fn await_output(&self, what: &str, limit: Duration, mut done: impl FnMut(&Output) -> bool) {
        let mut reached = false;
        self.output.wait(limit, |output| {
            reached = reached || done(output);
            reached || output.stdout_ended
        });
        if !reached {
            let output = self.output.lock();
            panic!(
                "not seen within {limit:?}: {what} ({} records, {} series), stderr:\n{}",
                output.records.len(),
                output.points.len(),
                output.stderr
            );
        }
    }
}

impl Drop for Longwave {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

// === impl Shared ===

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Output> {
        self.output.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `done` returns true. Calls it after each line of output. Returns whether it did within `limit`.
    fn wait(&self, limit: Duration, mut done: impl FnMut(&Output) -> bool) -> bool {
        let output = self.lock();
        let (_output, timeout) = self
            .changed
            .wait_timeout_while(output, limit, |output| !done(output))
            .unwrap_or_else(PoisonError::into_inner);
        !timeout.timed_out()
    }

    fn read_stdout(&self, stdout: impl Read, keep: Keep, lines: bool) {
        for line in BufReader::with_capacity(1 << 20, stdout).split(b'\n') {
            let Ok(line) = line else { break };
            self.take_line(&line, keep, lines);
        }
        self.lock().stdout_ended = true;
        self.changed.notify_all();
    }

    fn take_line(&self, line: &[u8], keep: Keep, lines: bool) {
        let record = serde_json::from_slice::<Record>(line);
        let mut output = self.lock();
        match record {
            Ok(record) if keep(&record) => {
                output.records.push(record);
                if lines {
                    output.lines.extend(serde_json::from_slice::<Map<String, Value>>(line).ok());
                }
            }
            Ok(_) => return,
            Err(error) => match serde_json::from_slice::<Point>(line) {
                Ok(point) if point.contains_key("level") && point.contains_key("start") => {
                    output.points.push(point)
                }
                _ => output.garbage.push(format!("{error}: {}", String::from_utf8_lossy(line))),
            },
        }
        drop(output);
        self.changed.notify_all();
    }

    fn read_stderr(&self, stderr: impl Read) {
        for line in BufReader::new(stderr).split(b'\n') {
            let Ok(line) = line else { break };
            let mut output = self.lock();
            output.stderr.push_str(&String::from_utf8_lossy(&line));
            output.stderr.push('\n');
            drop(output);
            self.changed.notify_all();
        }
        self.lock().stderr_ended = true;
        self.changed.notify_all();
    }
}

/// Returns a command that runs the binary, by the command `wrapper` if it is not empty.
pub fn command(wrapper: &[String]) -> Command {
    let binary = binary::longwave();
    match wrapper.split_first() {
        None => Command::new(binary),
        Some((program, arguments)) => {
            let mut command = Command::new(program);
            command.args(arguments).arg(binary);
            command
        }
    }
}

/// Writes `config` into `config.yaml` in `folder`.
pub fn write_config(folder: &Path, config: &Value) -> PathBuf {
    let path = folder.join("config.yaml");
    let mut file = std::fs::File::create(&path).unwrap();
    file.write_all(&serde_json::to_vec_pretty(config).unwrap()).unwrap();
    path
}

/// Returns a loopback address with a port that is free at the moment. Another process may bind it later.
pub fn free_address() -> SocketAddr {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap()
}

fn spawn_reader(read: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    std::thread::spawn(read)
}
