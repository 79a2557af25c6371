//! Finds which process has a descriptor of a socket, under `/proc/<pid>/fd`. Only processes that this user may inspect are found.
//!
//! Each pass searches only for a limited time, so that a search can take several passes. It looks for the sockets that were known when it began.

use std::fs;
use std::mem;
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use longwave_ebpf_abi::Owner;

use crate::tracking::cgroup;

/// A process that has a descriptor of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Holder {
    pid: u32,
    name: [u8; 16],
    cgroup: u64,
}

/// A search among the descriptors of all processes.
#[derive(Debug, Default)]
pub(super) struct HolderSearch {
    /// Cookies of the sockets to find, by inode.
    wanted: HashMap<u32, u64, foldhash::fast::RandomState>,
    /// Processes to visit, in reverse order.
    processes: Vec<u32>,
}

/// Results of a part of a search.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct SearchResult {
    /// Cookies, and a process that has a descriptor.
    pub holders: Vec<(u64, Holder)>,
    /// Cookies of the sockets without a process. Empty until the search is complete.
    pub missing: Vec<u64>,
}

// === impl Holder ===

impl Holder {
    /// Sets the process of an owner.
    pub fn complete(&self, owner: &mut Owner) {
        owner.pid = self.pid;
        owner.name = self.name;
        owner.process_cgroup = self.cgroup;
    }

    /// Reads name and cgroup of a process. `None` if it has ended.
    fn read(pid: u32) -> Option<Self> {
        let comm = fs::read(format!("/proc/{pid}/comm")).ok()?;
        let mut name = [0; 16];
        let comm = comm.strip_suffix(b"\n").unwrap_or(&comm);
        let length = comm.len().min(name.len() - 1);
        name[..length].copy_from_slice(&comm[..length]);
        Some(Self { pid, name, cgroup: cgroup::of_process(pid).unwrap_or(0) })
    }
}

// === impl HolderSearch ===

impl HolderSearch {
    /// Returns whether a search is running.
    pub fn is_running(&self) -> bool {
        !self.wanted.is_empty()
    }

    /// Begins a search for the sockets with these inodes and cookies.
    pub fn begin(&mut self, wanted: impl Iterator<Item = (u32, u64)>) {
        self.wanted = wanted.collect();
        if self.wanted.is_empty() {
            return;
        }
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        self.processes = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
        self.processes.sort_unstable_by(|a, b| b.cmp(a));
    }

    /// Continues the search, for about `at_most`.
    pub fn run(&mut self, at_most: Duration) -> SearchResult {
        let (start, mut found) = (Instant::now(), SearchResult::default());
        while !self.wanted.is_empty()
            && let Some(pid) = self.processes.pop()
        {
            self.visit(pid, &mut found);
            if start.elapsed() >= at_most && !self.processes.is_empty() {
                return found;
            }
        }
        found.missing = mem::take(&mut self.wanted).into_values().collect();
        self.processes = Vec::new();
        found
    }

    fn visit(&mut self, pid: u32, found: &mut SearchResult) {
        let mut holder = None;
        for entry in fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten() {
            let Ok(target) = fs::read_link(entry.path()) else { continue };
            let Some(inode) = socket_inode(target.as_os_str().as_bytes()) else { continue };
            let Some(cookie) = self.wanted.get(&inode).copied() else { continue };
            if holder.is_none() {
                holder = Holder::read(pid);
            }
            if let Some(holder) = holder {
                self.wanted.remove(&inode);
                found.holders.push((cookie, holder));
            }
        }
    }
}

/// Parses the target of a socket's descriptor, `socket:[<inode>]`.
fn socket_inode(target: &[u8]) -> Option<u32> {
    let inode = target.strip_prefix(b"socket:[")?.strip_suffix(b"]")?;
    std::str::from_utf8(inode).ok()?.parse().ok()
}
