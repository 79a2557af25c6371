//! Network namespaces of tests, created with `ip netns`, and pairs of namespaces that a veth connects.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// A network namespace with its loopback up. It is removed when dropped.
pub struct Netns {
    name: String,
}

/// Two namespaces that a veth connects.
pub struct VethPair {
    /// 10.77.0.1 and fd77::1.
    pub a: Netns,
    /// 10.77.0.2 and fd77::2.
    pub b: Netns,
}

impl Netns {
    /// Creates a namespace.
    ///
    /// # Panics
    /// If `ip netns add` fails.
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("lw-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        run("ip", &["netns", "add", &name]);
        let netns = Self { name };
        netns.run("ip", &["link", "set", "lo", "up"]);
        netns
    }

    /// Path of the namespace.
    pub fn path(&self) -> PathBuf {
        PathBuf::from("/run/netns").join(&self.name)
    }

    /// Name of the namespace in `ip netns`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs `work` on a thread in the namespace. Sockets that it creates stay in the namespace.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        enter(&self.path(), work)
    }

    /// Runs a command in the namespace.
    ///
    /// # Panics
    /// If it fails, with its output.
    pub fn run(&self, program: &str, arguments: &[&str]) {
        self.enter(|| run(program, arguments));
    }

    /// Sets a sysctl of the namespace (`net/ipv4/tcp_fastopen`).
    pub fn sysctl(&self, key: &str, value: &str) {
        self.enter(|| {
            let path = format!("/proc/sys/{key}");
            std::fs::write(&path, value).unwrap_or_else(|error| panic!("{path}: {error}"));
        });
    }
}

impl Default for Netns {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.name]).status();
    }
}

impl VethPair {
    /// Creates both namespaces and their link.
    pub fn new() -> Self {
        let (a, b) = (Netns::new(), Netns::new());
        run(
            "ip",
            &[
                "link",
                "add",
                "veth0",
                "netns",
                a.name(),
                "type",
                "veth",
                "peer",
                "name",
                "veth0",
                "netns",
                b.name(),
            ],
        );
        for (netns, v4, v6) in [(&a, "10.77.0.1/24", "fd77::1/64"), (&b, "10.77.0.2/24", "fd77::2/64")] {
            netns.run("ip", &["address", "add", v4, "dev", "veth0"]);
            // Without nodad, the address cannot be bound in the first seconds.
            netns.run("ip", &["address", "add", v6, "dev", "veth0", "nodad"]);
            netns.run("ip", &["link", "set", "veth0", "up"]);
        }
        Self { a, b }
    }

    /// IPv4 and IPv6 address of the `a` side.
    pub fn a_addresses() -> (IpAddr, IpAddr) {
        (Ipv4Addr::new(10, 77, 0, 1).into(), Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 1).into())
    }

    /// IPv4 and IPv6 address of the `b` side.
    pub fn b_addresses() -> (IpAddr, IpAddr) {
        (Ipv4Addr::new(10, 77, 0, 2).into(), Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 2).into())
    }
}

impl Default for VethPair {
    fn default() -> Self {
        Self::new()
    }
}

/// Runs `work` on a thread in the network namespace at `path`.
pub fn enter<T: Send>(path: &std::path::Path, work: impl FnOnce() -> T + Send) -> T {
    let file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    std::thread::scope(|scope| {
        scope
            .spawn(|| {
                move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
                work()
            })
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Runs a command.
///
/// # Panics
/// If it fails or is not installed, with its output.
pub fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error} (the test needs it on the PATH)"));
    assert!(
        output.status.success(),
        "{program} {}: {}{}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
