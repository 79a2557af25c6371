//! A container, decoded from a list or an inspection into one form.

use std::collections::HashMap;
use std::net::IpAddr;

use bollard::models::{ContainerInspectResponse, ContainerSummary, EndpointSettings, PortSummaryTypeEnum};
use ipnet::IpNet;
use longwave_pipeline::model::{Endpoint, UnixNanos};

use crate::rfc3339;

/// Labels that Compose and podman-compose set.
const COMPOSE_PROJECT: &str = "com.docker.compose.project";
const COMPOSE_SERVICE: &str = "com.docker.compose.service";

/// A container's id: 64 hex digits as 32 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct ContainerId(pub [u8; 32]);

/// What the daemon reports of a container.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Container {
    pub id: ContainerId,
    /// Without the leading slash.
    pub name: String,
    pub image: String,
    pub labels: HashMap<String, String>,
    pub state: ContainerState,
    pub attached: Vec<AttachedAddress>,
    /// Published TCP ports of the host. The address is unspecified if a port is published on all addresses.
    pub published: Vec<Endpoint>,
}

/// State of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ContainerState {
    /// Created and not started.
    Created,
    /// Running; `since` is `None` if its start is unknown.
    Running { since: Option<UnixNanos> },
    /// Ended; `at` is `None` if the time is unknown.
    Ended { at: Option<UnixNanos> },
}

/// A container's address in one of its networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AttachedAddress {
    pub address: IpAddr,
    /// The network; `None` if it is not reported.
    pub subnet: Option<IpNet>,
    /// The host's address in the network.
    pub gateway: Option<IpAddr>,
}

// === impl ContainerId ===

impl ContainerId {
    /// Parses 64 hex digits.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.as_bytes();
        if text.len() != 64 {
            return None;
        }
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let mut id = [0; 32];
        for (byte, digits) in id.iter_mut().zip(text.chunks_exact(2)) {
            *byte = u8::try_from(digit(digits[0])? << 4 | digit(digits[1])?).ok()?;
        }
        Some(Self(id))
    }
}

impl std::fmt::Display for ContainerId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

// === impl Container ===

impl Container {
    /// Decodes an entry of a list of running containers.
    pub fn from_summary(summary: ContainerSummary) -> Option<Self> {
        let seconds = summary.created.and_then(|seconds| u64::try_from(seconds).ok());
        let networks = summary.network_settings.and_then(|settings| settings.networks);
        let published = summary.ports.unwrap_or_default().into_iter().filter_map(|port| {
            let tcp = port.typ.is_none_or(|kind| kind == PortSummaryTypeEnum::TCP);
            published(port.ip.as_deref(), port.public_port.filter(|_| tcp)?)
        });
        Some(Self {
            id: ContainerId::parse(summary.id.as_deref()?)?,
            // The other names are links: `/other/alias`.
            name: summary.names?.iter().find_map(|name| own_name(name))?.to_owned(),
            image: summary.image.unwrap_or_default(),
            labels: summary.labels.unwrap_or_default(),
            state: ContainerState::Running {
                since: seconds.map(|seconds| UnixNanos(seconds.saturating_mul(1_000_000_000))),
            },
            attached: attached(networks),
            published: distinct(published),
        })
    }

    /// Decodes an inspection.
    pub fn from_inspection(inspected: ContainerInspectResponse) -> Option<Self> {
        let state = inspected.state.unwrap_or_default();
        let time = |text: Option<String>| rfc3339::parse(&text?);
        let settings = inspected.network_settings.unwrap_or_default();
        let config = inspected.config.unwrap_or_default();
        let state = if state.running == Some(true) {
            ContainerState::Running { since: time(state.started_at) }
        } else {
            match time(state.finished_at) {
                None if time(state.started_at).is_none() => ContainerState::Created,
                at => ContainerState::Ended { at },
            }
        };
        let bindings = settings.ports.unwrap_or_default();
        let bindings = bindings.into_iter().filter(|(port, _)| !port.contains('/') || port.ends_with("/tcp"));
        let bindings = bindings.flat_map(|(_, bindings)| bindings.unwrap_or_default());
        let published = bindings
            .filter_map(|binding| published(binding.host_ip.as_deref(), binding.host_port?.parse().ok()?));
        Some(Self {
            id: ContainerId::parse(inspected.id.as_deref()?)?,
            name: own_name(inspected.name.as_deref()?)?.to_owned(),
            image: config.image.unwrap_or_default(),
            labels: config.labels.unwrap_or_default(),
            state,
            attached: attached(settings.networks),
            published: distinct(published),
        })
    }

    /// Returns the Compose project and service that the container belongs to.
    pub fn compose(&self) -> Option<(&str, &str)> {
        let service = self.labels.get(COMPOSE_SERVICE)?;
        Some((self.labels.get(COMPOSE_PROJECT).map_or("", String::as_str), service))
    }
}

/// Returns the name in `/name` or `name`; `None` for a link.
fn own_name(name: &str) -> Option<&str> {
    let name = name.strip_prefix('/').unwrap_or(name);
    (!name.is_empty() && !name.contains('/')).then_some(name)
}

fn published(address: Option<&str>, port: u16) -> Option<Endpoint> {
    let address = match address {
        None | Some("") => "0.0.0.0",
        Some(address) => address,
    };
    let address: IpAddr = address.parse().ok()?;
    (port != 0).then_some(Endpoint { address: address.to_canonical(), port })
}

fn distinct(published: impl Iterator<Item = Endpoint>) -> Vec<Endpoint> {
    let mut published: Vec<Endpoint> = published.collect();
    published.sort_unstable();
    published.dedup();
    published
}

fn attached(networks: Option<HashMap<String, EndpointSettings>>) -> Vec<AttachedAddress> {
    let of_network = |network: EndpointSettings| {
        let v4 = address(network.ip_address, network.ip_prefix_len, network.gateway);
        let v6 = address(network.global_ipv6_address, network.global_ipv6_prefix_len, network.ipv6_gateway);
        [v4, v6].into_iter().flatten()
    };
    let mut attached: Vec<AttachedAddress> =
        networks.unwrap_or_default().into_values().flat_map(of_network).collect();
    attached.sort_unstable_by_key(|attached| attached.address);
    attached.dedup_by_key(|attached| attached.address);
    attached
}

fn address(address: Option<String>, prefix: Option<i64>, gateway: Option<String>) -> Option<AttachedAddress> {
    let address: IpAddr = address?.parse().ok()?;
    let prefix = prefix.and_then(|prefix| u8::try_from(prefix).ok()).filter(|prefix| *prefix > 0);
    let subnet = prefix.and_then(|prefix| IpNet::new(address, prefix).ok()).map(|net| net.trunc());
    Some(AttachedAddress { address, subnet, gateway: gateway.and_then(|gateway| gateway.parse().ok()) })
}
