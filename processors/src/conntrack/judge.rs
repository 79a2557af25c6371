//! From what the kernel said to what it means for a connection: whose entry is it, and what if there is none?
//!
//! Addresses are used again. While a socket lives, nobody else in its namespace has its addresses, so an entry that was read before the
//! connection's end is its own: that much is certain. An entry that was read after the end is its own if tracking began before that end:
//! certain, to 0.1 s, where the kernel keeps times (`net.netfilter.nf_conntrack_timestamp=1`). Where it does not, TCP's state must do: an
//! ended connection's entry is closing; one that is open belongs to a successor. What this cannot tell is a successor that has ended as well,
//! within the milliseconds between an end and its record.
//!
//! Entries outlive their connections: by 10 s after a reset, by 120 s after a FIN, unless somebody changed the sysctls
//! `nf_conntrack_tcp_timeout_*`. So where there is no entry within 5 s of the connection's last sign of life, it was not tracked, and what
//! is not tracked is not translated.

use std::time::Duration;

use longwave_pipeline::model::{Role, TcpState, UnixNanos};

use super::entry::{Entry, TrackedState, Tuple};
use super::request::{Findings, Found, Outcome, Reason, Request};
use super::socket::Looked;
use super::translation::Translation;

/// Between the kernel's clock for sockets and that for tracking.
const CLOCKS: Duration = Duration::from_millis(100);
/// A server's socket is made this long after the first SYN at most: SYN-ACKs are sent again for about a minute.
const HANDSHAKE: Duration = Duration::from_secs(130);
/// Half of the shortest time that an entry outlives its connection.
const SURELY_KEPT: Duration = Duration::from_secs(5);

/// Which direction of an entry the reporting socket sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Client,
    Server,
}

/// What `findings` mean for `request`. `ended`: the connection's end, as known by now.
pub(super) fn conclude(request: &Request, findings: &Findings, ended: Option<UnixNanos>) -> Outcome {
    let judge = Judge { request, ended, at: findings.at };
    let inner = match findings.own {
        Found::Looked(Looked::Found(entry)) => match judge.translation(&entry, &request.tuple) {
            Ok(translation) => translation,
            Err(reason) => return Outcome::Unknown(reason),
        },
        _ => None,
    };
    let asked = host_tuple(request, &findings.own);
    let outer = match (findings.host, asked) {
        (Found::Looked(Looked::Found(entry)), Some(tuple)) => match judge.translation(&entry, &tuple) {
            Ok(translation) => translation,
            Err(reason) => return Outcome::Unknown(reason),
        },
        _ => None,
    };
    match (inner, outer) {
        (Some(inner), Some(outer)) => Outcome::To(chain(request, &inner, &outer)),
        (Some(translation), None) | (None, Some(translation)) => Outcome::To(translation),
        (None, None) => judge.untranslated(findings),
    }
}

/// What to ask the host for, after the socket's own namespace said `own`: as the packets look outside. `None`: nothing, since they do not
/// leave it; loopback addresses mean something else in each namespace.
pub(super) fn host_tuple(request: &Request, own: &Found) -> Option<Tuple> {
    let inner = match own {
        Found::Looked(Looked::Found(entry)) => entry.translation().zip(side(entry, &request.tuple)),
        _ => None,
    };
    let tuple = match inner {
        None => request.tuple,
        Some((inner, Side::Client)) => Tuple { source: inner.seen, destination: inner.backend },
        Some((inner, Side::Server)) => Tuple { source: inner.original, destination: inner.client },
    };
    let stays = tuple.is_loopback() || request.tuple.is_loopback();
    (*own == Found::Host || !stays).then_some(tuple)
}

fn side(entry: &Entry, tuple: &Tuple) -> Option<Side> {
    if entry.original == *tuple {
        Some(Side::Client)
    } else if entry.reply == *tuple {
        Some(Side::Server)
    } else {
        None
    }
}

/// Two translations of one connection: `inner` in the socket's own namespace, `outer` between that and the other end.
fn chain(request: &Request, inner: &Translation, outer: &Translation) -> Translation {
    let is_client = inner.client == request.tuple.source && inner.original == request.tuple.destination;
    if is_client {
        Translation { backend: outer.backend, seen: outer.seen, ..*inner }
    } else {
        Translation { client: outer.client, original: outer.original, ..*inner }
    }
}

struct Judge<'a> {
    request: &'a Request,
    ended: Option<UnixNanos>,
    at: UnixNanos,
}

// === impl Judge ===

impl Judge<'_> {
    /// The translation in an entry that was found by `tuple`, if it is the connection's.
    fn translation(&self, entry: &Entry, tuple: &Tuple) -> Result<Option<Translation>, Reason> {
        let side = side(entry, tuple).ok_or(Reason::Failed)?;
        if !self.is_own(entry) {
            return Err(Reason::Reused);
        }
        let translation = entry.translation();
        // Tracking that began amid a connection may have taken its server for the client; what is not translated reads the same both ways.
        let contradicts = match self.request.role {
            Role::Client => side == Side::Server,
            Role::Server => side == Side::Client,
            Role::Unknown => false,
        };
        if translation.is_some() && contradicts { Err(Reason::Reused) } else { Ok(translation) }
    }

    fn is_own(&self, entry: &Entry) -> bool {
        let mut after_end = self.ended.is_some_and(|ended| ended < self.at);
        if let Some(started) = entry.started {
            let patience = if self.request.role == Role::Client { CLOCKS } else { HANDSHAKE };
            if self.request.opened.is_some_and(|opened| later(started, patience) < opened)
                || self.ended.is_some_and(|ended| started > later(ended, CLOCKS))
            {
                return false;
            }
            // Nearer to the end than the clocks can tell, TCP's state decides as without times.
            after_end &= self.ended.is_some_and(|ended| later(started, CLOCKS) >= ended);
        }
        let open = matches!(
            entry.state,
            Some(TrackedState::Opening | TrackedState::Answered | TrackedState::Established)
        );
        let handshake =
            matches!(self.request.state, TcpState::SynSent | TcpState::SynRecv | TcpState::Unknown);
        let is_behind = entry.state == Some(TrackedState::Opening) && !handshake;
        // A failed open leaves an entry that is still opening.
        let is_successor = after_end && open && !self.request.failed;
        !is_successor && !is_behind
    }

    /// No entry says that the connection was translated.
    fn untranslated(&self, findings: &Findings) -> Outcome {
        let found = [findings.own, findings.host];
        if found.contains(&Found::Looked(Looked::Failed)) {
            return Outcome::Unknown(Reason::Failed);
        }
        if findings.own == Found::Closed {
            return Outcome::Unknown(Reason::Namespace);
        }
        let missing = found.contains(&Found::Looked(Looked::Missing));
        let alive = self.ended.unwrap_or(self.request.observed);
        // A refused open's entry goes with the reset.
        let may_be_gone = self.request.failed || later(alive, SURELY_KEPT) < self.at;
        let entry = found.iter().any(|found| matches!(found, Found::Looked(Looked::Found(_))));
        if missing && may_be_gone && !entry { Outcome::Unknown(Reason::Gone) } else { Outcome::Same }
    }
}

fn later(time: UnixNanos, by: Duration) -> UnixNanos {
    UnixNanos(time.0.saturating_add(by.as_nanos() as u64))
}
