//! Who may run: privileged tests need root and BTF, take turns, and say by name when they are skipped.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

static TURN: Mutex<()> = Mutex::new(());

/// Held while a test runs: privileged tests share the kernel, so they go one after the other.
pub struct Turn {
    _turn: MutexGuard<'static, ()>,
}

/// The turn of the privileged test `name`; `None`, after a line on stderr, where it cannot run.
///
/// # Panics
/// Where it cannot run though `LONGWAVE_REQUIRE_BPF=1` demands it.
pub fn privileged(name: &str) -> Option<Turn> {
    able(name).then(alone)
}

/// Whether the privileged test `name` can run; if not, after a line on stderr. For tests that may share the kernel: see
/// [`privileged`] for the others.
///
/// # Panics
/// Where it cannot run though `LONGWAVE_REQUIRE_BPF=1` demands it.
pub fn able(name: &str) -> bool {
    let missing = if !rustix::process::geteuid().is_root() {
        Some("not root")
    } else if !Path::new("/sys/kernel/btf/vmlinux").exists() {
        Some("no /sys/kernel/btf/vmlinux")
    } else {
        None
    };
    if let Some(missing) = missing {
        skip(name, missing, "LONGWAVE_REQUIRE_BPF");
        return false;
    }
    raise_open_files();
    true
}

/// A turn for tests that need no privilege, but the machine for themselves.
pub fn alone() -> Turn {
    Turn { _turn: TURN.lock().unwrap_or_else(PoisonError::into_inner) }
}

/// Says that `name` is skipped because of `missing`.
///
/// # Panics
/// Where the environment variable `demand` is `1`.
pub fn skip(name: &str, missing: &str, demand: &str) {
    assert!(!demanded(demand), "{name}: cannot run: {missing}, but {demand}=1 demands it");
    eprintln!("SKIPPED {name}: {missing}");
}

/// Whether the environment variable `name` is `1`.
pub fn demanded(name: &str) -> bool {
    std::env::var(name).is_ok_and(|value| value == "1")
}

/// Whether this is a distribution's stock kernel, which keeps nothing from tracing programs; on others see `witness` in `tests/`.
pub fn stock_kernel() -> bool {
    demanded("LONGWAVE_STOCK_KERNEL")
        || rustix::system::uname().release().to_string_lossy().contains("cloud-amd64")
}

/// Raises the soft limit of open files to the hard one.
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}
