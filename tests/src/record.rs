//! One line of a logs pipeline on `stdout`.

use std::net::{IpAddr, SocketAddr};

use serde::Deserialize;

/// An access-log record, with the keys that the tests compare. Bytes and segments are totals since the open.
#[derive(Clone, Debug, Deserialize)]
pub struct Record {
    /// `longwave.tcp.connection.{open,update,close,fail,vanished}`.
    pub event_name: String,
    /// RFC 3339 time with nanoseconds.
    pub timestamp: String,
    /// `source` or `destination`.
    #[serde(default)]
    pub reporter: String,
    /// Address of the client.
    #[serde(rename = "source.address")]
    pub source_address: Option<IpAddr>,
    /// Port of the client.
    #[serde(rename = "source.port")]
    pub source_port: Option<u16>,
    /// Address of the server.
    #[serde(rename = "destination.address")]
    pub destination_address: Option<IpAddr>,
    /// Port of the server.
    #[serde(rename = "destination.port")]
    pub destination_port: Option<u16>,
    /// Name of the workload of the client.
    #[serde(rename = "source.workload.name")]
    pub source_workload: Option<String>,
    /// Name of the workload of the server.
    #[serde(rename = "destination.workload.name")]
    pub destination_workload: Option<String>,
    /// Name of the service that the client connected to.
    #[serde(rename = "destination.service.name")]
    pub service: Option<String>,
    /// Namespace of the service.
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
    /// False if the bytes cannot be derived exactly from the counters of TCP.
    #[serde(rename = "longwave.exact", default = "yes")]
    pub exact: bool,
    /// How the owner was found.
    #[serde(rename = "longwave.owner.source")]
    pub owner_source: Option<String>,
    /// Process id of the owner.
    #[serde(rename = "process.pid")]
    pub pid: Option<i32>,
    /// Time since the open in seconds.
    #[serde(rename = "longwave.connection.duration")]
    pub duration: Option<f64>,
    /// Payload sent, without retransmissions.
    #[serde(rename = "longwave.tcp.sent_bytes", default)]
    pub sent_bytes: u64,
    /// Delta of it since the previous record.
    #[serde(rename = "longwave.tcp.sent_bytes.delta", default)]
    pub sent_bytes_delta: u64,
    /// Payload delivered in order.
    #[serde(rename = "longwave.tcp.received_bytes", default)]
    pub received_bytes: u64,
    /// Delta of it since the previous record.
    #[serde(rename = "longwave.tcp.received_bytes.delta", default)]
    pub received_bytes_delta: u64,
    /// Segments sent, with retransmissions.
    #[serde(rename = "longwave.tcp.sent_segments", default)]
    pub sent_segments: u64,
    /// Delta of it since the previous record.
    #[serde(rename = "longwave.tcp.sent_segments.delta", default)]
    pub sent_segments_delta: u64,
    /// Segments received.
    #[serde(rename = "longwave.tcp.received_segments", default)]
    pub received_segments: u64,
    /// Delta of it since the previous record.
    #[serde(rename = "longwave.tcp.received_segments.delta", default)]
    pub received_segments_delta: u64,
    /// Retransmitted segments.
    #[serde(rename = "longwave.tcp.retransmits", default)]
    pub retransmits: u64,
    /// Delta of it since the previous record.
    #[serde(rename = "longwave.tcp.retransmits.delta", default)]
    pub retransmits_delta: u64,
    /// Segments that TCP marked as lost.
    #[serde(rename = "longwave.tcp.lost", default)]
    pub lost: u64,
    /// Delta of it since the previous record.
    #[serde(rename = "longwave.tcp.lost.delta", default)]
    pub lost_delta: u64,
    /// Bytes that the application wrote and TCP has not sent.
    #[serde(rename = "longwave.tcp.unsent_bytes", default)]
    pub unsent_bytes: u64,
    /// Bytes that TCP received and the application has not read.
    #[serde(rename = "longwave.tcp.unread_bytes", default)]
    pub unread_bytes: u64,
    /// TCP state before the close.
    #[serde(rename = "network.connection.state")]
    pub state: Option<String>,
    /// Reason of the close.
    #[serde(rename = "longwave.close.reason")]
    pub close_reason: Option<String>,
    /// Reason of the failure.
    #[serde(rename = "error.type")]
    pub error_type: Option<String>,
}

fn yes() -> bool {
    true
}

impl Record {
    /// Returns the last part of the name of the event: `open`, `update`, `close`, `fail`, `vanished`.
    pub fn event(&self) -> &str {
        self.event_name.rsplit('.').next().unwrap_or_default()
    }

    /// Returns whether this is the last record of the connection.
    pub fn is_final(&self) -> bool {
        matches!(self.event(), "close" | "fail" | "vanished")
    }

    /// Returns the cookie of the socket (`SO_COOKIE`) and the generation. Zeros if the id is malformed.
    pub fn cookie_and_generation(&self) -> (u64, u64) {
        let mut parts = self.id.splitn(3, '-').skip(1).map(|part| u64::from_str_radix(part, 16).unwrap_or(0));
        (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
    }

    /// Returns the cookie of the socket.
    pub fn cookie(&self) -> u64 {
        self.cookie_and_generation().0
    }

    /// Returns address and port of the client.
    pub fn source(&self) -> Option<SocketAddr> {
        Some(SocketAddr::new(self.source_address?, self.source_port?))
    }

    /// Returns address and port of the server.
    pub fn destination(&self) -> Option<SocketAddr> {
        Some(SocketAddr::new(self.destination_address?, self.destination_port?))
    }

    /// Returns name, total and delta of each counter.
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
