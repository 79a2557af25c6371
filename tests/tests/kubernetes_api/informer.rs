//! The plain informer that `cargo xtask peers` builds with client-go. The test compares its cost with Longwave's.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use longwave_tests::cgroup;
use rustix::process::Pid;

/// A running informer that is killed when dropped.
pub struct Informer {
    child: Child,
    stdin: ChildStdin,
    lines: Receiver<String>,
}

// === impl Informer ===

impl Informer {
    /// Starts the informer without waiting.
    pub fn start(program: &Path, server: SocketAddr, token: &Path) -> Self {
        let _lock = cgroup::lock_original();
        let mut child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .arg(program)
            .arg(format!("http://{server}"))
            .arg(token)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Self { stdin: child.stdin.take().unwrap(), child, lines }
    }

    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Reads the next line: number of objects by resource. The informer writes the first line when it has all objects.
    pub fn counts(&self, limit: Duration) -> HashMap<String, u64> {
        let line = self.lines.recv_timeout(limit).unwrap_or_else(|error| panic!("the informer: {error}"));
        let pairs = line.split_whitespace().filter_map(|pair| pair.split_once('='));
        pairs.map(|(resource, count)| (resource.to_owned(), count.parse().unwrap())).collect()
    }

    /// Waits until it has these numbers of objects.
    pub fn await_objects(&mut self, objects: &[(&str, u64)], limit: Duration) {
        let end = Instant::now() + limit;
        loop {
            writeln!(self.stdin, "count").unwrap();
            let counts = self.counts(limit);
            if objects.iter().all(|(resource, count)| counts.get(*resource) == Some(count)) {
                return;
            }
            assert!(Instant::now() < end, "not within {limit:?}: {objects:?}, but {counts:?}");
            // There is no event to wait for.
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Makes its runtime return unused memory to the system.
    pub fn collect(&mut self, limit: Duration) {
        writeln!(self.stdin, "collect").unwrap();
        self.counts(limit);
    }
}

impl Drop for Informer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
