//! [`ConnectionKey`]: the attributes of a connection in a series' key.

use std::fmt;
use std::net::IpAddr;

use crate::model::record::{ConnectionId, ConnectionRecord, Endpoint, Role};
use crate::model::series_attributes::{Attribute, SeriesAttributes};
use crate::model::time::UnixNanos;

/// One connection, or several with the same attributes. `None` is no attribute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ConnectionKey {
    /// Identity of the connection.
    pub id: Option<ConnectionId>,
    /// Role of the reporting socket.
    pub role: Option<Role>,
    /// The client's end.
    pub source: EndpointKey,
    /// The server's end.
    pub destination: EndpointKey,
    /// Time of the open; also `None` if it is unknown.
    pub opened: Option<UnixNanos>,
}

/// Address and port of an end. `None` is no attribute. Displayed as `10.0.0.1:80`, `10.0.0.1`, `:80`, or not at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct EndpointKey {
    /// Address.
    pub address: Option<IpAddr>,
    /// Port.
    pub port: Option<u16>,
}

// === impl ConnectionKey ===

impl ConnectionKey {
    /// Returns the key of the record's connection with all attributes.
    pub(crate) fn of_record(record: &ConnectionRecord) -> Self {
        Self {
            id: Some(record.id),
            role: Some(record.role),
            source: record.source().into(),
            destination: record.destination().into(),
            opened: record.start_known.then_some(record.opened),
        }
    }

    /// Returns the key without the attributes that are not selected.
    pub(super) fn only(self, attributes: &SeriesAttributes) -> Self {
        let end = |end: EndpointKey, address, port| EndpointKey {
            address: end.address.filter(|_| attributes.has(address)),
            port: end.port.filter(|_| attributes.has(port)),
        };
        Self {
            id: self.id.filter(|_| attributes.has(Attribute::ConnectionId)),
            role: self.role.filter(|_| attributes.has(Attribute::ConnectionRole)),
            source: end(self.source, Attribute::SourceAddress, Attribute::SourcePort),
            destination: end(self.destination, Attribute::DestinationAddress, Attribute::DestinationPort),
            opened: self.opened.filter(|_| attributes.has(Attribute::ConnectionStartTime)),
        }
    }
}

// === impl EndpointKey ===

impl From<Endpoint> for EndpointKey {
    fn from(Endpoint { address, port }: Endpoint) -> Self {
        Self { address: Some(address), port: Some(port) }
    }
}

impl fmt::Display for EndpointKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.address, self.port) {
            (Some(address), Some(port)) => Endpoint { address, port }.fmt(f),
            (Some(address), None) => address.fmt(f),
            (None, Some(port)) => write!(f, ":{port}"),
            (None, None) => Ok(()),
        }
    }
}

impl EndpointKey {
    /// Returns whether there is neither an address nor a port.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
