//! Endpoint slices.

use std::borrow::Cow;
use std::net::IpAddr;

use serde::Deserialize;

use super::{ObjectMeta, Text, Uid, is_tcp, nullable, pick};

/// A slice of a service's endpoints.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct EndpointSlice<'a> {
    /// The slice's metadata; its labels name the service.
    #[serde(borrow)]
    pub metadata: ObjectMeta<'a>,
    #[serde(borrow, deserialize_with = "nullable")]
    endpoints: Vec<SliceEndpoint<'a>>,
    #[serde(borrow, deserialize_with = "nullable")]
    ports: Vec<SlicePort<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct SliceEndpoint<'a> {
    #[serde(borrow, deserialize_with = "nullable")]
    addresses: Vec<Text<'a>>,
    #[serde(borrow, deserialize_with = "nullable")]
    target_ref: TargetRef<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct TargetRef<'a> {
    #[serde(borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    uid: Cow<'a, str>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SlicePort<'a> {
    port: Option<u16>,
    #[serde(borrow)]
    protocol: Cow<'a, str>,
}

/// An address and port that serve a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Backend {
    /// Address of the endpoint; IPv4 if it is an IPv4-mapped IPv6 address.
    pub address: IpAddr,
    /// Port; 0 stands for any port.
    pub port: u16,
    /// [`Uid::short`] of the pod; 0 if there is none.
    pub pod: u64,
}

// === impl EndpointSlice ===

impl<'a> EndpointSlice<'a> {
    /// Returns the name of the service, which is in the slice's namespace.
    pub fn service(&self) -> Option<Cow<'a, str>> {
        let [name] =
            <[_; 1]>::try_from(pick(self.metadata.labels, &["kubernetes.io/service-name"]).ok()?).ok()?;
        name.filter(|name| !name.is_empty())
    }

    /// Returns addresses and ports, sorted. They need not be ready, because a connection to a backend that starts or drains is one to the
    /// service too.
    pub fn backends(&self) -> Vec<Backend> {
        let tcp = self.ports.iter().filter(|port| is_tcp(&port.protocol));
        let mut ports: Vec<u16> = tcp.map(|port| port.port.unwrap_or_default()).collect();
        // A headless service without ports has all ports.
        if self.ports.is_empty() {
            ports.push(0);
        }
        let mut found = Vec::with_capacity(self.endpoints.len() * ports.len());
        for endpoint in &self.endpoints {
            let target = &endpoint.target_ref;
            let uid = if target.kind == "Pod" { Uid::parse(&target.uid) } else { None };
            let pod = uid.map_or(0, Uid::short);
            for text in &endpoint.addresses {
                let Ok(address) = text.0.parse::<IpAddr>() else { continue };
                let address = address.to_canonical();
                found.extend(ports.iter().map(|port| Backend { address, port: *port, pod }));
            }
        }
        found.sort_unstable();
        found.dedup();
        found
    }
}
