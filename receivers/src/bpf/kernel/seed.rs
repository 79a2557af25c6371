//! Seeds connections and listeners that are older than the programs.

use super::walk::{Walk, WalkError};
use crate::host::namespaces;

/// Result of seeding.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeedReport {
    /// Connections that seeding entered into the table.
    pub seeded: u64,
    /// Network namespaces whose sockets were walked, to find those of which no process has a descriptor.
    pub namespaces_entered: usize,
    /// Network namespaces that could not be entered, with the reason, for example because CAP_SYS_ADMIN is missing. A socket there is only
    /// found if a process has a descriptor of it.
    pub namespaces_refused: Vec<String>,
    /// Threads whose namespace could not be read, likely because CAP_SYS_PTRACE is missing.
    pub processes_unreadable: usize,
    /// Error messages of walks that failed or that the kernel refused.
    pub failures: Vec<String>,
}

/// Walks the descriptors of all processes, then the sockets of each namespace, as far as the kernel permits. Idempotent.
pub fn run(files: Option<&Walk>, namespace: Option<&Walk>) -> SeedReport {
    let mut report = SeedReport::default();
    if let Some(files) = files {
        add_failure(&mut report.failures, files.run(|| {}));
    }
    let Some(namespace) = namespace else { return report };
    let mut found = namespaces::find();
    report.processes_unreadable = found.unreadable;
    // This thread is in its own namespace already, so that its walk needs no capability.
    if let Some(own) = namespaces::own() {
        found.paths.remove(&own);
        report.namespaces_entered += 1;
        add_failure(&mut report.failures, namespace.run(|| {}));
    }
    // A separate thread enters the namespaces, because it cannot return to its own.
    let walked = std::thread::scope(|scope| {
        let walk = scope.spawn(|| {
            for (inode, path) in &found.paths {
                match namespaces::enter(path) {
                    Ok(()) => {
                        report.namespaces_entered += 1;
                        add_failure(&mut report.failures, namespace.run(|| {}));
                    }
                    // The last process of the namespace ended meanwhile.
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                    Err(error) => {
                        report
                            .namespaces_refused
                            .push(format!("net:[{inode}] by {}: {error}", path.display()));
                    }
                }
            }
        });
        walk.join()
    });
    if walked.is_err() {
        report.failures.push("the thread that walks the network namespaces panicked".into());
    }
    report
}

fn add_failure(failures: &mut Vec<String>, result: Result<(), WalkError>) {
    if let Err(error) = result {
        failures.push(error.to_string());
    }
}
