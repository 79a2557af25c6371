//! Concludes a connection's translation from the kernel's entries. Decides whether an entry belongs to the connection, and what a missing
//! entry means.
//!
//! Addresses are reused, but while a socket exists, no other socket of its namespace has its addresses. So an entry that was read before
//! the connection's close certainly belongs to it. An entry that was read after the close belongs to it if tracking began before the close.
//! If the kernel stores times (`net.netfilter.nf_conntrack_timestamp=1`), this is certain, to 0.1 s. Otherwise TCP's state decides: the
//! entry of a closed connection is closing, and an open entry belongs to a successor (a later connection with the same addresses). A
//! successor is not recognised if it has closed as well, within the milliseconds between the first connection's close and its record.
//!
//! Entries exist longer than their connections: 10 s after a reset, 120 s after a FIN, unless the sysctls `nf_conntrack_tcp_timeout_*` were
//! changed. So a connection without an entry was not tracked, and therefore not translated, if it was open within the last 5 s.

use std::time::Duration;

use longwave_pipeline::model::{Role, TcpState, UnixNanos};

use super::entry::{ConntrackEntry, TrackedState, Tuple};
use super::request::{Findings, NamespaceResult, Outcome, Reason, Request};
use super::socket::LookupResult;
use super::translation::Translation;

/// Largest difference between the kernel's clock for sockets and its clock for tracking.
const CLOCKS: Duration = Duration::from_millis(100);
/// Longest time from the first SYN to the creation of the server's socket. The server repeats its SYN-ACK for about a minute.
const HANDSHAKE: Duration = Duration::from_secs(130);
/// How long an entry certainly exists after its connection's close: half of the shortest time-out.
const SURELY_KEPT: Duration = Duration::from_secs(5);

/// The side of an entry on which the reporting socket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Client,
    Server,
}

/// Concludes the outcome of `request` from `findings`. `ended` is the time of the connection's close, if it is known by now.
pub(super) fn conclude(request: &Request, findings: &Findings, ended: Option<UnixNanos>) -> Outcome {
    let judge = Judge { request, ended, at: findings.at };
    let inner = match findings.own {
        NamespaceResult::LookedUp(LookupResult::Found(entry)) => {
            match judge.translation(&entry, &request.tuple) {
                Ok(translation) => translation,
                Err(reason) => return Outcome::Unknown(reason),
            }
        }
        _ => None,
    };
    let looked_up = host_tuple(request, &findings.own);
    let outer = match (findings.host, looked_up) {
        (NamespaceResult::LookedUp(LookupResult::Found(entry)), Some(tuple)) => {
            match judge.translation(&entry, &tuple) {
                Ok(translation) => translation,
                Err(reason) => return Outcome::Unknown(reason),
            }
        }
        _ => None,
    };
    match (inner, outer) {
        (Some(inner), Some(outer)) => Outcome::To(chain(request, &inner, &outer)),
        (Some(translation), None) | (None, Some(translation)) => Outcome::To(translation),
        (None, None) => judge.untranslated(findings),
    }
}

/// Returns the tuple to look up in the host's namespace: the packets' addresses outside of the socket's own namespace. `own` is the result
/// of the look-up in that namespace. `None` if the packets do not leave it, because loopback addresses are local to a namespace.
pub(super) fn host_tuple(request: &Request, own: &NamespaceResult) -> Option<Tuple> {
    let inner = match own {
        NamespaceResult::LookedUp(LookupResult::Found(entry)) => {
            entry.translation().zip(side(entry, &request.tuple))
        }
        _ => None,
    };
    let tuple = match inner {
        None => request.tuple,
        Some((inner, Side::Client)) => Tuple { source: inner.seen, destination: inner.backend },
        Some((inner, Side::Server)) => Tuple { source: inner.original, destination: inner.client },
    };
    let stays = tuple.is_loopback() || request.tuple.is_loopback();
    (*own == NamespaceResult::Host || !stays).then_some(tuple)
}

fn side(entry: &ConntrackEntry, tuple: &Tuple) -> Option<Side> {
    if entry.original == *tuple {
        Some(Side::Client)
    } else if entry.reply == *tuple {
        Some(Side::Server)
    } else {
        None
    }
}

/// Combines two translations of one connection: `inner` in the socket's own namespace, `outer` between that and the other end.
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
    /// Returns the translation of an entry that was found by `tuple`.
    ///
    /// # Errors
    /// The reason why the entry may belong to another connection.
    fn translation(&self, entry: &ConntrackEntry, tuple: &Tuple) -> Result<Option<Translation>, Reason> {
        let side = side(entry, tuple).ok_or(Reason::Failed)?;
        if !self.is_own(entry) {
            return Err(Reason::Reused);
        }
        let translation = entry.translation();
        // If tracking began while the connection was open, the kernel may have confused the client and the server. Without translation this
        // makes no difference.
        let contradicts = match self.request.role {
            Role::Client => side == Side::Server,
            Role::Server => side == Side::Client,
            Role::Unknown => false,
        };
        if translation.is_some() && contradicts { Err(Reason::Reused) } else { Ok(translation) }
    }

    /// Returns true if the entry belongs to the connection.
    fn is_own(&self, entry: &ConntrackEntry) -> bool {
        let mut after_close = self.ended.is_some_and(|ended| ended < self.at);
        if let Some(started) = entry.started {
            let tolerance = if self.request.role == Role::Client { CLOCKS } else { HANDSHAKE };
            if self.request.opened.is_some_and(|opened| later(started, tolerance) < opened)
                || self.ended.is_some_and(|ended| started > later(ended, CLOCKS))
            {
                return false;
            }
            // If tracking began within the clocks' difference of the close, TCP's state decides, as without times.
            after_close &= self.ended.is_some_and(|ended| later(started, CLOCKS) >= ended);
        }
        let open = matches!(
            entry.state,
            Some(TrackedState::Opening | TrackedState::Answered | TrackedState::Established)
        );
        let handshake =
            matches!(self.request.state, TcpState::SynSent | TcpState::SynRecv | TcpState::Unknown);
        let is_older = entry.state == Some(TrackedState::Opening) && !handshake;
        // A failed open leaves an entry that is still opening.
        let is_successor = after_close && open && !self.request.failed;
        !is_successor && !is_older
    }

    /// Concludes the outcome if no entry has a translation.
    fn untranslated(&self, findings: &Findings) -> Outcome {
        let found = [findings.own, findings.host];
        if found.contains(&NamespaceResult::LookedUp(LookupResult::Failed)) {
            return Outcome::Unknown(Reason::Failed);
        }
        if findings.own == NamespaceResult::Closed {
            return Outcome::Unknown(Reason::Namespace);
        }
        let missing = found.contains(&NamespaceResult::LookedUp(LookupResult::Missing));
        let last_alive = self.ended.unwrap_or(self.request.observed);
        // The reset of a refused open also removes its entry.
        let may_be_gone = self.request.failed || later(last_alive, SURELY_KEPT) < self.at;
        let entry =
            found.iter().any(|found| matches!(found, NamespaceResult::LookedUp(LookupResult::Found(_))));
        if missing && may_be_gone && !entry { Outcome::Unknown(Reason::Gone) } else { Outcome::Same }
    }
}

fn later(time: UnixNanos, by: Duration) -> UnixNanos {
    UnixNanos(time.0.saturating_add(by.as_nanos() as u64))
}
