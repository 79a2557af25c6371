//! Services.

use std::borrow::Cow;
use std::net::IpAddr;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{ObjectMeta, Text, in_order, is_tcp, nullable};

/// A service.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Service<'a> {
    /// The service's metadata.
    #[serde(borrow)]
    pub metadata: ObjectMeta<'a>,
    #[serde(borrow)]
    spec: ServiceSpec<'a>,
    #[serde(borrow)]
    status: ServiceStatus<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ServiceSpec<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    selector: Option<&'a RawValue>,
    #[serde(borrow, rename = "clusterIP")]
    cluster_ip: Cow<'a, str>,
    #[serde(borrow, rename = "clusterIPs", deserialize_with = "nullable")]
    cluster_ips: Vec<Text<'a>>,
    #[serde(borrow, rename = "externalIPs", deserialize_with = "nullable")]
    external_ips: Vec<Text<'a>>,
    #[serde(borrow, deserialize_with = "nullable")]
    ports: Vec<ServicePort<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ServicePort<'a> {
    port: u16,
    node_port: u16,
    #[serde(borrow)]
    protocol: Cow<'a, str>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ServiceStatus<'a> {
    #[serde(borrow, deserialize_with = "nullable")]
    load_balancer: LoadBalancer<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct LoadBalancer<'a> {
    #[serde(borrow, deserialize_with = "nullable")]
    ingress: Vec<Ingress<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Ingress<'a> {
    #[serde(borrow)]
    ip: Cow<'a, str>,
}

// === impl Service ===

impl Service<'_> {
    /// Returns whether the service selects pods, so that Kubernetes maintains its slices. It does not maintain those of external names, and
    /// leaves the slices that a service had before.
    pub fn selects(&self) -> bool {
        let has_keys = |selector: &RawValue| selector.get().contains(':');
        self.spec.kind != "ExternalName" && self.spec.selector.is_some_and(has_keys)
    }

    /// Returns the addresses to which clients connect: cluster IPs, external IPs, the load balancer's. Empty for headless services and
    /// external names.
    pub fn addresses(&self) -> Vec<IpAddr> {
        if self.spec.kind == "ExternalName" {
            return Vec::new();
        }
        let spec =
            [&self.spec.cluster_ips, &self.spec.external_ips].into_iter().flatten().map(|text| &*text.0);
        let balancer = self.status.load_balancer.ingress.iter().map(|ingress| &*ingress.ip);
        let texts = spec.chain([&*self.spec.cluster_ip]).chain(balancer);
        // "None" (headless) and host names are not addresses.
        let mut found: Vec<IpAddr> =
            texts.filter_map(|text| text.parse::<IpAddr>().ok()).map(|ip| ip.to_canonical()).collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Returns the ports at those addresses.
    pub fn ports(&self) -> Vec<u16> {
        self.tcp_ports(|port| port.port)
    }

    /// Returns the ports at every node's addresses. Empty for external names.
    pub fn node_ports(&self) -> Vec<u16> {
        if self.spec.kind == "ExternalName" { Vec::new() } else { self.tcp_ports(|port| port.node_port) }
    }

    fn tcp_ports(&self, which: fn(&ServicePort<'_>) -> u16) -> Vec<u16> {
        let tcp = self.spec.ports.iter().filter(|port| is_tcp(&port.protocol));
        in_order(tcp.map(which))
    }
}
