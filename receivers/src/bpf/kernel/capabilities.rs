//! What this process may do.

const CAP_SYS_PTRACE: u32 = 19;
const CAP_SYS_ADMIN: u32 = 21;
const CAP_PERFMON: u32 = 38;
const CAP_BPF: u32 = 39;

/// The effective capabilities, as a bit set; all of them where they cannot be read.
pub fn effective() -> u64 {
    status("CapEff:").and_then(|hex| u64::from_str_radix(&hex, 16).ok()).unwrap_or(u64::MAX)
}

/// Capabilities without which no program can be loaded.
pub fn missing() -> Vec<&'static str> {
    let effective = effective();
    if has(effective, CAP_SYS_ADMIN) {
        return Vec::new();
    }
    [(CAP_BPF, "CAP_BPF"), (CAP_PERFMON, "CAP_PERFMON")]
        .into_iter()
        .filter(|(capability, _)| !has(effective, *capability))
        .map(|(_, name)| name)
        .collect()
}

/// Whether other namespaces can be entered (`setns`).
pub fn can_enter_namespaces() -> bool {
    has(effective(), CAP_SYS_ADMIN)
}

/// Whether other users' processes can be looked at.
pub fn can_see_processes() -> bool {
    has(effective(), CAP_SYS_PTRACE)
}

/// Whether a seccomp filter is active.
pub fn seccomp() -> bool {
    status("Seccomp:").as_deref() == Some("2")
}

/// Whether capabilities count for the whole host.
pub fn in_first_user_namespace() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let mut fields = map.split_whitespace();
    map.is_empty()
        || (fields.next(), fields.next(), fields.next()) == (Some("0"), Some("0"), Some("4294967295"))
}

fn has(set: u64, capability: u32) -> bool {
    set >> capability & 1 != 0
}

/// A field of `/proc/thread-self/status`.
fn status(name: &str) -> Option<String> {
    let status = std::fs::read_to_string("/proc/thread-self/status").ok()?;
    Some(status.lines().find_map(|line| line.strip_prefix(name))?.trim().to_owned())
}
