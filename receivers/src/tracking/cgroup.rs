//! Finds the cgroups that do not identify the owner of a socket: the root, and that of the service manager, which creates sockets for
//! services.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;

use longwave_pipeline::component::cgroup::{Mount, ROOT};

use super::owner::SharedCgroups;

/// Returns the cgroups of the root and of process 1. What cannot be read is left out.
pub fn shared() -> SharedCgroups {
    let mut ids = vec![ROOT];
    if let Some(mount) = Mount::of_this_host() {
        let manager = fs::read("/proc/1/cgroup").unwrap_or_default();
        let below = unified(&manager).and_then(|path| mount.below(path));
        let paths = [Some(&b""[..]), below].into_iter().flatten();
        ids.extend(paths.filter_map(|path| id(&mount, path)));
    }
    ids.sort_unstable();
    ids.dedup();
    SharedCgroups(ids)
}

/// Returns the cgroup of a process. `None` if it has ended, or is outside the mount of cgroup2.
pub fn of_process(pid: u32) -> Option<u64> {
    let mount = Mount::of_this_host()?;
    let text = fs::read(format!("/proc/{pid}/cgroup")).ok()?;
    id(&mount, mount.below(unified(&text)?)?)
}

/// Returns the id of the cgroup at a path below the mount.
fn id(mount: &Mount, path: &[u8]) -> Option<u64> {
    let mut folder = mount.point.clone().into_os_string();
    folder.push(OsStr::from_bytes(path));
    fs::metadata(folder).ok().map(|metadata| metadata.ino())
}

/// Returns the cgroup2 path. `cgroups` is the content of a `/proc/<pid>/cgroup`.
fn unified(cgroups: &[u8]) -> Option<&[u8]> {
    cgroups.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"0::"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// *Scenario*: the cgroup file of a process on a host with cgroup v1 and v2, and one without v2.
    /// *Guarantees*: the path of cgroup2 is found, not that of a v1 controller.
    #[test]
    fn finds_the_unified_hierarchy() {
        assert_eq!(unified(b"2:cpu:/x\n0::/init.scope\n"), Some(&b"/init.scope"[..]));
        assert_eq!(unified(b"2:cpu:/x\n"), None);
    }
}
