//! A real Docker daemon and containerd for a test, in a separate network namespace. Their routes and rules are removed with the namespace,
//! and it contains no containers of other daemons.

use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use longwave_testing::gate;
use longwave_testing::netns::Netns;

/// Time limit for the start and for the stop of a daemon.
const LIMIT: Duration = Duration::from_secs(60);

/// Programs that must be on the PATH. Debian packages: docker.io, containerd, runc, iptables, busybox-static.
const NEEDED: [&str; 6] = ["dockerd", "docker", "containerd", "runc", "iptables", "busybox"];

/// Name of the image, which contains only busybox.
pub const IMAGE: &str = "lwbox";

/// A Docker daemon. Its containers are removed when it is dropped.
pub struct Docker {
    /// Network namespace of the daemon. For its containers, this is the network of the host.
    pub netns: Netns,
    folder: TempDir,
    containerd: Child,
    daemon: Option<Child>,
}

// === impl Docker ===

impl Docker {
    /// Starts a daemon. Skips the test if a program that it needs is missing.
    ///
    /// # Panics
    /// If the daemon does not start, with its log. If a program is missing and `LONGWAVE_REQUIRE_PEERS` is `1`.
    pub fn start() -> Self {
        if let Some(missing) = NEEDED.iter().find(|program| !is_on_path(program)) {
            let missing = format!("no {missing} (install docker.io, iptables and busybox-static)");
            gate::missing(&missing, "LONGWAVE_REQUIRE_PEERS");
        }
        let folder = TempDir::new().unwrap();
        let netns = Netns::new();
        let at = |name: &str| folder.path().join(name).display().to_string();
        let config = format!(
            "version = 2\nroot = {:?}\nstate = {:?}\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\naddress = {:?}\n",
            at("containerd/root"),
            at("containerd/state"),
            at("containerd.sock"),
        );
        std::fs::write(at("containerd.toml"), config).unwrap();
        let containerd =
            netns.enter(|| spawn(folder.path(), "containerd", &["--config", &at("containerd.toml")]));
        let mut docker = Self { netns, folder, containerd, daemon: None };
        docker.await_path("containerd.sock", "containerd");
        docker.start_daemon();
        docker.make_image();
        docker
    }

    /// Returns the value of `endpoint` in the configuration of the extension `docker`.
    pub fn endpoint(&self) -> String {
        format!("unix://{}", self.path("docker.sock").display())
    }

    /// Starts the daemon again after [`Docker::stop_daemon`].
    pub fn start_daemon(&mut self) {
        let at = |name: &str| self.path(name).display().to_string();
        let (data, exec, pid) = (at("data"), at("exec"), at("docker.pid"));
        let (endpoint, containerd) = (self.endpoint(), at("containerd.sock"));
        let arguments = [
            ["--data-root", &data],
            ["--exec-root", &exec],
            ["--pidfile", &pid],
            ["--host", &endpoint],
            ["--containerd", &containerd],
            // A container may lack the capability that the default needs.
            ["--oom-score-adjust", "0"],
        ];
        self.daemon =
            Some(self.netns.enter(|| spawn(self.folder.path(), "dockerd", arguments.as_flattened())));
        let deadline = Instant::now() + LIMIT;
        while !self.try_run(&["version"]).0 {
            assert!(Instant::now() < deadline, "dockerd does not respond:\n{}", self.log("dockerd"));
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Stops the daemon and all containers.
    pub fn stop_daemon(&mut self) {
        if let Some(daemon) = self.daemon.take() {
            end(daemon);
        }
    }

    /// Runs `docker` with these arguments and returns its output.
    ///
    /// # Panics
    /// If it fails, with its output.
    pub fn run(&self, arguments: &[&str]) -> String {
        let (success, output) = self.try_run(arguments);
        assert!(success, "docker {}: {output}\n{}", arguments.join(" "), self.log("dockerd"));
        output.trim().to_owned()
    }

    /// Starts a container that echoes what it receives on `port`. `options` are passed to `docker run`.
    pub fn run_echo(&self, name: &str, options: &[&str], port: u16) {
        let port = port.to_string();
        let arguments = [
            &["run", "-d", "--stop-timeout", "1", "--name", name][..],
            options,
            &[IMAGE, "/bin/busybox", "nc", "-ll", "-p", &port, "-e", "/bin/busybox", "cat"],
        ];
        self.run(&arguments.concat());
    }

    /// Starts a container that sends five lines per second to `address` over one connection. Without a server it retries.
    pub fn run_sender(&self, name: &str, options: &[&str], address: &str, port: u16) {
        let script = format!(
            "while :; do while :; do echo hello; busybox sleep 0.2; done | busybox nc {address} {port}; busybox sleep 0.2; done"
        );
        let arguments = [
            &["run", "-d", "--stop-timeout", "1", "--name", name][..],
            options,
            &[IMAGE, "/bin/busybox", "sh", "-c", &script],
        ];
        self.run(&arguments.concat());
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn log(&self, program: &str) -> String {
        std::fs::read_to_string(self.path(&format!("{program}.log"))).unwrap_or_default()
    }

    fn try_run(&self, arguments: &[&str]) -> (bool, String) {
        let output = Command::new("docker")
            .arg("--host")
            .arg(self.endpoint())
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        (output.status.success(), format!("{}{stderr}", String::from_utf8_lossy(&output.stdout)))
    }

    fn await_path(&self, name: &str, program: &str) {
        let deadline = Instant::now() + LIMIT;
        while !self.path(name).exists() {
            assert!(Instant::now() < deadline, "{program} does not start:\n{}", self.log(program));
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn make_image(&self) {
        let root = self.path("image");
        std::fs::create_dir_all(root.join("bin")).unwrap();
        let busybox = which("busybox").unwrap();
        std::fs::copy(busybox, root.join("bin/busybox")).unwrap();
        std::fs::set_permissions(root.join("bin/busybox"), PermissionsExt::from_mode(0o755)).unwrap();
        let (archive, root) = (self.path("image.tar").display().to_string(), root.display().to_string());
        longwave_testing::netns::run("tar", &["-C", &root, "-cf", &archive, "."]);
        self.run(&["import", "--change", "ENV PATH=/bin", &archive, IMAGE]);
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        if self.daemon.is_some() {
            let (_, containers) = self.try_run(&["ps", "-aq"]);
            let containers: Vec<&str> = containers.split_whitespace().collect();
            if !containers.is_empty() {
                self.try_run(&[&["rm", "-f"][..], &containers].concat());
            }
        }
        self.stop_daemon();
        let _ = kill_process(Pid::from_child(&self.containerd), Signal::TERM);
        await_end(&mut self.containerd);
        unmount_below(self.folder.path());
        remove_empty_cgroups();
    }
}

/// Unmounts the namespaces of containers in the host's network, because the daemon does not.
fn unmount_below(folder: &Path) {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(1));
    for point in points.filter(|point| Path::new(point).starts_with(folder)) {
        let _ = Command::new("umount").arg(point).status();
    }
}

/// Removes the parent cgroups of the daemon, unless other daemons use them.
fn remove_empty_cgroups() {
    let Ok(hierarchies) = std::fs::read_dir("/sys/fs/cgroup") else { return };
    let folders = hierarchies.flatten().map(|hierarchy| hierarchy.path());
    for folder in folders.chain([PathBuf::from("/sys/fs/cgroup")]) {
        let _ = std::fs::remove_dir(folder.join("docker"));
    }
}

fn spawn(folder: &Path, program: &str, arguments: &[&str]) -> Child {
    let log = File::options().create(true).append(true).open(folder.join(format!("{program}.log"))).unwrap();
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}

fn end(mut child: Child) {
    let _ = kill_process(Pid::from_child(&child), Signal::TERM);
    await_end(&mut child);
}

fn await_end(child: &mut Child) {
    let deadline = Instant::now() + LIMIT;
    while child.try_wait().is_ok_and(|status| status.is_none()) {
        if Instant::now() > deadline {
            let _ = child.kill();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn is_on_path(program: &str) -> bool {
    which(program).is_some()
}

fn which(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}
