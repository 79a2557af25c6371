//! Starting everything in order, each when what it needs is ready.

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
use super::state::{self, State};
use super::{ProxyMode, api, cgroups, configs, credentials, down, image, netfilter};
use crate::peers::kubernetes;
use crate::sh;

/// Under load on two cores the API server took 10 s at most.
const LIMIT: Duration = Duration::from_secs(120);
/// Lines of a failed component's log that are shown.
const TAIL: usize = 25;

/// Starts the cluster, unless it is up; after a failure nothing is left of it but the error.
pub fn up(layout: &Layout, mode: ProxyMode) -> Result<()> {
    if let Some(state) = State::load(layout)? {
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
            eprintln!("cluster: is up already");
            return Ok(());
        }
        eprintln!("cluster: what an earlier `up` left is not whole: removing it first");
        down::down(layout)?;
    }
    check()?;
    let mut starting = Starting { layout, state: State::before(mode)? };
    starting.run().map_err(|error| match down::down(layout) {
        Ok(()) => error,
        Err(left) => anyhow!("{error:#}\ncluster: and then, cleaning up: {left:#}"),
    })
}

/// What would otherwise fail later, with a worse message.
fn check() -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!("cluster: containers and network devices need root: run it as root");
    }
    kubernetes::check()?;
    if Path::new("/sys/class/net").join(DEVICE).exists() {
        bail!(
            "cluster: the device {DEVICE} is there: a cluster runs from another folder (`cargo xtask cluster down --dir …`)"
        );
    }
    if let Some(folder) = cgroups::pods().first() {
        bail!("cluster: {} is there: another kubelet runs on this machine", folder.display());
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
            .with_context(|| format!("cluster: 127.0.0.1:{port} is taken: `ss -ltnp` tells by whom"))?;
    }
    Ok(())
}

const ORDER: [Component; 7] = [
    Component::Etcd,
    Component::Containerd,
    Component::ApiServer,
    Component::ControllerManager,
    Component::Scheduler,
    Component::Kubelet,
    Component::KubeProxy,
];

/// A cluster on its way up.
struct Starting<'a> {
    layout: &'a Layout,
    state: State,
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
            // The API server takes longest; what does not need it is done meanwhile.
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
        // Both are needed by the first pod that anybody applies.
        let account = "/api/v1/namespaces/default/serviceaccounts";
        self.watch(Component::ControllerManager, "the service account `default`", account, |object| {
            object["metadata"]["name"] == "default"
        })?;
        self.watch(Component::Kubelet, "the node being ready", "/api/v1/nodes", |node| {
            let conditions = node["status"]["conditions"].as_array();
            let ready = conditions.is_some_and(|all| {
                all.iter().any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
            });
            // The scheduler passes over a node until the controller manager has taken this mark from it.
            let taints = node["spec"]["taints"].as_array();
            let tainted = taints
                .is_some_and(|all| all.iter().any(|taint| taint["key"] == "node.kubernetes.io/not-ready"));
            ready && !tainted
        })?;
        self.alive()
    }

    /// What the node needs of the machine: an address, forwarding, rules, the BPF file system.
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
            // Shared, as systemd makes all mounts: a pod may ask for it with mountPropagation.
            sh::run(Command::new("mount").args(["-t", "bpf", "--make-shared", "bpf", "/sys/fs/bpf"]))?;
        }
        Ok(())
    }

    fn start(&mut self, component: Component) -> Result<()> {
        let mut command = component.command(self.layout)?;
        let process = Process::spawn(component.name(), &mut command, &self.layout.log(component.name()))
            .map_err(|error| self.blame(component, &format!("{error:#}")))?;
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
                .map_err(|error| self.blame(Component::Containerd, &format!("{error:#}")))?;
            fs::remove_file(&archive).with_context(|| format!("cluster: remove {}", archive.display()))?;
        }
        Ok(())
    }

    /// Until a component does what it is there for.
    fn wait(&self, component: Component, done: impl Fn(&Layout) -> bool) -> Result<()> {
        let until = Instant::now() + LIMIT;
        while !done(self.layout) {
            self.alive()?;
            if Instant::now() > until {
                return Err(self.blame(component, &format!("is not ready after {} s", LIMIT.as_secs())));
            }
            // It has no event to wait for: a port that will listen, a file that will be there.
            std::thread::sleep(api::GLANCE);
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
            // A component that has ended has its own message already.
            if self.alive().is_err() { error } else { self.blame(component, &format!("{what}: {error:#}")) }
        })
    }

    fn alive(&self) -> Result<()> {
        let ended = self.state.processes.iter().position(|process| !process.alive());
        ended.map_or(Ok(()), |at| Err(self.blame(ORDER[at], "has ended")))
    }

    /// An error that names the component and shows the end of its log, which is gone after the clean-up.
    fn blame(&self, component: Component, what: &str) -> anyhow::Error {
        let log = fs::read(self.layout.log(component.name())).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<_> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(TAIL)..].join("\n  ");
        anyhow!("cluster: {}: {what}; the end of its log:\n  {tail}", component.name())
    }
}

/// Whether the API server has written its certificate; its CA is the second in the file, and becomes ours to show.
fn certificate(layout: &Layout) -> bool {
    const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
    let Ok(chain) = fs::read_to_string(layout.path("apiserver/apiserver.crt")) else { return false };
    let Some(ca) = chain.match_indices(BEGIN).nth(1).map(|(at, _)| &chain[at..]) else { return false };
    ca.contains("-----END CERTIFICATE-----") && fs::write(layout.ca(), ca).is_ok()
}

/// `GET /healthz` on loopback.
fn healthy(port: u16) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(b"GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.split(' ').nth(1) == Some("200"))
}
