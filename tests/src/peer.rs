//! One end of a connection in a separate process, so that a test can kill it. The process is the test binary, started with the argument
//! [`ROLE`].
//!
//! The `main` of a test binary with peers calls [`main`] if it has that argument. The peer reports on stdout, one JSON object per line.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::end::{Account, End, Role};
use crate::network::{Family, Network, Side};

/// First argument of a test binary that runs as a peer. The second argument is its [`Plan`], as JSON.
pub const ROLE: &str = "--peer";

/// Instructions for a peer. It opens a connection, writes, reads, reports, and waits until it is killed or its stdin is closed.
#[derive(Debug, Serialize, Deserialize)]
struct Plan {
    /// Address to connect to. `None`: the peer listens, reports its port, and accepts one connection.
    connect: Option<SocketAddr>,
    netns: Option<String>,
    family: String,
    traffic: Traffic,
}

/// Bytes that a peer exchanges before it reports.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Traffic {
    /// Bytes that it writes.
    pub write: u64,
    /// Bytes that it reads after it has written.
    pub read: u64,
    /// Bytes that it waits for and does not read.
    pub unread: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Report {
    cookie: u64,
    local: SocketAddr,
    peer: SocketAddr,
    written: u64,
    read: u64,
}

/// A peer process.
pub struct Peer {
    child: Child,
    lines: BufReader<ChildStdout>,
    role: Role,
    /// Address on which it listens. `None` for a client.
    pub address: Option<SocketAddr>,
}

impl Peer {
    /// Starts a client that connects to `address` and exchanges `traffic`.
    pub fn client(network: &Network, address: SocketAddr, traffic: Traffic) -> Self {
        Self::spawn(&network.client, network.family, Role::Client, Some(address), traffic)
    }

    /// Starts a server that accepts one connection and exchanges `traffic`.
    pub fn server(network: &Network, traffic: Traffic) -> Self {
        let mut peer = Self::spawn(&network.server, network.family, Role::Server, None, traffic);
        let line = peer.line();
        let port = line["port"].as_u64().unwrap_or_else(|| panic!("no port in {line}"));
        peer.address = Some(SocketAddr::new(network.server_address(), u16::try_from(port).unwrap()));
        peer
    }

    fn spawn(side: &Side, family: Family, role: Role, connect: Option<SocketAddr>, traffic: Traffic) -> Self {
        let plan = Plan {
            connect,
            netns: side.netns.as_ref().map(|path| path.display().to_string()),
            family: format!("{family:?}"),
            traffic,
        };
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([ROLE, &serde_json::to_string(&plan).unwrap()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines, role, address: None }
    }

    /// Waits until it has exchanged its traffic, and returns its counts.
    pub fn report(&mut self) -> Account {
        let line = self.line();
        let report: Report = serde_json::from_value(line).unwrap();
        Account {
            cookie: report.cookie,
            role: self.role,
            local: report.local,
            peer: report.peer,
            written: report.written,
            read: report.read,
            reasons: &[],
            failed: None,
            pre_existing: false,
        }
    }

    /// Kills it with SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn line(&mut self) -> Value {
        let mut line = String::new();
        assert!(self.lines.read_line(&mut line).unwrap() > 0, "the peer exited without a report");
        serde_json::from_str(&line).unwrap()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs this process as a peer.
///
/// # Panics
/// If the second argument is not a plan, or a socket fails.
pub fn main() {
    let plan: Plan = serde_json::from_str(&std::env::args().nth(2).unwrap()).unwrap();
    let family = match plan.family.as_str() {
        "V4" => Family::V4,
        "V6" => Family::V6,
        _ => Family::Mapped,
    };
    let mut network = Network::loopback(family);
    let netns = plan.netns.map(Into::into);
    network.client.netns.clone_from(&netns);
    network.server.netns = netns;
    let mut end = match plan.connect {
        Some(address) => network.connect(address).unwrap(),
        None => accept_one(&network),
    };
    end.write(plan.traffic.write).unwrap();
    end.read(plan.traffic.read).unwrap();
    if plan.traffic.unread > 0 {
        end.await_unread(plan.traffic.unread).unwrap();
    }
    let account = end.account();
    report(&Report {
        cookie: account.cookie,
        local: account.local,
        peer: account.peer,
        written: account.written,
        read: account.read,
    });
    // Returns when the test closes the pipe, or dies.
    let _ = std::io::stdin().read(&mut [0]);
}

fn accept_one(network: &Network) -> End {
    let listener = network.listen_anywhere(1).unwrap();
    report(&serde_json::json!({"port": listener.address.port()}));
    listener.accept().unwrap()
}

fn report(message: &impl Serialize) {
    let line = serde_json::to_string(message).unwrap() + "\n";
    std::io::stdout().write_all(line.as_bytes()).unwrap();
}
