//! `cargo xtask cluster`: a real Kubernetes with one node, on this machine. `down` removes everything that `up` created.
//!
//! Everything runs in the machine's own namespaces, as on a real node. All files are in one folder, except those that the components always
//! write elsewhere (`state.rs`). `layout.rs` names the network device, addresses, ports and rules. The cluster starts without DNS and
//! without pods.

mod api;
mod cgroups;
mod components;
mod configs;
mod credentials;
mod down;
mod image;
mod layout;
mod netfilter;
mod process;
mod state;
mod up;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};

use crate::cache;
use layout::Layout;

/// `cargo xtask cluster …`
#[derive(Subcommand)]
pub enum Command {
    /// Start the cluster, unless it is up, and print its paths and addresses as JSON.
    Up {
        #[command(flatten)]
        folder: ClusterFolder,
        /// How kube-proxy translates the addresses of services.
        #[arg(long, value_enum, default_value_t)]
        proxy_mode: ProxyMode,
    },
    /// Stop the cluster and remove everything that it left.
    Down(ClusterFolder),
    /// Print the paths and addresses of the cluster as JSON. Fails if it is down.
    Info(ClusterFolder),
    /// Import images that `docker save` or `cargo xtask cluster image` wrote, for pods with `imagePullPolicy: Never`.
    Load {
        #[command(flatten)]
        folder: ClusterFolder,
        /// The archives.
        #[arg(required = true)]
        archives: Vec<PathBuf>,
    },
    /// Write an image that contains one static program. busybox gets a link for each of its tools.
    Image(image::Options),
}

/// The cluster that a command is for.
#[derive(Args)]
pub struct ClusterFolder {
    /// Folder of all files of the cluster.
    #[arg(long, default_value = layout::default_dir().as_os_str())]
    dir: PathBuf,
}

/// How kube-proxy translates the addresses of services.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProxyMode {
    /// With tables named `kube-proxy`.
    #[default]
    Nftables,
    /// With chains named `KUBE-…` in the tables of iptables.
    Iptables,
}

// === impl ProxyMode ===

impl ProxyMode {
    /// The name in the configuration of kube-proxy.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nftables => "nftables",
            Self::Iptables => "iptables",
        }
    }
}

/// Runs one `cluster` command.
pub fn main(command: Command) -> Result<()> {
    // One command at a time, also for different folders: the bridge and the ports are shared.
    let lock =
        std::fs::File::create(cache::dir("cluster")?.join("lock")).context("cluster: create the lock")?;
    if !matches!(command, Command::Image(_) | Command::Info(_)) {
        lock.lock().context("cluster: wait for another `cluster` command")?;
    }
    let started = Instant::now();
    match command {
        Command::Up { folder, proxy_mode } => {
            let layout = folder.layout()?;
            up::up(&layout, proxy_mode)?;
            eprintln!("cluster: up, {:.1} s", started.elapsed().as_secs_f64());
            info(&layout)
        }
        Command::Down(folder) => {
            down::down(&folder.layout()?)?;
            eprintln!("cluster: down, {:.1} s", started.elapsed().as_secs_f64());
            Ok(())
        }
        Command::Info(folder) => info(&folder.layout()?),
        Command::Load { folder, archives } => {
            let layout = folder.layout()?;
            archives.iter().try_for_each(|archive| image::load(&layout, archive))
        }
        Command::Image(options) => image::main(&options),
    }
}

fn info(layout: &Layout) -> Result<()> {
    let Some(state) = state::ClusterState::load(layout)? else {
        bail!("cluster: is down: run `cargo xtask cluster up`");
    };
    let info = serde_json::json!({
        "kubeconfig": layout.kubeconfig(),
        "token": layout.token(),
        "header": layout.header(),
        "ca": layout.ca(),
        "server": layout::api_url(),
        "node": layout::NODE,
        "node_ip": layout::NODE_IP,
        "pod_cidr": layout::POD_CIDR,
        "service_cidr": layout::SERVICE_CIDR,
        "proxy_mode": state.mode.name(),
        "image": layout::TOOLS_IMAGE,
        "containerd": layout.containerd_socket(),
        "logs": layout.path("log"),
        "static_pods": layout.path("manifests"),
    });
    println!("{info:#}");
    Ok(())
}

// === impl ClusterFolder ===

impl ClusterFolder {
    /// Returns the layout with an absolute path, because the components run in another working directory.
    fn layout(&self) -> Result<Layout> {
        let dir =
            std::path::absolute(&self.dir).with_context(|| format!("cluster: {}", self.dir.display()))?;
        // The path of a socket has at most 108 bytes.
        if dir.as_os_str().len() > 60 {
            bail!(
                "cluster: --dir {}: longer than 60 bytes: sockets below it could not be opened",
                dir.display()
            );
        }
        Ok(Layout { dir })
    }
}
