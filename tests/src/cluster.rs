//! The real Kubernetes that `cargo xtask cluster` brings up: one node, this machine.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Pid;
use serde::Deserialize;
use serde_json::Value;

use longwave_testing::gate;

/// Apart from a developer's own.
const FOLDER: &str = "/var/lib/longwave-cluster-test";
/// Held while a test has it: tests of other processes wait.
const LOCK: &str = "/tmp/longwave-cluster-test.lock";

/// How kube-proxy does services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyMode {
    /// Its own tables.
    Nftables,
    /// Chains in the classic tables.
    Iptables,
}

/// What `cluster up` tells.
#[derive(Clone, Debug, Deserialize)]
pub struct Info {
    /// The administrator's.
    pub kubeconfig: PathBuf,
    /// The API server, as an URL.
    pub server: String,
    /// Signs its certificate.
    pub ca: PathBuf,
    /// The administrator's token as a header, for curl.
    pub header: PathBuf,
    /// The administrator's token.
    pub token: PathBuf,
    /// The node's name.
    pub node: String,
    /// Where the host listens for pods.
    pub node_ip: String,
    /// busybox with its tools (its `wget` crashes with `-T`).
    pub image: String,
    /// Put a pod's manifest there, and the kubelet runs it without the API server.
    pub static_pods: PathBuf,
}

/// A cluster that is up; taken down when dropped.
pub struct Cluster {
    xtask: PathBuf,
    is_down: bool,
    _lock: File,
    /// Where everything is.
    pub info: Info,
}

// === impl Cluster ===

impl Cluster {
    /// Brings it up; `None`, after a line on stderr, where it cannot be.
    ///
    /// # Panics
    /// With what `cluster up` said, when it fails; and where `LONGWAVE_REQUIRE_PEERS=1` demands what is missing.
    pub fn up(test: &str, mode: ProxyMode) -> Option<Self> {
        let xtask = xtask();
        if let Some(missing) = missing(xtask.as_deref()) {
            gate::skip(test, &missing, "LONGWAVE_REQUIRE_PEERS");
            return None;
        }
        let xtask = xtask?;
        let lock = File::create(LOCK).unwrap();
        lock.lock().unwrap();
        let mode = if mode == ProxyMode::Nftables { "nftables" } else { "iptables" };
        let output = run(Command::new(&xtask).args(["cluster", "up", "--dir", FOLDER, "--proxy-mode", mode]));
        let info = serde_json::from_str(&output).unwrap_or_else(|error| panic!("{error}: {output}"));
        Some(Self { xtask, is_down: false, _lock: lock, info })
    }

    /// Imports an image, an archive that [`Cluster::image`] or `docker save` wrote.
    pub fn load(&self, archive: &Path) {
        run(Command::new(&self.xtask).args(["cluster", "load", "--dir", FOLDER]).arg(archive));
    }

    /// Writes an image of one static program; `bin:longwave` and `test:<name>` are built first.
    pub fn image(&self, program: &str, name: &str, archive: &Path) {
        run(Command::new(&self.xtask).args(["cluster", "image", program, name, "--output"]).arg(archive));
    }

    /// Creates the object in a manifest (YAML or JSON, one object): `path` is its collection's.
    pub fn create(&self, path: &str, manifest: &str) -> Value {
        let mut curl = self.curl(path);
        curl.args([
            "--request",
            "POST",
            "--header",
            "Content-Type: application/yaml",
            "--data-binary",
            manifest,
        ]);
        serde_json::from_str(&run(&mut curl)).unwrap()
    }

    /// An object or a collection.
    pub fn get(&self, path: &str) -> Value {
        serde_json::from_str(&self.text(path)).unwrap()
    }

    /// What is not JSON: a pod's log.
    pub fn text(&self, path: &str) -> String {
        run(&mut self.curl(path))
    }

    /// Deletes an object or a collection.
    pub fn delete(&self, path: &str) {
        run(self.curl(path).args(["--request", "DELETE"]));
    }

    /// Asks until the answer satisfies `wanted`.
    ///
    /// # Panics
    /// With the last answer, when it does not within a minute.
    pub fn wait(&self, path: &str, wanted: impl Fn(&str) -> bool) -> String {
        self.wait_for(path, Duration::from_secs(60), wanted)
    }

    /// The same with a limit of one's own.
    ///
    /// # Panics
    /// With the last answer, when it does not within `limit`.
    pub fn wait_for(&self, path: &str, limit: Duration, wanted: impl Fn(&str) -> bool) -> String {
        let until = Instant::now() + limit;
        loop {
            // A pod that has just been scheduled has no log yet.
            let output = self.curl(path).stderr(Stdio::null()).output().unwrap();
            let answer = String::from_utf8_lossy(&output.stdout).into_owned();
            if output.status.success() && wanted(&answer) {
                return answer;
            }
            assert!(Instant::now() < until, "{path}: still not as wanted after {limit:?}: {answer}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Runs `kubectl`, of the cluster's own version, as its administrator; what it wrote to stdout.
    ///
    /// # Panics
    /// With what it said, when it fails.
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        let path = run(Command::new(&self.xtask).args(["peers", "kubectl"]));
        let path = path.lines().last().unwrap_or_default();
        run(Command::new(path).arg("--kubeconfig").arg(&self.info.kubeconfig).args(arguments))
    }

    /// Ends it.
    ///
    /// # Panics
    /// With what is left of it, if anything is.
    pub fn down(mut self) {
        self.is_down = true;
        run(Command::new(&self.xtask).args(["cluster", "down", "--dir", FOLDER]));
    }

    /// The folder of everything that is the cluster's.
    pub fn folder(&self) -> &Path {
        Path::new(FOLDER)
    }

    /// The process of a component, as Kubernetes calls it.
    pub fn process(&self, component: &str) -> Pid {
        let state: Value =
            serde_json::from_slice(&std::fs::read(self.folder().join("state.json")).unwrap()).unwrap();
        let processes = state["processes"].as_array().unwrap();
        let process = processes.iter().find(|process| process["name"] == component).unwrap();
        Pid::from_raw(i32::try_from(process["pid"].as_i64().unwrap()).unwrap()).unwrap()
    }

    fn curl(&self, path: &str) -> Command {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--fail-with-body", "--max-time", "30", "--noproxy", "*"]);
        curl.arg("--cacert").arg(&self.info.ca);
        curl.arg("--header").arg(format!("@{}", self.info.header.display()));
        curl.arg(format!("{}{path}", self.info.server));
        curl
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.is_down {
            return;
        }
        let _ = Command::new(&self.xtask).args(["cluster", "down", "--dir", FOLDER]).status();
    }
}

/// `$LONGWAVE_XTASK`, else the one beside the test.
fn xtask() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("LONGWAVE_XTASK") {
        return Some(path.into());
    }
    let test = std::env::current_exe().unwrap();
    test.ancestors().skip(1).take(2).map(|folder| folder.join("xtask")).find(|path| path.is_file())
}

fn missing(xtask: Option<&Path>) -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("not root".to_owned());
    }
    let Some(xtask) = xtask else {
        return Some("no xtask beside the test (build it: cargo build --package xtask)".to_owned());
    };
    let folder = folder_of_programs(xtask);
    let there = folder.join("kubelet").is_file() && Path::new("/usr/bin/containerd").is_file();
    (!there).then(|| format!("no Kubernetes at {} (build it: cargo xtask peers)", folder.display()))
}

/// The folder of Kubernetes' own programs, where all of `needed` are there; else says that `test` is skipped.
///
/// # Panics
/// Where `LONGWAVE_REQUIRE_PEERS=1` demands what is missing.
pub fn programs(test: &str, needed: &[&str]) -> Option<PathBuf> {
    let xtask = xtask();
    let folder = xtask.as_deref().map(folder_of_programs).unwrap_or_default();
    let Some(missing) = needed.iter().find(|program| !folder.join(program).is_file()) else {
        return Some(folder);
    };
    let missing = format!("no {missing} in {:?} (build it: cargo xtask peers)", folder.display());
    gate::skip(test, &missing, "LONGWAVE_REQUIRE_PEERS");
    None
}

fn folder_of_programs(xtask: &Path) -> PathBuf {
    let output = Command::new(xtask).args(["peers", "path", "kubernetes"]).output().unwrap();
    PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())
}

/// Runs a command to its end; what it wrote to stdout.
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}:\n{out}{err}", output.status);
    out.into_owned()
}
