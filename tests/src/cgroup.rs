//! cgroup2 directories of the test's own: sockets made while in one belong to it for life.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

/// Held exclusively while this process is inside a cgroup.
static INSIDE: RwLock<()> = RwLock::new(());

/// A cgroup; removed when dropped.
pub struct Cgroup {
    path: PathBuf,
    home: PathBuf,
}

/// Where cgroup2 is mounted, if it is.
pub fn mount_point() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/mounts").ok()?;
    mounts.lines().find_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let (target, kind) = (fields.next()?, fields.next()?);
        (kind == "cgroup2").then(|| PathBuf::from(target))
    })
}

/// The test's own cgroup2 directory.
pub fn own() -> Option<PathBuf> {
    let text = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = text.lines().find_map(|line| line.strip_prefix("0::"))?;
    Some(mount_point()?.join(path.trim_start_matches('/')))
}

/// While it is held no other thread has this process in its cgroup: what another test starts would go there too, and stay.
pub fn at_home() -> RwLockReadGuard<'static, ()> {
    INSIDE.read().unwrap_or_else(PoisonError::into_inner)
}

impl Cgroup {
    /// Makes one below the root of cgroup2, with this process in its number.
    ///
    /// # Panics
    /// Without cgroup2, or where it is read-only.
    pub fn new(name: &str) -> Self {
        let mount = mount_point().expect("cgroup2 is not mounted");
        let _at_home = at_home();
        let home = own().unwrap_or_else(|| mount.clone());
        let path = mount.join(format!("longwave-{}-{name}", std::process::id()));
        fs::create_dir(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self { path, home }
    }

    /// Its directory's name.
    pub fn name(&self) -> String {
        self.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// Its directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs `work` with this whole process inside the cgroup.
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
        // Fails while a process is inside; the directory then stays, empty, for whoever looks for the reason.
        let _ = fs::remove_dir(&self.path);
    }
}

fn move_to(cgroup: &Path) {
    let path = cgroup.join("cgroup.procs");
    fs::write(&path, std::process::id().to_string())
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}
