//! A server outside of the cluster. It runs in a network namespace that pods reach through the node, and is the same server as in pods.

use std::net::SocketAddr;
use std::process::Command;

use longwave_testing::netns::{Netns, run};

use crate::pod;

const DEVICE: &str = "lw-outside";
const PORT: u16 = 8443;

/// A server outside of the cluster. It is removed when dropped.
pub struct Outside {
    /// Address of the server.
    pub address: SocketAddr,
    _netns: Netns,
}

// === impl Outside ===

impl Outside {
    /// Content of names.yaml with the names of the server.
    pub const NAMES: &'static str = "
rules:
  - cidrs: [203.0.113.7/32]
    ports: [8443]
    workload: {name: payments-gateway, namespace: partners}
    service: {name: payments, namespace: partners}
";

    /// Starts the server at 203.0.113.7.
    pub fn new() -> Self {
        let netns = Netns::new();
        // The device may remain from a test that was killed.
        let _ = Command::new("ip").args(["link", "del", DEVICE]).output();
        run("ip", &["link", "add", DEVICE, "type", "veth", "peer", "name", "eth0", "netns", netns.name()]);
        run("ip", &["address", "add", "203.0.113.1/24", "dev", DEVICE]);
        run("ip", &["link", "set", DEVICE, "up"]);
        netns.run("ip", &["address", "add", "203.0.113.7/24", "dev", "eth0"]);
        netns.run("ip", &["link", "set", "eth0", "up"]);
        netns.run("ip", &["route", "add", "default", "via", "203.0.113.1"]);
        let path = netns.path();
        // The thread ends with the process.
        std::thread::spawn(move || longwave_testing::netns::enter(&path, || pod::serve(PORT, |_| ())));
        Self { address: SocketAddr::from(([203, 0, 113, 7], PORT)), _netns: netns }
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["link", "del", DEVICE]).output();
    }
}
