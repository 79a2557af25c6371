//! What rows are called, and which flows are in one row.

use std::net::IpAddr;
use std::sync::Arc;

use longwave_exporters::names::{qualified, service_beside};
use longwave_pipeline::model::{Endpoint, Level, Service, Workload};

/// The two ends of a row as text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RowNames {
    /// The client: `checkout.shop`, or its address if its workload is unknown. For a connection with the port.
    pub source: Arc<str>,
    /// The server, in the same form; an address is followed by the port.
    pub destination: Arc<str>,
    /// The service that the client connected to; empty if it is unknown or equal to the destination.
    pub service: Arc<str>,
}

/// What identifies a row of several flows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct RowKey {
    pub(super) level: Level,
    pub(super) names: RowNames,
}

/// The ends of a flow, as far as they are known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ends<'a> {
    pub(super) source: Option<&'a Workload>,
    pub(super) destination: Option<&'a Workload>,
    pub(super) service: Option<&'a Service>,
    pub(super) source_address: Endpoint,
    pub(super) destination_address: Endpoint,
}

/// Names of the row of everything that has no row of its own.
pub(super) const OTHERS: &str = "(others)";

// === impl Ends ===

impl Ends<'_> {
    /// Returns the names of the row at `level`.
    pub(super) fn names(&self, level: Level) -> RowNames {
        let source = self.source.and_then(workload);
        let destination = self.destination.and_then(workload);
        let service = self.service.and_then(|service| qualified(&service.name, &service.namespace));
        let (client, server) = (self.source_address, self.destination_address);
        match level {
            Level::Service => RowNames {
                source: source.unwrap_or_else(|| address(client.address)).into(),
                destination: service.or(destination).unwrap_or_else(|| server.to_string()).into(),
                service: "".into(),
            },
            Level::Workload => {
                let destination = destination.unwrap_or_else(|| server.to_string());
                RowNames {
                    source: source.unwrap_or_else(|| address(client.address)).into(),
                    service: service_beside(service, &destination).into(),
                    destination: destination.into(),
                }
            }
            Level::Connection => RowNames {
                source: with_port(source, client).into(),
                destination: with_port(destination, server).into(),
                service: service.unwrap_or_default().into(),
            },
        }
    }
}

// === impl RowNames ===

impl RowNames {
    pub(super) fn others() -> Self {
        Self { source: OTHERS.into(), destination: "".into(), service: "".into() }
    }
}

/// Returns the name of a workload. `None` if it is unknown.
fn workload(workload: &Workload) -> Option<String> {
    qualified(&workload.name, &workload.namespace)
}

fn with_port(name: Option<String>, end: Endpoint) -> String {
    match name {
        Some(name) if end.port == 0 => name,
        Some(name) => format!("{name}:{}", end.port),
        None if end.port == 0 => address(end.address),
        None => end.to_string(),
    }
}

fn address(address: IpAddr) -> String {
    address.to_string()
}
