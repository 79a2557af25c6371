//! The real OpenTelemetry Collector between Longwave and the HTTP server of a test.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cache;
use crate::longwave::free_address;
use longwave_testing::gate;

/// Version of the Collector that `cargo xtask peers` builds.
pub const VERSION: &str = "0.161.0";

/// A configured Collector. It runs between `start` and `stop`.
pub struct Collector {
    binary: PathBuf,
    folder: TempDir,
    child: Option<Child>,
    /// Address of its OTLP receiver for gRPC.
    pub grpc: SocketAddr,
    /// Address of its OTLP receiver for HTTP.
    pub http: SocketAddr,
}

/// Returns the path of the Collector that `cargo xtask peers` builds. Skips the test if the file is missing.
///
/// # Panics
/// If it is missing and `LONGWAVE_REQUIRE_PEERS` is `1`.
pub fn binary() -> PathBuf {
    let path = cache::peers().join(format!("otelcol-{VERSION}/otelcol"));
    if !path.is_file() {
        let missing =
            format!("no OpenTelemetry Collector at {} (build it: cargo xtask peers)", path.display());
        gate::missing(&missing, "LONGWAVE_REQUIRE_PEERS");
    }
    path
}

impl Collector {
    /// Configures a Collector that receives OTLP and exports to `endpoint` (a URL) with `otlphttp`, in JSON without compression.
    pub fn towards(binary: PathBuf, endpoint: &str) -> Self {
        let (grpc, http) = (free_address(), free_address());
        let folder = TempDir::new().unwrap();
        let pipeline = json!({"receivers": ["otlp"], "exporters": ["otlphttp"]});
        let config = json!({
            "receivers": {"otlp": {"protocols": {
                "grpc": {"endpoint": grpc.to_string()},
                "http": {"endpoint": http.to_string()},
            }}},
            "exporters": {"otlphttp": {
                "endpoint": endpoint,
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

    /// Makes its receivers require a bearer token, and TLS. `certificate` and `key` are PEM texts.
    pub fn require_token(&self, token: &str, certificate: &str, key: &str) {
        let path = self.folder.path().join("config.yaml");
        let mut config: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        for protocol in ["grpc", "http"] {
            let receiver = &mut config["receivers"]["otlp"]["protocols"][protocol];
            receiver["auth"] = json!({"authenticator": "bearertokenauth"});
            receiver["tls"] = json!({"cert_pem": certificate, "key_pem": key});
        }
        config["extensions"] = json!({"bearertokenauth": {"token": token}});
        config["service"]["extensions"] = json!(["bearertokenauth"]);
        std::fs::write(path, config.to_string()).unwrap();
    }

    /// Starts the Collector and waits until it is ready.
    ///
    /// # Panics
    /// If it does not become ready, with its stderr.
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
        let (sender, receiver) = mpsc::channel();
        // The thread reads to the end, because the Collector would block on a full pipe.
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        self.child = Some(child);
        let mut stderr = String::new();
        loop {
            match receiver.recv_timeout(Duration::from_secs(60)) {
                Ok(line) if line.contains("Everything is ready") => return,
                Ok(line) => {
                    stderr.push_str(&line);
                    stderr.push('\n');
                }
                Err(error) => panic!("the Collector did not get ready ({error}):\n{stderr}"),
            }
        }
    }

    /// Stops the Collector. Returns after the Collector has forwarded everything that it received.
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
