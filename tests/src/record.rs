//! One line of a logs pipeline, as `stdout` prints it.

use std::net::{IpAddr, SocketAddr};

use serde::Deserialize;

/// An access-log record: the keys that the tests compare. Bytes and segments are totals since the open.
#[derive(Clone, Debug, Deserialize)]
pub struct Record {
    /// `longwave.tcp.connection.{open,update,close,fail,vanished}`.
    pub event_name: String,
    /// RFC 3339, nanoseconds.
    pub timestamp: String,
    /// `source` or `destination`.
    #[serde(default)]
    pub reporter: String,
    /// The client's address.
    #[serde(rename = "source.address")]
    pub source_address: Option<IpAddr>,
    /// The client's port.
    #[serde(rename = "source.port")]
    pub source_port: Option<u16>,
    /// The server's address.
    #[serde(rename = "destination.address")]
    pub destination_address: Option<IpAddr>,
    /// The server's port.
    #[serde(rename = "destination.port")]
    pub destination_port: Option<u16>,
    /// Who the client is.
    #[serde(rename = "source.workload.name")]
    pub source_workload: Option<String>,
    /// Who the server is.
    #[serde(rename = "destination.workload.name")]
    pub destination_workload: Option<String>,
    /// What the client meant to reach.
    #[serde(rename = "destination.service.name")]
    pub service: Option<String>,
    /// Where that is.
    #[serde(rename = "destination.service.namespace")]
    pub service_namespace: Option<String>,
    /// `<boot id>-<cookie>-<generation>`, hexadecimal.
    #[serde(rename = "longwave.connection.id")]
    pub id: String,
    /// `client`, `server` or `unknown`.
    #[serde(rename = "longwave.connection.role", default)]
    pub role: String,
    /// False for a connection that is older than Longwave.
    #[serde(rename = "longwave.start_known", default = "yes")]
    pub start_known: bool,
    /// False for what TCP's counters cannot tell.
    #[serde(rename = "longwave.exact", default = "yes")]
    pub exact: bool,
    /// Where the owner comes from.
    #[serde(rename = "longwave.owner.source")]
    pub owner_source: Option<String>,
    /// The owner.
    #[serde(rename = "process.pid")]
    pub pid: Option<i32>,
    /// Unique payload put on the wire.
    #[serde(rename = "longwave.tcp.sent_bytes", default)]
    pub sent_bytes: u64,
    /// The same since the previous record.
    #[serde(rename = "longwave.tcp.sent_bytes.delta", default)]
    pub sent_bytes_delta: u64,
    /// Payload delivered in order.
    #[serde(rename = "longwave.tcp.received_bytes", default)]
    pub received_bytes: u64,
    /// The same since the previous record.
    #[serde(rename = "longwave.tcp.received_bytes.delta", default)]
    pub received_bytes_delta: u64,
    /// Segments.
    #[serde(rename = "longwave.tcp.sent_segments", default)]
    pub sent_segments: u64,
    /// The same since the previous record.
    #[serde(rename = "longwave.tcp.sent_segments.delta", default)]
    pub sent_segments_delta: u64,
    /// Segments.
    #[serde(rename = "longwave.tcp.received_segments", default)]
    pub received_segments: u64,
    /// The same since the previous record.
    #[serde(rename = "longwave.tcp.received_segments.delta", default)]
    pub received_segments_delta: u64,
    /// Segments sent again.
    #[serde(rename = "longwave.tcp.retransmits", default)]
    pub retransmits: u64,
    /// The same since the previous record.
    #[serde(rename = "longwave.tcp.retransmits.delta", default)]
    pub retransmits_delta: u64,
    /// Segments held to be lost.
    #[serde(rename = "longwave.tcp.lost", default)]
    pub lost: u64,
    /// The same since the previous record.
    #[serde(rename = "longwave.tcp.lost.delta", default)]
    pub lost_delta: u64,
    /// Written by the application, not put on the wire.
    #[serde(rename = "longwave.tcp.unsent_bytes", default)]
    pub unsent_bytes: u64,
    /// Received, not read by the application.
    #[serde(rename = "longwave.tcp.unread_bytes", default)]
    pub unread_bytes: u64,
    /// The state that a close left.
    #[serde(rename = "network.connection.state")]
    pub state: Option<String>,
    /// Why it ended.
    #[serde(rename = "longwave.close.reason")]
    pub close_reason: Option<String>,
    /// Why it never was established.
    #[serde(rename = "error.type")]
    pub error_type: Option<String>,
}

fn yes() -> bool {
    true
}

impl Record {
    /// The last part of the event's name: `open`, `update`, `close`, `fail`, `vanished`.
    pub fn event(&self) -> &str {
        self.event_name.rsplit('.').next().unwrap_or_default()
    }

    /// Whether this is the connection's last record.
    pub fn is_final(&self) -> bool {
        matches!(self.event(), "close" | "fail" | "vanished")
    }

    /// The socket's cookie (`SO_COOKIE`) and the generation; zeros when the id is malformed.
    pub fn cookie_and_generation(&self) -> (u64, u64) {
        let mut parts = self.id.splitn(3, '-').skip(1).map(|part| u64::from_str_radix(part, 16).unwrap_or(0));
        (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
    }

    /// The socket's cookie.
    pub fn cookie(&self) -> u64 {
        self.cookie_and_generation().0
    }

    /// The client's address and port.
    pub fn source(&self) -> Option<SocketAddr> {
        Some(SocketAddr::new(self.source_address?, self.source_port?))
    }

    /// The server's address and port.
    pub fn destination(&self) -> Option<SocketAddr> {
        Some(SocketAddr::new(self.destination_address?, self.destination_port?))
    }

    /// Totals beside their deltas: name, total, delta.
    pub fn measures(&self) -> [(&'static str, u64, u64); 6] {
        [
            ("sent_bytes", self.sent_bytes, self.sent_bytes_delta),
            ("received_bytes", self.received_bytes, self.received_bytes_delta),
            ("sent_segments", self.sent_segments, self.sent_segments_delta),
            ("received_segments", self.received_segments, self.received_segments_delta),
            ("retransmits", self.retransmits, self.retransmits_delta),
            ("lost", self.lost, self.lost_delta),
        ]
    }
}
