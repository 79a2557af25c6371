//! Objects as an API server writes them, and a directory that tests fill with them.

use std::sync::Arc;

use longwave_pipeline::component::{Answer, CgroupName, Directory};
use longwave_pipeline::model::{Endpoint, UnixNanos};
use serde_json::{Value, json};

use crate::history::Bounds;
use crate::kubernetes::directory::{KubernetesDirectory, PodTable, ServiceTable, SliceTable};
use crate::kubernetes::tables::{SelectedFields, Update};
use crate::kubernetes::telemetry::{Instruments, ResourceStats};
use crate::kubernetes::watch::ObjectTable;

/// `2026-11-21T09:00:00Z`.
pub const NINE: u64 = 1_795_251_600;

/// Returns the time `seconds` after [`NINE`].
pub fn at(seconds: u64) -> UnixNanos {
    UnixNanos((NINE + seconds) * 1_000_000_000)
}

/// Returns the same time as Kubernetes writes it.
pub fn rfc3339(seconds: u64) -> String {
    format!("2026-11-21T{:02}:{:02}:{:02}Z", 9 + seconds / 3600, seconds / 60 % 60, seconds % 60)
}

pub fn uid(number: u64) -> String {
    format!("{number:08x}-8b1d-4c57-9a50-{number:012x}")
}

pub fn container_id(number: u64) -> String {
    format!("{number:064x}").chars().rev().collect()
}

/// Returns a running pod of the Deployment `owner` on `node-1`, created and started at `start`.
pub fn pod(number: u64, owner: &str, address: &str, start: u64) -> Value {
    json!({
        "metadata": {
            "name": format!("{owner}-5f6d-{number}"), "namespace": "shop", "uid": uid(number), "resourceVersion": number.to_string(),
            "creationTimestamp": rfc3339(start), "labels": {"app": owner, "pod-template-hash": "5f6d"},
            "ownerReferences": [{"kind": "ReplicaSet", "name": format!("{owner}-5f6d"), "controller": true}]
        },
        "spec": {"nodeName": "node-1", "containers": [{"name": "main", "ports": [{"containerPort": 8080}]}]},
        "status": {
            "phase": "Running", "hostIP": "192.0.2.10", "podIP": address, "podIPs": [{"ip": address}],
            "containerStatuses": [{
                "name": "main", "containerID": format!("containerd://{}", container_id(number)),
                "state": {"running": {"startedAt": rfc3339(start)}}
            }]
        }
    })
}

/// Returns the same pod in the host's network, with these ports.
pub fn host_pod(number: u64, owner: &str, ports: &[u16], start: u64) -> Value {
    let mut pod = pod(number, owner, "192.0.2.10", start);
    pod["spec"]["hostNetwork"] = true.into();
    pod["spec"]["containers"][0]["ports"] = ports.iter().map(|port| json!({"containerPort": port})).collect();
    pod
}

pub fn service(number: u64, name: &str, address: &str, port: u16) -> Value {
    json!({
        "metadata": {"name": name, "namespace": "shop", "uid": uid(number), "creationTimestamp": rfc3339(0), "resourceVersion": "1"},
        "spec": {"type": "ClusterIP", "clusterIP": address, "clusterIPs": [address], "ports": [{"port": port}],
            "selector": {"app": name}},
        "status": {"loadBalancer": {}}
    })
}

/// Returns a slice of `service` with these (address, pod) pairs at `port`.
pub fn slice(number: u64, service: &str, port: u16, endpoints: &[(&str, u64)]) -> Value {
    let endpoint = |(address, pod): &(&str, u64)| json!({"addresses": [address], "targetRef": {"kind": "Pod", "uid": uid(*pod)}});
    json!({
        "metadata": {"name": format!("{service}-{number}"), "namespace": "shop", "uid": uid(number), "resourceVersion": "1",
            "labels": {"kubernetes.io/service-name": service}},
        "endpoints": endpoints.iter().map(endpoint).collect::<Value>(),
        "ports": [{"port": port, "protocol": "TCP"}]
    })
}

/// One of the three tables.
#[derive(Clone, Copy)]
pub enum TableKind {
    Pods,
    Services,
    Slices,
}

/// A directory without watches.
pub struct Fixture {
    pub directory: Arc<KubernetesDirectory>,
    pub listing: u32,
}

impl Fixture {
    /// Creates a directory after empty listings. The last response of the API server was at `contact`.
    pub fn new(node: &str, contact: u64) -> Self {
        Self::with(node, contact, true, &["pods", "services", "endpointslices"])
    }

    /// Creates a directory after empty listings of these resources, of the pods of all nodes or of `node` only.
    pub fn with(node: &str, contact: u64, all_pods: bool, listed: &[&str]) -> Self {
        let instruments = Instruments::new(&opentelemetry::global::meter("test"), "kubernetes");
        let resources = ["pods", "services", "endpointslices"];
        let stats = resources.map(|resource| ResourceStats::new(resource, &instruments));
        let selected = SelectedFields { node: node.to_owned(), ..SelectedFields::default() };
        let directory =
            Arc::new(KubernetesDirectory::new(selected, true, all_pods, stats.clone(), Bounds::default()));
        for (one, resource) in stats.iter().zip(resources) {
            if listed.contains(&resource) {
                one.synced(Default::default());
            }
            one.contacted(at(contact));
        }
        Self { directory, listing: 1 }
    }

    pub fn table(&self, of: TableKind) -> Box<dyn ObjectTable> {
        let directory = Arc::clone(&self.directory);
        match of {
            TableKind::Pods => Box::new(PodTable(directory)),
            TableKind::Services => Box::new(ServiceTable(directory)),
            TableKind::Slices => Box::new(SliceTable(directory)),
        }
    }

    /// Applies an object at `now` that may be valid since ten seconds before.
    pub fn apply(&self, of: TableKind, object: &Value, now: u64) {
        let update = Update { now: at(now), since: at(now.saturating_sub(10)), listing: self.listing };
        self.table(of).apply(&object.to_string(), update).unwrap();
    }

    pub fn remove(&self, of: TableKind, object: &Value, now: u64) {
        self.table(of).remove(&object.to_string(), at(now)).unwrap();
    }

    /// Returns a name like `Deployment/web (web-5f6d-1)`, `pending` or `unknown`.
    pub fn workload(&self, address: &str, port: u16, time: u64) -> String {
        let end = Endpoint { address: address.parse().unwrap(), port };
        shown(self.directory.workload_of_address(end, at(time)), |w| {
            format!("{}/{} ({})", w.kind, w.name, w.pod)
        })
    }

    /// Returns the same as [`Self::workload`], with the container.
    pub fn cgroup(&self, container_id: &str, pod_uid: &str, time: u64) -> String {
        let name = CgroupName { path: "", container_id, pod_uid };
        shown(self.directory.workload_of_cgroup(&name, at(time)), |w| {
            format!("{}/{} ({}) {}", w.kind, w.name, w.pod, w.container)
        })
    }

    /// Returns a name like `shop/web`, with `*` if it is ambiguous, `pending` or `unknown`.
    pub fn service(&self, address: &str, port: u16, time: u64) -> String {
        let frontend = Endpoint { address: address.parse().unwrap(), port };
        shown(self.directory.service_of_address(frontend, at(time)), named)
    }

    pub fn node_port(&self, port: u16, time: u64) -> String {
        shown(self.directory.service_of_node_port(port, at(time)), named)
    }

    pub fn backend(&self, address: &str, port: u16, time: u64) -> String {
        let backend = Endpoint { address: address.parse().unwrap(), port };
        shown(self.directory.service_of_backend(backend, at(time)), named)
    }
}

fn named(service: &longwave_pipeline::model::Handle<longwave_pipeline::model::Service>) -> String {
    format!("{}/{}{}", service.namespace, service.name, if service.ambiguous { "*" } else { "" })
}

fn shown<T>(answer: Answer<T>, show: impl FnOnce(&T) -> String) -> String {
    match answer {
        Answer::Known(value) => show(&value),
        Answer::Partial(value) => format!("{}…", show(&value)),
        Answer::Pending => "pending".to_owned(),
        Answer::Unknown => "unknown".to_owned(),
    }
}
