//! cgroup2 directories of a test. A socket belongs to the cgroup in which it was made until it is closed.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

/// Locked exclusively while this process is in a cgroup.
static INSIDE: RwLock<()> = RwLock::new(());

/// A cgroup that is removed when dropped.
pub struct Cgroup {
    path: PathBuf,
    home: PathBuf,
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

/// Keeps other threads from moving this process to a cgroup: processes that the test starts would be in it too.
pub fn at_home() -> RwLockReadGuard<'static, ()> {
    INSIDE.read().unwrap_or_else(PoisonError::into_inner)
}

impl Cgroup {
    /// Makes a cgroup below the root of cgroup2. Its name contains the id of this process.
    ///
    /// # Panics
    /// If cgroup2 is not mounted or read-only.
    pub fn new(name: &str) -> Self {
        let mount = mount_point().expect("cgroup2 is not mounted");
        let _at_home = at_home();
        let home = own().unwrap_or_else(|| mount.clone());
        let path = mount.join(format!("longwave-{}-{name}", std::process::id()));
        fs::create_dir(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self { path, home }
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
        let _inside = INSIDE.write().unwrap_or_else(PoisonError::into_inner);
        move_to(&self.path);
        let result = work();
        move_to(&self.home);
        result
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // Fails if a process is in it.
        let _ = fs::remove_dir(&self.path);
    }
}

fn move_to(cgroup: &Path) {
    let path = cgroup.join("cgroup.procs");
    fs::write(&path, std::process::id().to_string())
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}
