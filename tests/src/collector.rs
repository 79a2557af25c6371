//! The real OpenTelemetry Collector between Longwave and the test's HTTP server.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tempfile::TempDir;

use crate::longwave::free_address;
use longwave_testing::gate;

/// A Collector that is configured, not necessarily running.
pub struct Collector {
    binary: PathBuf,
    folder: TempDir,
    child: Option<Child>,
    /// Its OTLP receiver for gRPC.
    pub grpc: SocketAddr,
    /// Its OTLP receiver for HTTP.
    pub http: SocketAddr,
}

/// The Collector that `cargo xtask peers` built; `None`, after a line on stderr, where it is missing.
pub fn binary(test: &str) -> Option<PathBuf> {
    let cache = std::env::var_os("LONGWAVE_CACHE")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache/longwave")))?;
    let path = cache.join("peers/otelcol-0.162.0/otelcol");
    if path.is_file() {
        return Some(path);
    }
    let missing = format!("no OpenTelemetry Collector at {} (build it: cargo xtask peers)", path.display());
    gate::skip(test, &missing, "LONGWAVE_REQUIRE_PEERS");
    None
}

impl Collector {
    /// OTLP in, `otlphttp` with JSON and without compression out to `sink`.
    pub fn towards(binary: PathBuf, sink: SocketAddr) -> Self {
        let (grpc, http) = (free_address(), free_address());
        let folder = TempDir::new().unwrap();
        let pipeline = json!({"receivers": ["otlp"], "exporters": ["otlphttp"]});
        let config = json!({
            "receivers": {"otlp": {"protocols": {
                "grpc": {"endpoint": grpc.to_string()},
                "http": {"endpoint": http.to_string()},
            }}},
            "exporters": {"otlphttp": {
                "endpoint": format!("http://{sink}"),
                "encoding": "json",
                "compression": "none",
                "sending_queue": {"enabled": false},
            }},
            "service": {
                "telemetry": {"metrics": {"level": "none"}},
                "pipelines": {"metrics": pipeline, "logs": pipeline},
            },
        });
        std::fs::write(folder.path().join("config.yaml"), config.to_string()).unwrap();
        Self { binary, folder, child: None, grpc, http }
    }

    /// Starts it and waits until it is ready.
    ///
    /// # Panics
    /// With its stderr when it does not get ready.
    pub fn start(&mut self) {
        let mut child = Command::new(&self.binary)
            .arg("--config")
            .arg(self.folder.path().join("config.yaml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (tell, hear) = mpsc::channel();
        // The thread reads on to the end, or the Collector would block on a full pipe.
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let _ = tell.send(line);
            }
        });
        self.child = Some(child);
        let mut said = String::new();
        loop {
            match hear.recv_timeout(Duration::from_secs(60)) {
                Ok(line) if line.contains("Everything is ready") => return,
                Ok(line) => {
                    said.push_str(&line);
                    said.push('\n');
                }
                Err(error) => panic!("the Collector did not get ready ({error}):\n{said}"),
            }
        }
    }

    /// Stops it in order; everything that it took has been sent on then.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = kill_process(Pid::from_child(&child), Signal::TERM);
            child.wait().unwrap();
        }
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
