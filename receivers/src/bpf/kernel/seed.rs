//! Seeding: connections and listeners that are older than the programs.

use super::iterator::{Iterator, PassError};
use super::namespaces;

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
    /// Walks that failed, with the reason.
    pub failures: Vec<String>,
}

/// Walks all descriptors of all processes, then each namespace's sockets. Idempotent.
pub fn run(files: &Iterator, namespace: &Iterator) -> SeedReport {
    let mut report = SeedReport::default();
    let note = |failures: &mut Vec<String>, result: Result<u64, PassError>| {
        if let Err(error) = result {
            failures.push(error.to_string());
        }
    };
    note(&mut report.failures, files.run(&mut || {}));
    let mut found = namespaces::find();
    report.processes_unreadable = found.unreadable;
    // This thread's own needs no entering, and so no capability.
    if let Some(own) = namespaces::own() {
        found.paths.remove(&own);
        report.namespaces_entered += 1;
        note(&mut report.failures, namespace.run(&mut || {}));
    }
    // A thread of its own: it ends in the last namespace, and no other may.
    let walked = std::thread::scope(|scope| {
        let walk = scope.spawn(|| {
            for (inode, path) in &found.paths {
                match namespaces::enter(path) {
                    Ok(()) => {
                        report.namespaces_entered += 1;
                        note(&mut report.failures, namespace.run(&mut || {}));
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
