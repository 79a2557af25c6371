//! `cargo xtask cluster`: a real Kubernetes with one node, on this machine, without a trace when it is gone.
//!
//! Everything runs in the machine's own namespaces, as on a real node. All files are below one folder; what must be outside
//! (network devices, rules, cgroups) is named in `layout.rs`. Nothing is applied: no DNS, no pods.

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
    /// Start it, unless it is up, and print where things are.
    Up {
        #[command(flatten)]
        place: Place,
        /// How kube-proxy rewrites what goes to services.
        #[arg(long, value_enum, default_value_t)]
        proxy_mode: ProxyMode,
    },
    /// End it and remove every trace.
    Down(Place),
    /// Print where things are, as JSON; fails if it is down.
    Info(Place),
    /// Import an image, as `docker save` or `cargo xtask cluster image` write it, for pods with `imagePullPolicy: Never`.
    Load {
        #[command(flatten)]
        place: Place,
        /// The archives.
        #[arg(required = true)]
        archives: Vec<PathBuf>,
    },
    /// Write an image without a registry: from nothing, with one static program; busybox gets its tools.
    Image(image::Options),
}

/// Which cluster.
#[derive(Args)]
pub struct Place {
    /// The folder of everything that is the cluster's.
    #[arg(long, default_value = layout::default_dir().as_os_str())]
    dir: PathBuf,
}

/// kube-proxy's ways.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProxyMode {
    /// Its tables `kube-proxy`.
    #[default]
    Nftables,
    /// Chains named `KUBE-…`.
    Iptables,
}

// === impl ProxyMode ===

impl ProxyMode {
    /// As kube-proxy calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nftables => "nftables",
            Self::Iptables => "iptables",
        }
    }
}

/// Runs one `cluster` command.
pub fn main(command: Command) -> Result<()> {
    // One at a time, also from different folders: there is one bridge, one set of ports.
    let lock =
        std::fs::File::create(cache::dir("cluster")?.join("lock")).context("cluster: create the lock")?;
    if !matches!(command, Command::Image(_) | Command::Info(_)) {
        lock.lock().context("cluster: wait for another `cluster` command")?;
    }
    let started = Instant::now();
    match command {
        Command::Up { place, proxy_mode } => {
            let layout = place.layout()?;
            up::up(&layout, proxy_mode)?;
            eprintln!("cluster: up, {:.1} s", started.elapsed().as_secs_f64());
            info(&layout)
        }
        Command::Down(place) => {
            down::down(&place.layout()?)?;
            eprintln!("cluster: down, {:.1} s", started.elapsed().as_secs_f64());
            Ok(())
        }
        Command::Info(place) => info(&place.layout()?),
        Command::Load { place, archives } => {
            let layout = place.layout()?;
            archives.iter().try_for_each(|archive| image::load(&layout, archive))
        }
        Command::Image(options) => image::main(&options),
    }
}

fn info(layout: &Layout) -> Result<()> {
    let Some(state) = state::State::load(layout)? else {
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

// === impl Place ===

impl Place {
    /// Absolute, because the components run in another working folder.
    fn layout(&self) -> Result<Layout> {
        let dir =
            std::path::absolute(&self.dir).with_context(|| format!("cluster: {}", self.dir.display()))?;
        // A socket's path has 108 bytes.
        if dir.as_os_str().len() > 60 {
            bail!(
                "cluster: --dir {}: longer than 60 bytes: sockets below it could not be opened",
                dir.display()
            );
        }
        Ok(Layout { dir })
    }
}
