//! Network namespaces: which is the host's, and how to get into others.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use longwave_pipeline::component::host;
use longwave_pipeline::component::host::Mount;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Between two searches of all processes.
const SEARCH_EVERY: Duration = Duration::from_secs(1);

/// Ways into namespaces.
pub(super) struct Namespaces {
    proc: PathBuf,
    /// Where the thread came from and returns to.
    home: File,
    /// The host's: the first process's, where that can be seen.
    host: File,
    host_inode: u64,
    /// Where a namespace was found by the last search.
    ways: HashMap<u64, PathBuf>,
    searched: Option<Instant>,
}

// === impl Namespaces ===

impl Namespaces {
    /// For the calling thread, and only for it.
    ///
    /// # Errors
    /// `proc` is not `/proc`.
    pub fn of_this_thread(proc: &Path) -> std::io::Result<Self> {
        let home = File::open(proc.join("thread-self/ns/net"))?;
        // Seen only with CAP_SYS_PTRACE, and the host's only in its pid namespace; without, this process's own has to do.
        let host = File::open(proc.join("1/ns/net")).or_else(|_| home.try_clone())?;
        let host_inode = host.metadata()?.ino();
        Ok(Self { proc: proc.to_owned(), home, host, host_inode, ways: HashMap::new(), searched: None })
    }

    /// The host's, as records name it.
    pub fn host_inode(&self) -> u64 {
        self.host_inode
    }

    /// Runs `work` in the host's.
    pub fn in_host<T>(&self, work: impl FnOnce() -> T) -> std::io::Result<T> {
        self.inside(&self.host, work)
    }

    /// Runs `work` in namespace `inode`. `pids`: processes that may be in it.
    ///
    /// # Errors
    /// No way in was found, or it is closed (no CAP_SYS_ADMIN).
    pub fn in_other<T>(
        &mut self,
        inode: u64,
        pids: impl Iterator<Item = u32>,
        work: impl FnOnce() -> T,
    ) -> std::io::Result<T> {
        let file = self.find(inode, pids).ok_or(std::io::ErrorKind::NotFound)?;
        self.inside(&file, work)
    }

    /// The thread is never left in a namespace: that would keep it alive after its pod.
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
        if let Some(file) = self.ways.get(&inode).and_then(|path| open(path)) {
            return Some(file);
        }
        if self.searched.is_some_and(|at| at.elapsed() < SEARCH_EVERY) {
            return None;
        }
        self.search();
        self.ways.get(&inode).and_then(|path| open(path))
    }

    /// Namespaces of processes, and those that bind mounts keep (`ip netns`, container runtimes).
    fn search(&mut self) {
        self.ways.clear();
        let entries = std::fs::read_dir(&self.proc).into_iter().flatten().flatten();
        let processes =
            entries.filter(|entry| entry.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit));
        let mounts = std::fs::read_to_string(self.proc.join("self/mountinfo")).unwrap_or_default();
        let mounted = host::mounts(&mounts).filter(Mount::is_network_namespace).map(|mount| mount.point);
        for path in processes.map(|process| process.path().join("ns/net")).chain(mounted) {
            if let Ok(metadata) = std::fs::metadata(&path) {
                self.ways.entry(metadata.ino()).or_insert(path);
            }
        }
        self.searched = Some(Instant::now());
    }
}
