//! The real Kubernetes that `cargo xtask cluster` starts. Its only node is this machine.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Pid;
use serde::Deserialize;
use serde_json::Value;

use longwave_testing::gate;

/// Folder of the cluster. A developer's cluster is in another folder.
const FOLDER: &str = "/var/lib/longwave-cluster-test";
/// File that is locked while a test uses the cluster, so that tests in other processes wait.
const LOCK: &str = "/tmp/longwave-cluster-test.lock";

/// How kube-proxy translates the addresses of services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyMode {
    /// With nftables tables of kube-proxy.
    Nftables,
    /// With chains in the tables of iptables.
    Iptables,
}

/// Output of `cluster up`.
#[derive(Clone, Debug, Deserialize)]
pub struct Info {
    /// Kubeconfig of the administrator.
    pub kubeconfig: PathBuf,
    /// URL of the API server.
    pub server: String,
    /// File with the certificate of the CA that signed the API server's certificate.
    pub ca: PathBuf,
    /// File with the token of the administrator as a header, for curl.
    pub header: PathBuf,
    /// File with the token of the administrator.
    pub token: PathBuf,
    /// Name of the node.
    pub node: String,
    /// Address of the host that pods can reach.
    pub node_ip: String,
    /// Image of busybox with its tools. Do not use its `wget -T`, which crashes.
    pub image: String,
    /// Folder for the manifests of static pods, which the kubelet runs without the API server.
    pub static_pods: PathBuf,
}

/// A running cluster. It is taken down when dropped.
pub struct Cluster {
    xtask: PathBuf,
    is_down: bool,
    _lock: File,
    /// Paths and addresses.
    pub info: Info,
}

// === impl Cluster ===

impl Cluster {
    /// Starts the cluster. Skips the test if it does not run as root, or if a program is missing.
    ///
    /// # Panics
    /// If `cluster up` fails, with its output. If the test would be skipped and `LONGWAVE_REQUIRE_PEERS` is `1`.
    pub fn up(mode: ProxyMode) -> Self {
        let xtask = available().unwrap_or_else(|missing| gate::missing(&missing, "LONGWAVE_REQUIRE_PEERS"));
        let lock = File::create(LOCK).unwrap();
        lock.lock().unwrap();
        let mode = if mode == ProxyMode::Nftables { "nftables" } else { "iptables" };
        let output = run(Command::new(&xtask).args(["cluster", "up", "--dir", FOLDER, "--proxy-mode", mode]));
        let info = serde_json::from_str(&output).unwrap_or_else(|error| panic!("{error}: {output}"));
        Self { xtask, is_down: false, _lock: lock, info }
    }

    /// Imports an image that [`Cluster::image`] or `docker save` wrote.
    pub fn load(&self, archive: &Path) {
        run(Command::new(&self.xtask).args(["cluster", "load", "--dir", FOLDER]).arg(archive));
    }

    /// Writes an image of one static program. Builds `bin:longwave` and `test:<name>` first.
    pub fn image(&self, program: &str, name: &str, archive: &Path) {
        run(Command::new(&self.xtask).args(["cluster", "image", program, name, "--output"]).arg(archive));
    }

    /// Creates the object of a manifest (YAML or JSON, one object) in the collection at `path`.
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

    /// Returns an object or a collection.
    pub fn get(&self, path: &str) -> Value {
        serde_json::from_str(&self.text(path)).unwrap()
    }

    /// Returns a response that is not JSON, for example the log of a pod.
    pub fn text(&self, path: &str) -> String {
        run(&mut self.curl(path))
    }

    /// Deletes an object or a collection.
    pub fn delete(&self, path: &str) {
        run(self.curl(path).args(["--request", "DELETE"]));
    }

    /// Requests `path` until the response satisfies `wanted`.
    ///
    /// # Panics
    /// If no response does within a minute, with the last response.
    pub fn wait(&self, path: &str, wanted: impl Fn(&str) -> bool) -> String {
        self.wait_for(path, Duration::from_secs(60), wanted)
    }

    /// Like [`Cluster::wait`] with another limit.
    ///
    /// # Panics
    /// If no response does within `limit`, with the last response.
    pub fn wait_for(&self, path: &str, limit: Duration, wanted: impl Fn(&str) -> bool) -> String {
        let until = Instant::now() + limit;
        loop {
            // The request fails for the log of a pod that has just been scheduled.
            let output = self.curl(path).stderr(Stdio::null()).output().unwrap();
            let answer = String::from_utf8_lossy(&output.stdout).into_owned();
            if output.status.success() && wanted(&answer) {
                return answer;
            }
            assert!(Instant::now() < until, "{path}: not as expected after {limit:?}: {answer}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Runs `kubectl` in the version of the cluster, as the administrator, and returns its stdout.
    ///
    /// # Panics
    /// If it fails, with its output.
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        let path = run(Command::new(&self.xtask).args(["peers", "kubectl"]));
        let path = path.lines().last().unwrap_or_default();
        run(Command::new(path).arg("--kubeconfig").arg(&self.info.kubeconfig).args(arguments))
    }

    /// Takes the cluster down.
    ///
    /// # Panics
    /// If something of it could not be removed.
    pub fn down(mut self) {
        self.is_down = true;
        run(Command::new(&self.xtask).args(["cluster", "down", "--dir", FOLDER]));
    }

    /// Folder of all files of the cluster.
    pub fn folder(&self) -> &Path {
        Path::new(FOLDER)
    }

    /// Returns the pid of a component, by the name of its program.
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

/// Returns `$LONGWAVE_XTASK`, or else the xtask program in the target directory of the test.
fn xtask() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("LONGWAVE_XTASK") {
        return Some(path.into());
    }
    let test = std::env::current_exe().unwrap();
    test.ancestors().skip(1).take(2).map(|folder| folder.join("xtask")).find(|path| path.is_file())
}

/// Returns the path of the xtask program.
///
/// # Errors
/// If the cluster cannot be started, with the reason.
fn available() -> Result<PathBuf, String> {
    if !rustix::process::geteuid().is_root() {
        return Err("not root".to_owned());
    }
    let xtask = xtask().ok_or("no xtask beside the test (build it: cargo build --package xtask)")?;
    let folder = folder_of_programs(&xtask);
    if !folder.join("kubelet").is_file() || !Path::new("/usr/bin/containerd").is_file() {
        return Err(format!("no Kubernetes at {} (build it: cargo xtask peers)", folder.display()));
    }
    Ok(xtask)
}

/// Returns the folder of Kubernetes' programs. Skips the test if one of `needed` is missing.
///
/// # Panics
/// If one is missing and `LONGWAVE_REQUIRE_PEERS` is `1`.
pub fn programs(needed: &[&str]) -> PathBuf {
    let folder = xtask().as_deref().map(folder_of_programs).unwrap_or_default();
    if let Some(missing) = needed.iter().find(|program| !folder.join(program).is_file()) {
        let missing = format!("no {missing} in {:?} (build it: cargo xtask peers)", folder.display());
        gate::missing(&missing, "LONGWAVE_REQUIRE_PEERS");
    }
    folder
}

fn folder_of_programs(xtask: &Path) -> PathBuf {
    let output = Command::new(xtask).args(["peers", "path", "kubernetes"]).output().unwrap();
    PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())
}

/// Runs a command and returns its stdout.
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}:\n{out}{err}", output.status);
    out.into_owned()
}
