//! Errors of the kernel side, with likely cause and remedy.

use std::io;
use std::path::PathBuf;

use longwave_pipeline::component::descriptor_limit;

use super::btf::VMLINUX;
use crate::host::capabilities;

/// Oldest kernel that has all helpers in use (`bpf_loop`). 6.1 is the oldest that is tested.
pub const OLDEST: (u32, u32) = (5, 17);

/// Reason why the kernel side cannot run on this host.
#[derive(Debug, thiserror::Error)]
pub enum Diagnosis {
    /// The kernel is too old.
    #[error(
        "kernel {release} is too old: Longwave needs 5.17 or later (tested from 6.1): upgrade the kernel"
    )]
    Kernel {
        /// `uname -r`.
        release: String,
    },
    /// The BTF of the kernel cannot be read.
    #[error(
        "{VMLINUX}: {source}: the kernel was built without BTF, or /sys is not mounted here: use a kernel with CONFIG_DEBUG_INFO_BTF=y (all current distributions), and in a container mount /sys"
    )]
    NoBtf {
        /// Error of reading the file.
        source: io::Error,
    },
    /// The BTF of the kernel is malformed or lacks a field.
    #[error("the kernel's BTF {reason}; please report the kernel's version")]
    Btf {
        /// What is wrong with it, as the rest of the sentence "the kernel's BTF …".
        reason: String,
    },
    /// Capabilities are missing.
    #[error("missing {}: run as root, or grant them (systemd: AmbientCapabilities=CAP_BPF CAP_PERFMON CAP_NET_ADMIN CAP_SYS_PTRACE CAP_SYS_ADMIN; Kubernetes: securityContext.capabilities.add: [BPF, PERFMON, NET_ADMIN, SYS_PTRACE, SYS_ADMIN]; Docker: --cap-add for each)", missing.join(" and "))]
    Capabilities {
        /// Names of the missing capabilities.
        missing: Vec<&'static str>,
    },
    /// The process has its capabilities in a user namespace only.
    #[error(
        "{call}: {source}: this process has its capabilities in a user namespace only, and BPF needs those of the host: run in the host's user namespace (rootful containers; Docker: --userns=host)"
    )]
    UserNamespace {
        /// The call or step that was refused.
        call: String,
        /// Error that the kernel returned.
        source: io::Error,
    },
    /// Kernel lockdown forbids BPF programs to read kernel memory.
    #[error(
        "{call}: {source}: kernel lockdown is in mode `{mode}`, which forbids BPF programs to read kernel memory: boot with lockdown=integrity or none (Secure Boot may enforce it)"
    )]
    Lockdown {
        /// The call or step that was refused.
        call: String,
        /// Error that the kernel returned.
        source: io::Error,
        /// Selected mode in `/sys/kernel/security/lockdown`.
        mode: String,
    },
    /// The kernel refused the call although the process has the capabilities.
    #[error("{call}: {source}: no capability is missing, so something else refuses the call: {}", if *seccomp { "this process runs under a seccomp filter: allow bpf(2) in the profile (Docker: --security-opt seccomp=unconfined; Kubernetes: seccompProfile.type: Unconfined)" } else { "a security module (SELinux, AppArmor) or a hardened kernel: check the audit log" })]
    Refused {
        /// The call or step that was refused.
        call: String,
        /// Error that the kernel returned.
        source: io::Error,
        /// Whether a seccomp filter is active.
        seccomp: bool,
    },
    /// The kernel lacks `bpf(2)`.
    #[error(
        "{call}: {source}: the kernel has no bpf(2): use one with CONFIG_BPF_SYSCALL=y and CONFIG_BPF_JIT=y, and allow bpf(2) where a seccomp profile hides it"
    )]
    NoBpf {
        /// The call or step that was refused.
        call: String,
        /// Error that the kernel returned.
        source: io::Error,
    },
    /// The kernel could not allocate the maps.
    #[error(
        "{call}: {source}: not enough memory for the maps: lower `max_connections` or the ring sizes, or raise the memory limit of the container"
    )]
    Memory {
        /// The call or step that was refused.
        call: String,
        /// Error that the kernel returned.
        source: io::Error,
    },
    /// No file descriptor is left.
    #[error("{call}: {source}: {remedy} (Longwave needs about 100, and one for each client of its pages)")]
    Descriptors {
        /// The call or step that failed.
        call: String,
        /// Error that the kernel returned.
        source: io::Error,
        /// What to do.
        remedy: &'static str,
    },
    /// The verifier rejected a program, or the loader failed.
    #[error(
        "{what}: {reason}; this kernel does not accept the program: please report its version with this message"
    )]
    Program {
        /// The program or step.
        what: String,
        /// Messages of the loader, with the verifier's log.
        reason: String,
    },
    /// The object that `LONGWAVE_BPF_OBJECT` names cannot be read.
    #[error("LONGWAVE_BPF_OBJECT: {}: {source}: unset it to use the built-in object", path.display())]
    Object {
        /// Path of the object.
        path: PathBuf,
        /// Error of reading the file.
        source: io::Error,
    },
    /// There are no cgroups to select from.
    #[error(
        "cgroup: {pattern}: /proc/self/mountinfo has no cgroup2 file system: mount it (on a host: mount -t cgroup2 none /sys/fs/cgroup/unified; in a container: give it the host's /sys/fs/cgroup), or remove the setting"
    )]
    Cgroup {
        /// Pattern as configured.
        pattern: String,
    },
    /// A map could not be mapped into memory.
    #[error("{what}: {source}: the ring buffer could not be mapped: is the address space exhausted?")]
    Map {
        /// Name of the map.
        what: &'static str,
        /// Error that the kernel returned.
        source: io::Error,
    },
}

// === impl Diagnosis ===

impl Diagnosis {
    /// The object lacks a map.
    pub fn missing_map(name: &str) -> Self {
        Self::Program { what: name.into(), reason: "the object lacks this map".into() }
    }

    /// The file with the kernel's types cannot be read.
    pub fn unreadable_btf(source: io::Error) -> Self {
        match descriptor_limit(&source) {
            Some(remedy) => Self::Descriptors { call: VMLINUX.to_owned(), source, remedy },
            None => Self::NoBtf { source },
        }
    }

    /// The map `what` cannot be mapped into memory.
    pub fn unmapped(what: &'static str, source: io::Error) -> Self {
        match descriptor_limit(&source) {
            Some(remedy) => Self::Descriptors { call: format!("mapping `{what}`"), source, remedy },
            None => Self::Map { what, source },
        }
    }
}

/// Returns the diagnosis of a failed call. `messages` are those of the loader.
pub fn explain(call: impl Into<String>, error: io::Error, messages: String) -> Diagnosis {
    let call = call.into();
    if let Some(remedy) = descriptor_limit(&error) {
        return Diagnosis::Descriptors { call, source: error, remedy };
    }
    match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => {
            let missing = capabilities::missing();
            if !missing.is_empty() {
                return Diagnosis::Capabilities { missing };
            }
            if let Some(mode) = lockdown().filter(|mode| mode == "confidentiality") {
                return Diagnosis::Lockdown { call, source: error, mode };
            }
            if !capabilities::in_first_user_namespace() {
                return Diagnosis::UserNamespace { call, source: error };
            }
            // The verifier returns EACCES too, with its log in the messages.
            if error.raw_os_error() == Some(libc::EACCES) {
                return Diagnosis::Program { what: call, reason: messages };
            }
            Diagnosis::Refused { call, source: error, seccomp: capabilities::seccomp() }
        }
        Some(libc::ENOSYS) => Diagnosis::NoBpf { call, source: error },
        Some(libc::ENOMEM) => Diagnosis::Memory { call, source: error },
        _ => match lockdown() {
            Some(mode) if mode == "confidentiality" => Diagnosis::Lockdown { call, source: error, mode },
            _ => Diagnosis::Program { what: call, reason: messages },
        },
    }
}

/// Returns the error of the operating system that caused `error`.
pub fn root_cause(error: &(dyn std::error::Error + 'static)) -> io::Error {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<io::Error>()
            && let Some(code) = found.raw_os_error()
        {
            return io::Error::from_raw_os_error(code);
        }
        next = error.source();
    }
    io::Error::other(error.to_string())
}

/// Checks the kernel's version and the capabilities, without any call of `bpf(2)`.
pub fn preflight() -> Result<(), Diagnosis> {
    let release = release();
    if version(&release).is_some_and(|version| version < OLDEST) {
        return Err(Diagnosis::Kernel { release });
    }
    let missing = capabilities::missing();
    if missing.is_empty() { Ok(()) } else { Err(Diagnosis::Capabilities { missing }) }
}

/// Returns the kernel's release, as `uname -r` prints it.
pub fn release() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

/// Parses major and minor version of a release.
pub fn version(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// Returns the mode of kernel lockdown; `None` if the kernel lacks it.
pub fn lockdown() -> Option<String> {
    let modes = std::fs::read_to_string("/sys/kernel/security/lockdown").ok()?;
    Some(modes.split_once('[')?.1.split_once(']')?.0.to_owned())
}
