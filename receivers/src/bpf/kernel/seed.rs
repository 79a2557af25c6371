//! Seeding: connections and listeners that are older than the programs.

use super::namespaces;
use super::walk::{Walk, WalkError};

/// What seeding found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeedReport {
    /// Connections in the table that were not there before.
    pub seeded: u64,
    /// Network namespaces walked for sockets that no process holds.
    pub namespaces_entered: usize,
    /// Those that could not be entered (CAP_SYS_ADMIN), with the reason: sockets there that no process holds are not seen.
    pub namespaces_refused: Vec<String>,
    /// Processes whose namespace could not be read (CAP_SYS_PTRACE).
    pub processes_unreadable: usize,
    /// Walks that failed or that the kernel refuses, with the reason.
    pub failures: Vec<String>,
}

/// Walks all descriptors of all processes, then each namespace's sockets, as far as the kernel allows. Idempotent.
pub fn run(files: Option<&Walk>, namespace: Option<&Walk>) -> SeedReport {
    let mut report = SeedReport::default();
    if let Some(files) = files {
        note(&mut report.failures, files.run());
    }
    let Some(namespace) = namespace else { return report };
    let mut found = namespaces::find();
    report.processes_unreadable = found.unreadable;
    // This thread's own needs no entering, and so no capability.
    if let Some(own) = namespaces::own() {
        found.paths.remove(&own);
        report.namespaces_entered += 1;
        note(&mut report.failures, namespace.run());
    }
    // A thread of its own: it ends in the last namespace, and no other may.
    let walked = std::thread::scope(|scope| {
        let walk = scope.spawn(|| {
            for (inode, path) in &found.paths {
                match namespaces::enter(path) {
                    Ok(()) => {
                        report.namespaces_entered += 1;
                        note(&mut report.failures, namespace.run());
                    }
                    // Its last process ended meanwhile.
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
        report.failures.push("the walk over the network namespaces ended early".into());
    }
    report
}

fn note(failures: &mut Vec<String>, result: Result<(), WalkError>) {
    if let Err(error) = result {
        failures.push(error.to_string());
    }
}
