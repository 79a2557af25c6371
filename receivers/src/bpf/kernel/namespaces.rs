//! The host's network namespaces: those of processes, and those that bind mounts keep.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A way into each network namespace, by its inode.
#[derive(Debug, Default)]
pub struct Namespaces {
    /// Namespace inode → a file to enter it by.
    pub paths: BTreeMap<u64, PathBuf>,
    /// Processes whose namespace could not be read (gone meanwhile, or CAP_SYS_PTRACE is missing).
    pub unreadable: usize,
}

/// The calling thread's namespace.
const OWN: &str = "/proc/thread-self/ns/net";

/// Inode of the calling thread's namespace; `None` where `/proc` is not mounted.
pub fn own() -> Option<u64> {
    fs::metadata(OWN).ok().map(|metadata| metadata.ino())
}

/// Looks for all network namespaces under `/proc` and in the mount table.
pub fn find() -> Namespaces {
    let mut found = Namespaces::default();
    add(&mut found, Path::new(OWN));
    for process in numbered(Path::new("/proc")) {
        // Each thread has a namespace of its own.
        for thread in numbered(&process.join("task")) {
            add(&mut found, &thread.join("ns/net"));
        }
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    for path in mounts.lines().filter_map(mounted_namespace) {
        add(&mut found, &path);
    }
    found
}

/// Entries of a folder whose names are numbers.
fn numbered(folder: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit))
        .map(|entry| entry.path())
}

fn add(found: &mut Namespaces, path: &Path) {
    match fs::metadata(path) {
        Ok(metadata) => {
            found.paths.entry(metadata.ino()).or_insert_with(|| path.to_owned());
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(_) => found.unreadable += 1,
    }
}

/// The mount point of a line of mountinfo that keeps a network namespace (`ip netns add` and container runtimes do so).
fn mounted_namespace(line: &str) -> Option<PathBuf> {
    let (mount, filesystem) = line.split_once(" - ")?;
    let mut fields = mount.split(' ').skip(3);
    let (root, point) = (fields.next()?, fields.next()?);
    (filesystem.starts_with("nsfs ") && root.starts_with("net:[")).then(|| PathBuf::from(unescape(point)))
}

/// Undoes the mount table's octal escapes.
fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        if first == b'\\'
            && let Some(digits) = after.get(..3)
            && let Ok(digits) = std::str::from_utf8(digits)
            && let Ok(byte) = u8::from_str_radix(digits, 8)
        {
            bytes.push(byte);
            rest = &after[3..];
        } else {
            bytes.push(first);
            rest = after;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Moves the calling thread into a network namespace. For threads that end soon: there is no way back.
pub fn enter(path: &Path) -> std::io::Result<()> {
    use std::os::fd::AsFd;
    let file = File::open(path)?;
    let kind = Some(rustix::thread::LinkNameSpaceType::Network);
    Ok(rustix::thread::move_into_link_name_space(file.as_fd(), kind)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: lines of a mount table: a kept network namespace with a space in its path, a kept pid namespace, a disk.
    /// Guarantees: only the network namespace is found, under its real path.
    #[test]
    fn finds_kept_network_namespaces_in_the_mount_table() {
        let net = "44 26 0:4 net:[4026532281] /run/netns/a\\040b rw shared:7 - nsfs nsfs rw";
        assert_eq!(mounted_namespace(net), Some(PathBuf::from("/run/netns/a b")));
        assert_eq!(mounted_namespace("44 26 0:4 pid:[4026532281] /run/x rw - nsfs nsfs rw"), None);
        assert_eq!(mounted_namespace("26 1 254:0 / / rw,relatime - ext4 /dev/root rw"), None);
        assert_eq!(mounted_namespace("nonsense"), None);
    }
}
