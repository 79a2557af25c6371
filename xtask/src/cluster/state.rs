//! State that `down` needs: the processes that were started, and the settings of the machine before the start.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::ProxyMode;
use super::layout::Layout;
use super::netfilter::{self, Table};
use super::process::Process;

/// Kernel settings that the cluster changes. `up` changes forwarding, and the kubelet and kube-proxy change the others.
const SETTINGS: [&str; 7] = [
    "net/ipv4/ip_forward",
    "net/ipv4/conf/all/route_localnet",
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
];

/// Folders outside that of the cluster to which the components write. Their configuration cannot change this.
const FOLDERS: [&str; 8] = [
    "/var/lib/kubelet",
    "/var/lib/cni/results",
    "/var/lib/cni",
    "/var/log/containers",
    "/run/containerd/s",
    "/run/containerd/runc",
    "/run/containerd",
    "/var/run/kubernetes",
];

/// State of a cluster. It is stored in `<dir>/state.json` before each change of the machine.
#[derive(Debug, Serialize, Deserialize)]
pub struct ClusterState {
    /// How kube-proxy translates the addresses of services.
    pub mode: ProxyMode,
    /// Processes in the order of their start.
    pub processes: Vec<Process>,
    /// Former values of kernel settings, by path below `/proc/sys`.
    pub settings: BTreeMap<String, String>,
    /// Folders that did not exist before, children first.
    pub absent: Vec<PathBuf>,
    /// nftables tables that existed before.
    pub tables: Vec<Table>,
    /// Whether `up` mounted the BPF file system, because it was not mounted.
    pub bpffs: bool,
}

// === impl ClusterState ===

impl ClusterState {
    /// Returns the state of the machine before anything is started.
    pub fn before(mode: ProxyMode) -> Result<Self> {
        let setting = |name: &&str| Some(((*name).to_owned(), read_setting(name)?));
        Ok(Self {
            mode,
            processes: Vec::new(),
            settings: SETTINGS.iter().filter_map(setting).collect(),
            absent: FOLDERS.iter().map(PathBuf::from).filter(|folder| !folder.exists()).collect(),
            tables: netfilter::tables()?,
            bpffs: false,
        })
    }

    /// Reads the state from the file. `None` if there is no cluster.
    pub fn load(layout: &Layout) -> Result<Option<Self>> {
        let path = layout.state();
        if !path.is_file() {
            return Ok(None);
        }
        let text = fs::read(&path).with_context(|| format!("cluster: read {}", path.display()))?;
        let state = serde_json::from_slice(&text).with_context(|| {
            format!(
                "cluster: {}: was not written by `cluster up`: end the processes that run from its folder by hand",
                path.display()
            )
        })?;
        Ok(Some(state))
    }

    /// Writes the state to the file by a rename, so that the file is never half written.
    pub fn save(&self, layout: &Layout) -> Result<()> {
        let (path, new) = (layout.state(), layout.path("state.json.new"));
        let text = serde_json::to_vec_pretty(self).context("cluster: write the state")?;
        fs::write(&new, text)
            .and_then(|()| fs::rename(&new, &path))
            .with_context(|| format!("cluster: write {}", path.display()))
    }

    /// Restores the kernel settings. Returns an error message for each that could not be restored. Keeps forwarding enabled if Docker runs,
    /// because Docker needs it.
    pub fn restore_settings(&self) -> Vec<String> {
        let docker = Path::new("/sys/class/net/docker0").exists();
        let mut failed = Vec::new();
        for (name, before) in &self.settings {
            let keep = docker && name == "net/ipv4/ip_forward";
            if !keep
                && read_setting(name).is_some_and(|now| now != *before)
                && let Err(error) = fs::write(Path::new("/proc/sys").join(name), before)
            {
                failed.push(format!("/proc/sys/{name} could not be set back to {before}: {error}"));
            }
        }
        failed
    }
}

/// Sets one kernel setting.
pub fn set(name: &str, value: &str) -> Result<()> {
    let path = Path::new("/proc/sys").join(name);
    fs::write(&path, value).with_context(|| format!("cluster: write {value} to {}", path.display()))
}

fn read_setting(name: &str) -> Option<String> {
    fs::read_to_string(Path::new("/proc/sys").join(name)).ok().map(|value| value.trim().to_owned())
}
