//! [`Namespaces`]: finds the host's network namespace, and enters others.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use longwave_pipeline::component::host;
use longwave_pipeline::component::host::Mount;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Minimum time between two searches of all processes.
const SEARCH_EVERY: Duration = Duration::from_secs(1);

/// Access to network namespaces, for one thread.
pub(super) struct Namespaces {
    proc: PathBuf,
    /// The namespace to which the thread returns.
    home: File,
    /// The host's namespace: that of process 1 if it is accessible, otherwise this process's own.
    host: File,
    host_inode: u64,
    /// Paths of namespaces by inode, from the last search.
    paths: HashMap<u64, PathBuf>,
    searched: Option<Instant>,
}

// === impl Namespaces ===

impl Namespaces {
    /// Creates an instance for the calling thread only.
    ///
    /// # Errors
    /// `proc` is not `/proc`.
    pub fn of_this_thread(proc: &Path) -> std::io::Result<Self> {
        let home = File::open(proc.join("thread-self/ns/net"))?;
        // Needs CAP_SYS_PTRACE, and is the host's namespace only if this process is in the host's pid namespace.
        let host = File::open(proc.join("1/ns/net")).or_else(|_| home.try_clone())?;
        let host_inode = host.metadata()?.ino();
        Ok(Self { proc: proc.to_owned(), home, host, host_inode, paths: HashMap::new(), searched: None })
    }

    /// Returns the inode of the host's namespace, as in [`longwave_pipeline::model::ConnectionId::netns`].
    pub fn host_inode(&self) -> u64 {
        self.host_inode
    }

    /// Runs `work` in the host's namespace.
    pub fn in_host<T>(&self, work: impl FnOnce() -> T) -> std::io::Result<T> {
        self.inside(&self.host, work)
    }

    /// Runs `work` in the namespace with this inode. `pids` are processes that may be in it.
    ///
    /// # Errors
    /// No path to the namespace was found, or entering it is not permitted (no CAP_SYS_ADMIN).
    pub fn in_other<T>(
        &mut self,
        inode: u64,
        pids: impl Iterator<Item = u32>,
        work: impl FnOnce() -> T,
    ) -> std::io::Result<T> {
        let file = self.find(inode, pids).ok_or(std::io::ErrorKind::NotFound)?;
        self.inside(&file, work)
    }

    /// Runs `work` in a namespace, and then moves the thread back. A thread that stays in it would keep the namespace alive after its pod
    /// is deleted.
    fn inside<T>(&self, namespace: &File, work: impl FnOnce() -> T) -> std::io::Result<T> {
        let network = Some(LinkNameSpaceType::Network);
        if namespace.metadata()?.ino() == std::fs::metadata(self.proc.join("thread-self/ns/net"))?.ino() {
            return Ok(work());
        }
        move_into_link_name_space(namespace.as_fd(), network)?;
        let result = work();
        move_into_link_name_space(self.home.as_fd(), network)?;
        Ok(result)
    }

    fn find(&mut self, inode: u64, pids: impl Iterator<Item = u32>) -> Option<File> {
        let open = |path: &Path| {
            let file = File::open(path).ok()?;
            (file.metadata().ok()?.ino() == inode).then_some(file)
        };
        let of_process = |pid: u32| open(&self.proc.join(pid.to_string()).join("ns/net"));
        if let Some(file) = pids.filter(|pid| *pid != 0).take(4).find_map(of_process) {
            return Some(file);
        }
        if let Some(file) = self.paths.get(&inode).and_then(|path| open(path)) {
            return Some(file);
        }
        if self.searched.is_some_and(|at| at.elapsed() < SEARCH_EVERY) {
            return None;
        }
        self.search();
        self.paths.get(&inode).and_then(|path| open(path))
    }

    /// Finds the namespaces of all processes, and those that bind mounts keep alive (`ip netns`, container runtimes).
    fn search(&mut self) {
        self.paths.clear();
        let entries = std::fs::read_dir(&self.proc).into_iter().flatten().flatten();
        let processes =
            entries.filter(|entry| entry.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit));
        let mounts = std::fs::read_to_string(self.proc.join("self/mountinfo")).unwrap_or_default();
        let mounted = host::mounts(&mounts).filter(Mount::is_network_namespace).map(|mount| mount.point);
        for path in processes.map(|process| process.path().join("ns/net")).chain(mounted) {
            if let Ok(metadata) = std::fs::metadata(&path) {
                self.paths.entry(metadata.ino()).or_insert(path);
            }
        }
        self.searched = Some(Instant::now());
    }
}
