//! Network namespaces of the host: those of threads and those of bind mounts.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use longwave_pipeline::component::host;
use longwave_pipeline::component::host::Mount;

/// Network namespaces that were found.
#[derive(Debug, Default)]
pub struct Namespaces {
    /// Path of a file through which the namespace can be entered, by the inode of the namespace.
    pub paths: BTreeMap<u64, PathBuf>,
    /// Threads whose namespace could not be read, because they ended meanwhile or because CAP_SYS_PTRACE is missing.
    pub unreadable: usize,
}

/// File of the calling thread's namespace.
const OWN: &str = "/proc/thread-self/ns/net";

/// Returns the inode of the calling thread's namespace; `None` if `/proc` is not mounted.
pub fn own() -> Option<u64> {
    fs::metadata(OWN).ok().map(|metadata| metadata.ino())
}

/// Finds the network namespaces under `/proc` and in the mount table.
pub fn find() -> Namespaces {
    let mut found = Namespaces::default();
    add(&mut found, Path::new(OWN));
    for process in numbered(Path::new("/proc")) {
        // The threads of a process can be in different namespaces.
        for thread in numbered(&process.join("task")) {
            add(&mut found, &thread.join("ns/net"));
        }
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    for mount in host::mounts(&mounts).filter(Mount::is_network_namespace) {
        add(&mut found, &mount.point);
    }
    found
}

/// Returns the paths in a folder whose names are numbers.
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

/// Moves the calling thread into a network namespace. The thread should end soon, because it cannot return.
pub fn enter(path: &Path) -> std::io::Result<()> {
    use std::os::fd::AsFd;
    let file = File::open(path)?;
    let kind = Some(rustix::thread::LinkNameSpaceType::Network);
    Ok(rustix::thread::move_into_link_name_space(file.as_fd(), kind)?)
}
