mod cache;
mod judge;

use longwave_pipeline::model::{ConnectionId, Endpoint, Role, TcpState, UnixNanos};

use super::entry::{ConntrackEntry, TrackedState, Tuple};
use super::request::{Findings, NamespaceResult, Request};
use super::socket::LookupResult;
use super::translation::Translation;

const SECOND: u64 = 1_000_000_000;

fn end(text: &str) -> Endpoint {
    let end: std::net::SocketAddr = text.parse().unwrap();
    Endpoint { address: end.ip(), port: end.port() }
}

fn tuple(source: &str, destination: &str) -> Tuple {
    Tuple { source: end(source), destination: end(destination) }
}

fn at(seconds: u64) -> UnixNanos {
    UnixNanos(seconds * SECOND)
}

/// Returns the entry of a pod's connection to a cluster IP, which is masqueraded.
fn entry() -> ConntrackEntry {
    ConntrackEntry {
        original: tuple("10.0.0.5:40000", "10.96.0.10:80"),
        reply: tuple("10.0.1.7:8080", "192.168.0.1:50000"),
        state: Some(TrackedState::Established),
        started: None,
    }
}

fn translation() -> Translation {
    entry().translation().unwrap()
}

/// Returns a request for a connection that was opened at 100 s and observed open at 105 s.
fn request(tuple: Tuple, role: Role) -> Request {
    Request {
        id: ConnectionId { boot: 0, netns: 7, cookie: 1, generation: 1 },
        tuple,
        role,
        state: TcpState::Established,
        failed: false,
        pid: 0,
        opened: Some(at(100)),
        observed: at(105),
        ended: None,
    }
}

fn client() -> Request {
    request(entry().original, Role::Client)
}

fn server() -> Request {
    request(entry().reply, Role::Server)
}

/// Returns findings with `entry` in the host's namespace at `time`. The socket's own namespace tracks nothing.
fn host_says(entry: ConntrackEntry, time: UnixNanos) -> Findings {
    Findings {
        own: NamespaceResult::Nothing,
        host: NamespaceResult::LookedUp(LookupResult::Found(entry)),
        at: time,
    }
}
