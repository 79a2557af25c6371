//! Pods.

use std::borrow::Cow;
use std::net::IpAddr;

use longwave_pipeline::model::UnixNanos;
use serde::Deserialize;

use super::{ObjectMeta, in_order, is_tcp, nullable};
use crate::rfc3339;

/// A pod.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Pod<'a> {
    /// The pod's metadata.
    #[serde(borrow)]
    pub metadata: ObjectMeta<'a>,
    #[serde(borrow)]
    spec: PodSpec<'a>,
    #[serde(borrow)]
    status: PodStatus<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PodSpec<'a> {
    #[serde(borrow)]
    node_name: Cow<'a, str>,
    host_network: bool,
    #[serde(borrow, deserialize_with = "nullable")]
    containers: Vec<ContainerSpec<'a>>,
    #[serde(borrow, deserialize_with = "nullable")]
    init_containers: Vec<ContainerSpec<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ContainerSpec<'a> {
    #[serde(borrow, deserialize_with = "nullable")]
    ports: Vec<ContainerPort<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ContainerPort<'a> {
    container_port: u16,
    host_port: u16,
    #[serde(borrow)]
    protocol: Cow<'a, str>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PodStatus<'a> {
    #[serde(borrow)]
    phase: Cow<'a, str>,
    #[serde(borrow, rename = "podIP")]
    pod_ip: Cow<'a, str>,
    #[serde(borrow, rename = "podIPs", deserialize_with = "nullable")]
    pod_ips: Vec<PodIp<'a>>,
    #[serde(borrow, rename = "hostIP")]
    host_ip: Cow<'a, str>,
    #[serde(borrow, rename = "hostIPs", deserialize_with = "nullable")]
    host_ips: Vec<PodIp<'a>>,
    #[serde(borrow, deserialize_with = "nullable")]
    container_statuses: Vec<ContainerStatus<'a>>,
    #[serde(borrow, deserialize_with = "nullable")]
    init_container_statuses: Vec<ContainerStatus<'a>>,
    #[serde(borrow, deserialize_with = "nullable")]
    ephemeral_container_statuses: Vec<ContainerStatus<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PodIp<'a> {
    #[serde(borrow)]
    ip: Cow<'a, str>,
}

/// Status of a container.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct ContainerStatus<'a> {
    /// Name within the pod.
    #[serde(borrow)]
    pub name: Cow<'a, str>,
    /// `containerd://…`; empty before the container is created.
    #[serde(borrow, rename = "containerID")]
    pub container_id: Cow<'a, str>,
    #[serde(borrow)]
    state: ContainerState<'a>,
    #[serde(borrow)]
    last_state: ContainerState<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ContainerState<'a> {
    #[serde(borrow, deserialize_with = "nullable")]
    running: StateTimes<'a>,
    #[serde(borrow, deserialize_with = "nullable")]
    terminated: StateTimes<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct StateTimes<'a> {
    /// `null` for a container whose state was lost in a restart of its node.
    #[serde(borrow, deserialize_with = "nullable")]
    started_at: Cow<'a, str>,
}

// === impl Pod ===

impl<'a> Pod<'a> {
    /// Returns the name of the pod's node; empty before it is scheduled.
    pub fn node(&self) -> &str {
        &self.spec.node_name
    }

    /// Returns whether the pod is in its node's network namespace, and so has its node's addresses.
    pub fn host_network(&self) -> bool {
        self.spec.host_network
    }

    /// Returns whether all containers have ended permanently. Another pod may get the addresses.
    pub fn finished(&self) -> bool {
        matches!(&*self.status.phase, "Succeeded" | "Failed")
    }

    /// Returns the pod's addresses, which are its node's if it is in the host's network.
    pub fn addresses(&self) -> Vec<IpAddr> {
        addresses(&self.status.pod_ips, &self.status.pod_ip)
    }

    /// Returns the addresses of the pod's node.
    pub fn node_addresses(&self) -> Vec<IpAddr> {
        addresses(&self.status.host_ips, &self.status.host_ip)
    }

    /// Returns all containers that the kubelet has reported.
    pub fn containers(&self) -> impl Iterator<Item = &ContainerStatus<'a>> {
        let status = &self.status;
        let others = status.init_container_statuses.iter().chain(&status.ephemeral_container_statuses);
        status.container_statuses.iter().chain(others)
    }

    /// Returns the ports of its node's addresses that lead to the pod: declared ports in the host's network, else forwarded ports.
    pub fn node_ports(&self) -> Vec<u16> {
        let containers = self.spec.containers.iter().chain(&self.spec.init_containers);
        let declared =
            containers.flat_map(|container| &container.ports).filter(|port| is_tcp(&port.protocol));
        let port = |port: &ContainerPort<'_>| {
            if self.spec.host_network { port.container_port } else { port.host_port }
        };
        in_order(declared.map(port))
    }

    /// Returns the earliest known start of a container, to the second. No connection of the pod is older.
    pub fn first_start(&self) -> Option<UnixNanos> {
        let times = |status: &ContainerStatus<'_>| {
            let states = [&status.state, &status.last_state];
            let times = states.into_iter().flat_map(|state| [&state.running, &state.terminated]);
            times.filter_map(|times| rfc3339::parse_utc_seconds(&times.started_at)).min()
        };
        self.containers().filter_map(times).min()
    }
}

fn addresses(all: &[PodIp<'_>], first: &str) -> Vec<IpAddr> {
    let mut found: Vec<IpAddr> = Vec::with_capacity(all.len().max(1));
    for text in all.iter().map(|address| &*address.ip).chain([first]) {
        if let Ok(address) = text.parse::<IpAddr>().map(|address| address.to_canonical())
            && !found.contains(&address)
        {
            found.push(address);
        }
    }
    found
}
