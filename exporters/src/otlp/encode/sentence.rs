//! [`Sentence`]: the body of a log record, for people. Programs read the attributes.

use std::fmt::{self, Display, Write};

use longwave_pipeline::model::{
    CloseReason, ConnectionRecord, End, Endpoint, Event, Role, Service, UNKNOWN, Workload, seconds,
};

use crate::units;
use longwave_pipeline::component::visible::Visible;

/// Writes what happened to a connection as one sentence, from the view of the local end.
///
/// The server's end has a port, as in `db:5432 (shop)`. An end without a name is its address and port.
pub(super) struct Sentence<'a>(pub(super) &'a ConnectionRecord);

/// One end of the connection.
struct NamedEnd<'a> {
    /// Name and namespace. An unknown namespace is empty.
    name: Option<(&'a str, &'a str)>,
    endpoint: Endpoint,
    has_port: bool,
}

/// Writes a number with its unit: `1 byte`, `1,234 bytes`.
struct Quantity(u64, &'static str);

/// Writes seconds as `412 µs`, `12.3 s` or `2m30s`.
struct Time(f64);

// === impl Sentence ===

impl Display for Sentence<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let record = self.0;
        let (local, peer) = (NamedEnd::local(record), NamedEnd::peer(record));
        let (opened, preposition) = match record.role {
            Role::Client => ("connected to", "to"),
            Role::Server => ("accepted a connection from", "from"),
            Role::Unknown => ("opened a connection with", "with"),
        };
        write!(f, "{local} ")?;
        match record.event {
            Event::Open => {
                write!(f, "{opened} {peer}")?;
                match record.connect_duration {
                    Some(nanos) => write!(f, " in {}", Time(seconds(nanos))),
                    None => Ok(()),
                }
            }
            Event::Update => {
                let has = if record.start_known { "has had" } else { "has" };
                write!(f, "{has} a connection {preposition} {peer}")?;
                self.put_duration("for", f)?;
                self.put_traffic(f)
            }
            Event::Close => {
                let verb = match record.end {
                    Some(End::Closed(CloseReason::ResetSent)) => "reset",
                    Some(End::Closed(CloseReason::Aborted)) => "aborted",
                    Some(End::Closed(
                        CloseReason::ResetReceived | CloseReason::Timeout | CloseReason::Vanished,
                    )) => "lost",
                    Some(End::Closed(CloseReason::Fin) | End::Failed(_)) | None => "closed",
                };
                write!(f, "{verb} its connection {preposition} {peer}")?;
                self.put_duration("after", f)?;
                self.put_traffic(f)?;
                self.put_end(f)
            }
            Event::Fail => {
                // Only an active open can fail.
                write!(f, "failed to connect to {peer}")?;
                self.put_duration("after", f)?;
                match record.end {
                    Some(End::Failed(reason)) => write!(f, ": {reason}"),
                    Some(End::Closed(_)) | None => Ok(()),
                }
            }
            Event::Vanished => {
                write!(f, "no longer has its connection {preposition} {peer}")?;
                self.put_duration("after", f)?;
                f.write_str(", and its close was not observed")?;
                self.put_traffic(f)
            }
        }
    }
}

impl Sentence<'_> {
    fn put_duration(&self, preposition: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.duration() {
            Some(duration) => write!(f, " {preposition} {}", Time(duration.as_secs_f64())),
            None => Ok(()),
        }
    }

    /// Writes the totals since the open.
    fn put_traffic(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let totals = &self.0.totals;
        let (sent, received) = (Quantity(totals.sent_bytes, "byte"), Quantity(totals.received_bytes, "byte"));
        write!(f, ": sent {sent}, received {received}")?;
        if totals.retransmits > 0 {
            write!(f, ", retransmitted {}", Quantity(totals.retransmits, "segment"))?;
        }
        if self.0.exact { Ok(()) } else { f.write_str(", not exact") }
    }

    /// Writes the bytes that the applications did not read or TCP did not send, and the reason of the close.
    fn put_end(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gauges = &self.0.gauges;
        for (bytes, word) in [(gauges.unsent_bytes, "unsent"), (gauges.unread_bytes, "unread")] {
            if bytes > 0 {
                write!(f, ", {} {word}", Quantity(bytes, "byte"))?;
            }
        }
        match self.0.end {
            Some(End::Closed(reason)) => write!(f, ", {}", reason.as_str()),
            Some(End::Failed(reason)) => write!(f, ", {reason}"),
            None => Ok(()),
        }
    }
}

// === impl NamedEnd ===

impl<'a> NamedEnd<'a> {
    fn local(record: &'a ConnectionRecord) -> Self {
        let name = record.names.local.as_deref().and_then(workload);
        Self { name, endpoint: record.local, has_port: record.role != Role::Client }
    }

    /// Returns the peer. A client's peer is the service that it meant, unless several services match.
    fn peer(record: &'a ConnectionRecord) -> Self {
        let service = record.names.service.as_deref().filter(|_| record.role == Role::Client);
        let workload = record.names.peer.as_deref().and_then(workload);
        let name = match service {
            Some(Service { name, namespace, ambiguous: false }) => known(name, namespace).or(workload),
            Some(Service { name, namespace, ambiguous: true }) => workload.or_else(|| known(name, namespace)),
            None => workload,
        };
        Self { name, endpoint: record.peer, has_port: record.role != Role::Server }
    }
}

impl Display for NamedEnd<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((name, namespace)) = self.name else { return self.endpoint.fmt(f) };
        Visible(name).fmt(f)?;
        if self.has_port {
            write!(f, ":{}", self.endpoint.port)?;
        }
        if namespace.is_empty() { Ok(()) } else { write!(f, " ({})", Visible(namespace)) }
    }
}

fn workload(workload: &Workload) -> Option<(&str, &str)> {
    known(&workload.name, &workload.namespace)
}

fn known<'a>(name: &'a str, namespace: &'a str) -> Option<(&'a str, &'a str)> {
    let namespace = if namespace == UNKNOWN { "" } else { namespace };
    (!name.is_empty() && name != UNKNOWN).then_some((name, namespace))
}

// === impl Quantity ===

impl Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(number, unit) = *self;
        let digits = number.to_string();
        for (index, digit) in digits.chars().enumerate() {
            if index > 0 && (digits.len() - index).is_multiple_of(3) {
                f.write_char(',')?;
            }
            f.write_char(digit)?;
        }
        write!(f, " {unit}{}", if number == 1 { "" } else { "s" })
    }
}

// === impl Time ===

impl Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = units::span(self.0);
        let number = text.trim_end_matches(char::is_alphabetic);
        if number.contains(char::is_alphabetic) {
            return f.write_str(&text);
        }
        write!(f, "{number} {}", &text[number.len()..])
    }
}
