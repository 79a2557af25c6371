//! Starts the components in order. A component starts when those that it needs are ready.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};

use super::components::Component;
use super::layout::{
    API_PORT, DEVICE, ETCD_PEER_PORT, ETCD_PORT, KUBELET_HEALTH_PORT, Layout, NODE_IP, PAUSE_IMAGE,
    PROXY_HEALTH_PORT, TOOLS_IMAGE,
};
use super::process::Process;
use super::state::{self, ClusterState};
use super::{ProxyMode, api, cgroups, configs, credentials, down, image, netfilter};
use crate::peers::kubernetes;
use crate::sh;

/// Maximum wait for a component. Under load on two cores the API server took at most 10 s.
const LIMIT: Duration = Duration::from_secs(120);
/// Number of lines of the log of a failed component that are shown.
const TAIL: usize = 25;

/// Starts the cluster, unless it is up. If that fails, removes everything that was started.
pub fn up(layout: &Layout, mode: ProxyMode) -> Result<()> {
    if let Some(state) = ClusterState::load(layout)? {
        let ended: Vec<_> = state.processes.iter().filter(|process| !process.alive()).collect();
        let complete = state.processes.len() == ORDER.len();
        if ended.is_empty() && complete && api::ready(layout) {
            if state.mode != mode {
                bail!(
                    "cluster: is up with proxy mode {}, not {}: run `cargo xtask cluster down` first",
                    state.mode.name(),
                    mode.name()
                );
            }
            eprintln!("cluster: already up");
            return Ok(());
        }
        eprintln!("cluster: an earlier `up` left an incomplete cluster: removing it first");
        down::down(layout)?;
    }
    check()?;
    let mut starting = Starting { layout, state: ClusterState::before(mode)? };
    starting.run().map_err(|error| match down::down(layout) {
        Ok(()) => error,
        Err(left) => anyhow!("{error:#}\ncluster: then the clean-up failed: {left:#}"),
    })
}

/// Checks the conditions whose failure would otherwise show later, with an unclear message.
fn check() -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!("cluster: containers and network devices need root: run it as root");
    }
    kubernetes::check()?;
    if Path::new("/sys/class/net").join(DEVICE).exists() {
        bail!(
            "cluster: the device {DEVICE} exists: a cluster runs from another folder (`cargo xtask cluster down --dir …`)"
        );
    }
    if let Some(folder) = cgroups::pods().first() {
        bail!("cluster: {} exists: another kubelet runs on this machine", folder.display());
    }
    let version = sh::output(Command::new("iptables").arg("--version"))?;
    if !version.contains("nf_tables") {
        bail!(
            "cluster: {}: is not iptables on nftables: run `update-alternatives --set iptables /usr/sbin/iptables-nft`",
            version.trim()
        );
    }
    for port in [ETCD_PORT, ETCD_PEER_PORT, KUBELET_HEALTH_PORT, PROXY_HEALTH_PORT] {
        TcpListener::bind(("127.0.0.1", port))
            .with_context(|| format!("cluster: 127.0.0.1:{port} is taken: `ss -ltnp` shows the process"))?;
    }
    Ok(())
}

/// All components, in the order of their start.
const ORDER: [Component; 7] = [
    Component::Etcd,
    Component::Containerd,
    Component::ApiServer,
    Component::ControllerManager,
    Component::Scheduler,
    Component::Kubelet,
    Component::KubeProxy,
];

/// A cluster that is being started.
struct Starting<'a> {
    layout: &'a Layout,
    state: ClusterState,
}

// === impl Starting ===

impl Starting<'_> {
    fn run(&mut self) -> Result<()> {
        let layout = self.layout;
        fs::create_dir_all(layout.path("log"))
            .with_context(|| format!("cluster: create {}", layout.dir.display()))?;
        self.state.save(layout)?;
        credentials::write(layout)?;
        configs::write(layout, self.state.mode)?;
        self.machine()?;

        for component in ORDER {
            self.start(component)?;
            // The API server takes longest, so the images are loaded while it starts.
            if component == Component::ApiServer {
                self.wait(Component::Containerd, |layout| {
                    UnixStream::connect(layout.containerd_socket()).is_ok()
                })?;
                self.images()?;
                self.wait(Component::ApiServer, certificate)?;
                self.wait(Component::ApiServer, api::ready)?;
            }
        }
        self.wait(Component::Kubelet, |_| healthy(KUBELET_HEALTH_PORT))?;
        self.wait(Component::KubeProxy, |_| healthy(PROXY_HEALTH_PORT))?;
        // The first pod needs both.
        let account = "/api/v1/namespaces/default/serviceaccounts";
        self.watch(Component::ControllerManager, "the service account `default`", account, |object| {
            object["metadata"]["name"] == "default"
        })?;
        self.watch(Component::Kubelet, "the node being ready", "/api/v1/nodes", |node| {
            let conditions = node["status"]["conditions"].as_array();
            let ready = conditions.is_some_and(|all| {
                all.iter().any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
            });
            // The scheduler ignores a node until the controller manager has removed this taint.
            let taints = node["spec"]["taints"].as_array();
            let tainted = taints
                .is_some_and(|all| all.iter().any(|taint| taint["key"] == "node.kubernetes.io/not-ready"));
            ready && !tainted
        })?;
        self.alive()
    }

    /// Prepares the machine: an address, forwarding, rules, the BPF file system.
    fn machine(&mut self) -> Result<()> {
        sh::run(Command::new("ip").args(["link", "add", DEVICE, "type", "bridge"]))?;
        sh::run(Command::new("ip").args(["address", "add", &format!("{NODE_IP}/32"), "dev", DEVICE]))?;
        sh::run(Command::new("ip").args(["link", "set", DEVICE, "up"]))?;
        TcpListener::bind((NODE_IP, API_PORT))
            .with_context(|| format!("cluster: {NODE_IP}:{API_PORT} is taken"))?;
        state::set("net/ipv4/ip_forward", "1")?;
        netfilter::install()?;
        let mounts = fs::read_to_string("/proc/self/mounts").context("cluster: read /proc/self/mounts")?;
        if !mounts.lines().any(|line| line.split(' ').nth(1) == Some("/sys/fs/bpf")) {
            self.state.bpffs = true;
            self.state.save(self.layout)?;
            // The mount is shared, like all mounts under systemd, because a pod may use mountPropagation.
            sh::run(Command::new("mount").args(["-t", "bpf", "--make-shared", "bpf", "/sys/fs/bpf"]))?;
        }
        Ok(())
    }

    fn start(&mut self, component: Component) -> Result<()> {
        let mut command = component.command(self.layout)?;
        let process = Process::spawn(component.name(), &mut command, &self.layout.log(component.name()))
            .map_err(|error| self.component_error(component, &format!("{error:#}")))?;
        self.state.processes.push(process);
        self.state.save(self.layout)
    }

    fn images(&self) -> Result<()> {
        let layout = self.layout;
        for (name, command) in
            [(PAUSE_IMAGE, &["/bin/sleep", "2147483647"][..]), (TOOLS_IMAGE, &["/bin/sh"][..])]
        {
            let archive = layout.path("image.tar");
            image::busybox(name, command, &archive)
                .and_then(|()| image::load(layout, &archive))
                .map_err(|error| self.component_error(Component::Containerd, &format!("{error:#}")))?;
            fs::remove_file(&archive).with_context(|| format!("cluster: remove {}", archive.display()))?;
        }
        Ok(())
    }

    /// Polls until `done` returns true for `component`.
    fn wait(&self, component: Component, done: impl Fn(&Layout) -> bool) -> Result<()> {
        let until = Instant::now() + LIMIT;
        while !done(self.layout) {
            self.alive()?;
            if Instant::now() > until {
                return Err(
                    self.component_error(component, &format!("is not ready after {} s", LIMIT.as_secs()))
                );
            }
            // There is no event to wait for.
            std::thread::sleep(api::POLL_INTERVAL);
        }
        Ok(())
    }

    fn watch(
        &self,
        component: Component,
        what: &str,
        collection: &str,
        wanted: impl Fn(&serde_json::Value) -> bool,
    ) -> Result<()> {
        self.alive()?;
        api::wait_for(self.layout, collection, LIMIT, wanted, || self.alive()).map_err(|error| {
            // The error of a component that has ended already names it.
            if self.alive().is_err() {
                error
            } else {
                self.component_error(component, &format!("{what}: {error:#}"))
            }
        })
    }

    fn alive(&self) -> Result<()> {
        let ended = self.state.processes.iter().position(|process| !process.alive());
        ended.map_or(Ok(()), |at| Err(self.component_error(ORDER[at], "has ended")))
    }

    /// Returns an error that names the component and shows the end of its log, which the clean-up removes.
    fn component_error(&self, component: Component, what: &str) -> anyhow::Error {
        let log = fs::read(self.layout.log(component.name())).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<_> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(TAIL)..].join("\n  ");
        anyhow!("cluster: {}: {what}; the end of its log:\n  {tail}", component.name())
    }
}

/// Returns whether the API server has written its certificate. If it has, copies the certificate of its CA, the second one in the file, to
/// the path for clients.
fn certificate(layout: &Layout) -> bool {
    const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
    let Ok(chain) = fs::read_to_string(layout.path("apiserver/apiserver.crt")) else { return false };
    let Some(ca) = chain.match_indices(BEGIN).nth(1).map(|(at, _)| &chain[at..]) else { return false };
    ca.contains("-----END CERTIFICATE-----") && fs::write(layout.ca(), ca).is_ok()
}

/// Returns whether `GET /healthz` on this port of loopback has status 200.
fn healthy(port: u16) -> bool {
    let request = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(b"GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    request().is_ok_and(|answer| answer.split(' ').nth(1) == Some("200"))
}
