//! An end in a process of its own, so that it can be killed: the test binary, run again.
//!
//! Each test binary that uses it has a test named `peer_main` that calls [`run_if_asked`]. The peer tells on stderr,
//! one JSON object a line, because libtest writes to stdout.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, ChildStderr, Command, Stdio};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::end::{Account, End, Role};
use crate::place::{Family, Place, Side};

const PLAN: &str = "LONGWAVE_PEER_PLAN";

/// What the peer does: opens, writes, reads, reports, waits to be killed (or for the end of its stdin).
#[derive(Debug, Serialize, Deserialize)]
struct Plan {
    /// Where to connect to; `None`: listen, say where, accept.
    connect: Option<SocketAddr>,
    netns: Option<String>,
    family: String,
    part: Part,
}

/// What the peer moves before it reports.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Part {
    /// Bytes that it writes.
    pub write: u64,
    /// Bytes that it reads, after that.
    pub read: u64,
    /// Bytes that it waits for and leaves unread.
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
    lines: BufReader<ChildStderr>,
    role: Role,
    /// Where it listens, if it does.
    pub address: Option<SocketAddr>,
}

impl Peer {
    /// A client that connects to `address` and does its part.
    pub fn client(place: &Place, address: SocketAddr, part: Part) -> Self {
        Self::spawn(&place.client, place.family, Role::Client, Some(address), part)
    }

    /// A server that accepts one connection and does its part.
    pub fn server(place: &Place, part: Part) -> Self {
        let mut peer = Self::spawn(&place.server, place.family, Role::Server, None, part);
        let line = peer.line();
        let port = line["port"].as_u64().unwrap_or_else(|| panic!("no port in {line}"));
        peer.address = Some(SocketAddr::new(place.server_address(), u16::try_from(port).unwrap()));
        peer
    }

    fn spawn(side: &Side, family: Family, role: Role, connect: Option<SocketAddr>, part: Part) -> Self {
        let plan = Plan {
            connect,
            netns: side.netns.as_ref().map(|path| path.display().to_string()),
            family: format!("{family:?}"),
            part,
        };
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "peer_main", "--nocapture", "--test-threads=1"])
            .env(PLAN, serde_json::to_string(&plan).unwrap())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap());
        Self { child, lines, role, address: None }
    }

    /// Waits until it has done its part; what it knows then.
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

    /// kill -9.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn line(&mut self) -> Value {
        let mut other = String::new();
        loop {
            let mut line = String::new();
            assert!(self.lines.read_line(&mut line).unwrap() > 0, "the peer ended: {other}");
            if line.starts_with('{') {
                return serde_json::from_str(&line).unwrap();
            }
            other.push_str(&line);
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Is the peer, where this process was started as one; else does nothing.
pub fn run_if_asked() {
    let Ok(plan) = std::env::var(PLAN) else { return };
    let plan: Plan = serde_json::from_str(&plan).unwrap();
    let family = match plan.family.as_str() {
        "V4" => Family::V4,
        "V6" => Family::V6,
        _ => Family::Mapped,
    };
    let mut place = Place::loopback(family);
    let netns = plan.netns.map(Into::into);
    place.client.netns.clone_from(&netns);
    place.server.netns = netns;
    let mut end = match plan.connect {
        Some(address) => place.connect(address).unwrap(),
        None => accept_one(&place),
    };
    end.write(plan.part.write).unwrap();
    end.read(plan.part.read).unwrap();
    if plan.part.unread > 0 {
        end.await_unread(plan.part.unread).unwrap();
    }
    let account = end.account();
    tell(&Report {
        cookie: account.cookie,
        local: account.local,
        peer: account.peer,
        written: account.written,
        read: account.read,
    });
    // Until killed; when the test dies, its end of the pipe closes.
    let _ = std::io::stdin().read(&mut [0]);
}

fn accept_one(place: &Place) -> End {
    let listener = place.listen_anywhere(1).unwrap();
    tell(&serde_json::json!({"port": listener.address.port()}));
    listener.accept().unwrap()
}

fn tell(what: &impl Serialize) {
    eprintln!("{}", serde_json::to_string(what).unwrap());
}
