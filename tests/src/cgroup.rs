//! cgroup2 directories of a test. A socket belongs to the cgroup in which it was created, until it is closed.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

/// Locked exclusively while this process is in the cgroup of a test.
static MOVED: RwLock<()> = RwLock::new(());

/// A cgroup that is removed when dropped.
pub struct Cgroup {
    path: PathBuf,
    /// The cgroup of this process before.
    original: PathBuf,
}

/// Returns the mount point of cgroup2. `None` if it is not mounted.
pub fn mount_point() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/mounts").ok()?;
    mounts.lines().find_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let (target, kind) = (fields.next()?, fields.next()?);
        (kind == "cgroup2").then(|| PathBuf::from(target))
    })
}

/// Returns the cgroup2 directory of this process.
pub fn own() -> Option<PathBuf> {
    let text = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = text.lines().find_map(|line| line.strip_prefix("0::"))?;
    Some(mount_point()?.join(path.trim_start_matches('/')))
}

/// Keeps other threads from moving this process to another cgroup until the guard is dropped. A process that is started meanwhile would be
/// in that cgroup too.
pub fn lock_original() -> RwLockReadGuard<'static, ()> {
    MOVED.read().unwrap_or_else(PoisonError::into_inner)
}

impl Cgroup {
    /// Creates a cgroup below the root of cgroup2. Its name contains the id of this process.
    ///
    /// # Panics
    /// If cgroup2 is not mounted, or is read-only.
    pub fn new(name: &str) -> Self {
        let mount = mount_point().expect("cgroup2 is not mounted");
        let _lock = lock_original();
        let original = own().unwrap_or_else(|| mount.clone());
        let path = mount.join(format!("longwave-{}-{name}", std::process::id()));
        fs::create_dir(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self { path, original }
    }

    /// Name of its directory.
    pub fn name(&self) -> String {
        self.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// Path of its directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs `work` while the whole process is in the cgroup.
    pub fn within<T>(&self, work: impl FnOnce() -> T) -> T {
        let _lock = MOVED.write().unwrap_or_else(PoisonError::into_inner);
        move_to(&self.path);
        let result = work();
        move_to(&self.original);
        result
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // Fails if the cgroup contains a process.
        let _ = fs::remove_dir(&self.path);
    }
}

fn move_to(cgroup: &Path) {
    let path = cgroup.join("cgroup.procs");
    fs::write(&path, std::process::id().to_string())
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}
