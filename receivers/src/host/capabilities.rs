//! Privileges of this thread.

use rustix::thread::CapabilitySet;

/// Returns the effective capabilities; all of them if the kernel does not report them.
fn effective() -> CapabilitySet {
    rustix::thread::capabilities(None).map_or(CapabilitySet::all(), |sets| sets.effective)
}

/// Returns the names of the capabilities that are missing to load a program.
pub fn missing() -> Vec<&'static str> {
    let effective = effective();
    if effective.contains(CapabilitySet::SYS_ADMIN) {
        return Vec::new();
    }
    [(CapabilitySet::BPF, "CAP_BPF"), (CapabilitySet::PERFMON, "CAP_PERFMON")]
        .into_iter()
        .filter(|(capability, _)| !effective.contains(*capability))
        .map(|(_, name)| name)
        .collect()
}

/// Returns whether this thread can enter other namespaces (`setns`).
pub fn can_enter_namespaces() -> bool {
    effective().contains(CapabilitySet::SYS_ADMIN)
}

/// Returns whether this thread can inspect the processes of other users.
pub fn can_see_processes() -> bool {
    effective().contains(CapabilitySet::SYS_PTRACE)
}

/// Returns whether a seccomp filter is active.
pub fn seccomp() -> bool {
    // `prctl(PR_GET_SECCOMP)` is itself subject to the filter, which may kill the process for it.
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    status.lines().find_map(|line| line.strip_prefix("Seccomp:")).is_some_and(|mode| mode.trim() == "2")
}

/// Returns whether this process is in the host's user namespace, where its capabilities apply to the whole host.
///
/// Returns true if `/proc` is not mounted.
pub fn in_first_user_namespace() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let mut fields = map.split_whitespace();
    map.is_empty()
        || (fields.next(), fields.next(), fields.next()) == (Some("0"), Some("0"), Some("4294967295"))
}
