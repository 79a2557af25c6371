//! Verifies a store without changing it, also while a process uses it.

use std::io;
use std::path::Path;

use super::format::parse_segment_name;
use super::lock::{STORE_FILE, StoreVersion};
use super::queue_name;
use super::scan::Scan;

/// What a store contains.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreReport {
    /// Number of files with requests.
    pub segments: u64,
    /// Number of requests that are neither delivered nor dropped.
    pub requests: u64,
    /// Number of their records or points.
    pub items: u64,
    /// Size of the files.
    pub bytes: u64,
    /// What is wrong, with the paths of the files.
    pub damage: Vec<String>,
}

/// Reads and verifies all files of the store in a directory.
///
/// # Errors
/// The directory or a file cannot be read. The message names it.
pub fn verify(directory: &Path) -> io::Result<StoreReport> {
    let mut report = StoreReport::default();
    if let Some(text) = read(&directory.join(STORE_FILE))? {
        match StoreVersion::parse(&text) {
            StoreVersion::Newer(version) => {
                report.damage.push(format!("{STORE_FILE}: written by a newer Longwave (version {version})"));
            }
            StoreVersion::Unreadable if !text.is_empty() => {
                report.damage.push(format!("{STORE_FILE}: the version is incomplete or damaged"));
            }
            StoreVersion::Known | StoreVersion::Unreadable => {}
        }
    }
    for name in names(directory)?.iter().filter(|name| queue_name::parse(name).is_some()) {
        let queue = directory.join(name);
        for segment in names(&queue)? {
            let Some(first) = parse_segment_name(&segment) else { continue };
            // A running process may have removed it meanwhile.
            let Some(bytes) = read(&queue.join(&segment))? else { continue };
            report.add(&format!("{name}/{segment}"), &bytes, first);
        }
    }
    Ok(report)
}

/// Returns the names in a directory, sorted. Empty if there is no such directory.
fn names(directory: &Path) -> io::Result<Vec<String>> {
    let entries = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|error| with_path(directory, &error))?,
    };
    let names = entries.map(|entry| Ok(entry?.file_name().into_string().ok()));
    let mut names: Vec<String> = names.collect::<io::Result<Vec<_>>>()?.into_iter().flatten().collect();
    names.sort();
    Ok(names)
}

/// Returns the content of a file, or `None` if there is no such file.
fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match std::fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        read => read.map(Some).map_err(|error| with_path(path, &error)),
    }
}

fn with_path(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

// === impl StoreReport ===

impl StoreReport {
    fn add(&mut self, path: &str, bytes: &[u8], first: u64) {
        self.segments += 1;
        self.bytes += bytes.len() as u64;
        let scan = match Scan::new(bytes, first) {
            Ok(scan) => scan,
            Err(newer) => {
                self.damage.push(format!("{path}: written by a newer Longwave (version {})", newer.0));
                return;
            }
        };
        if scan.damage.lost_records > 0 {
            self.damage.push(format!("{path}: lost requests: {}", scan.damage.lost_records));
        }
        if scan.damage.harmless > 0 {
            self.damage
                .push(format!("{path}: damaged parts: {}, without loss of a request", scan.damage.harmless));
        }
        for record in scan.pending() {
            self.requests += 1;
            self.items += record.header.items;
            if !record.is_intact {
                let (sequence, items) = (record.header.sequence, record.header.items);
                self.damage.push(format!(
                    "{path}: request {sequence} is damaged and will be dropped ({items} items)"
                ));
            }
        }
    }
}
