//! What `down` must know: what was started, and what the machine was like before.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::ProxyMode;
use super::layout::Layout;
use super::netfilter::{self, Table};
use super::process::Process;

/// What the components change of the machine: `up` forwarding, the kubelet how the kernel meets trouble.
const SETTINGS: [&str; 7] = [
    "net/ipv4/ip_forward",
    "net/ipv4/conf/all/route_localnet",
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
];

/// Folders outside ours that the components write to, whatever they are told.
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

/// Kept in `<dir>/state.json`, written before what it tells of is done.
#[derive(Debug, Serialize, Deserialize)]
pub struct State {
    /// How services are done.
    pub mode: ProxyMode,
    /// In the order of their start.
    pub processes: Vec<Process>,
    /// Kernel settings before, by their path below `/proc/sys`.
    pub settings: BTreeMap<String, String>,
    /// Folders that did not exist before, children first.
    pub absent: Vec<PathBuf>,
    /// The nftables tables before.
    pub tables: Vec<Table>,
    /// Whether we mounted the BPF file system, as a distribution would have.
    pub bpffs: bool,
}

// === impl State ===

impl State {
    /// The machine as it is now, with nothing started.
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

    /// Reads it back; `None` where there is no cluster.
    pub fn load(layout: &Layout) -> Result<Option<Self>> {
        let path = layout.state();
        if !path.is_file() {
            return Ok(None);
        }
        let text = fs::read(&path).with_context(|| format!("cluster: read {}", path.display()))?;
        let state = serde_json::from_slice(&text).with_context(|| {
            format!(
                "cluster: {}: is not what `cluster up` writes: end what runs from its folder by hand",
                path.display()
            )
        })?;
        Ok(Some(state))
    }

    /// Writes it, whole or not at all.
    pub fn save(&self, layout: &Layout) -> Result<()> {
        let (path, new) = (layout.state(), layout.path("state.json.new"));
        let text = serde_json::to_vec_pretty(self).context("cluster: write the state")?;
        fs::write(&new, text)
            .and_then(|()| fs::rename(&new, &path))
            .with_context(|| format!("cluster: write {}", path.display()))
    }

    /// Puts the kernel's settings back, and says which could not be. Forwarding stays where Docker has come to need it.
    pub fn restore_settings(&self) -> Vec<String> {
        let docker = Path::new("/sys/class/net/docker0").exists();
        let mut failed = Vec::new();
        for (name, before) in &self.settings {
            let keep = docker && name == "net/ipv4/ip_forward";
            if !keep
                && read_setting(name).is_some_and(|now| now != *before)
                && let Err(error) = fs::write(Path::new("/proc/sys").join(name), before)
            {
                failed.push(format!("/proc/sys/{name} is not {before} again: {error}"));
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
