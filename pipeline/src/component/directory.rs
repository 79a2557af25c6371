//! [`Directory`]: resolves the names of containers, addresses and services. Extensions provide directories, processors query them.
//!
//! A directory answers immediately from memory, as of a given time: an address that was reused later resolves to the workload that had it
//! at that time.

use std::net::IpAddr;
use std::sync::Arc;

use hashbrown::HashMap;

use crate::component::error::ComponentError;
use crate::model::Endpoint;
use crate::model::UnixNanos;
use crate::model::{Handle, Service, Workload};

/// Result of a query to a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer<T> {
    /// The name is known.
    Known(T),
    /// A part of the name is known (the pod, but not its container), and the rest is not known yet. Query again when
    /// [`Directory::version`] has changed. If nothing can wait for the rest, use the part.
    Partial(T),
    /// The name is not known yet. Query again when [`Directory::version`] has changed.
    Pending,
    /// The name is not known and not expected.
    Unknown,
}

/// The path of a cgroup and the ids in it. An id that the path does not contain is empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CgroupName<'a> {
    /// Path below the mount point, which begins with `/`.
    pub path: &'a str,
    /// Id of the container: 64 hex digits.
    pub container_id: &'a str,
    /// UID of the pod, with dashes as in Kubernetes.
    pub pod_uid: &'a str,
}

/// Resolves names from one source.
///
/// Every query has a time `at`. A directory keeps former values for a limited time.
pub trait Directory: Send + Sync {
    /// Returns a number that changes when there is a new answer, or when a pending one may be known. It need not change when a value ends
    /// or is evicted, because earlier queries returned that value.
    fn version(&self) -> u64;

    /// Returns a number that changes when the name of a workload that a query has returned may be another one now: the pod of an address has
    /// other labels or another owner. [`Self::version`] changes as well.
    fn renames(&self) -> u64 {
        self.version()
    }

    /// Returns the workload of a cgroup: of its container, pod or systemd unit.
    fn workload_of_cgroup(&self, cgroup: &CgroupName<'_>, at: UnixNanos) -> Answer<Handle<Workload>>;

    /// Returns the workload that had the address. The port distinguishes workloads that share an address (pods in the host's network). It
    /// is 0 if it has no meaning, as for a client.
    fn workload_of_address(&self, end: Endpoint, at: UnixNanos) -> Answer<Handle<Workload>>;

    /// Returns the service of an address that clients connect to: a cluster IP, an external address, a load balancer's address, or a node
    /// port.
    fn service_of_address(&self, address: Endpoint, at: UnixNanos) -> Answer<Handle<Service>>;

    /// Returns the service of a backend. If several match, returns the first by namespace and name, with [`Service::ambiguous`] set.
    fn service_of_backend(&self, backend: Endpoint, at: UnixNanos) -> Answer<Handle<Service>>;

    /// Returns the service that has the port at every address of every node.
    fn service_of_node_port(&self, port: u16, at: UnixNanos) -> Answer<Handle<Service>> {
        let _ = (port, at);
        Answer::Unknown
    }

    /// Whether connections to the port may be translated at any address of this host, also at those that [`Self::is_translated`] does not
    /// cover.
    fn is_node_port(&self, port: u16) -> bool {
        let _ = port;
        false
    }

    /// Whether connections to `address` may be translated to another address, as for cluster IPs and addresses of nodes. Only then is the
    /// translation looked up.
    fn is_translated(&self, address: IpAddr) -> bool;
}

/// The directories of a running graph, by the ids of their extensions.
#[derive(Clone, Default)]
pub struct Directories {
    by_id: Arc<HashMap<String, Arc<dyn Directory>>>,
}

// === impl Answer ===

impl<T> Answer<T> {
    /// Returns the name, as far as it is known.
    pub fn known(self) -> Option<T> {
        match self {
            Self::Known(value) | Self::Partial(value) => Some(value),
            Self::Pending | Self::Unknown => None,
        }
    }

    /// Returns this answer if it is known, also in part, otherwise that of `next`. Pending if neither is known and at least one is pending.
    #[must_use]
    pub fn or_else(self, next: impl FnOnce() -> Self) -> Self {
        match self {
            known @ (Self::Known(_) | Self::Partial(_)) => known,
            Self::Unknown => next(),
            Self::Pending => match next() {
                known @ (Self::Known(_) | Self::Partial(_)) => known,
                Self::Pending | Self::Unknown => Self::Pending,
            },
        }
    }
}

// === impl Directories ===

impl Directories {
    /// Collects the directories of extensions, by their ids.
    pub fn new(directories: impl IntoIterator<Item = (String, Arc<dyn Directory>)>) -> Self {
        Self { by_id: Arc::new(directories.into_iter().collect()) }
    }

    /// Returns the directory of extension `id`.
    ///
    /// # Errors
    /// The extension does not resolve names (`health_check`), or does not exist.
    pub fn get(&self, id: &str) -> Result<Arc<dyn Directory>, ComponentError> {
        self.by_id.get(id).cloned().ok_or_else(|| {
            ComponentError::new(format!("extensions::{id} does not resolve names: remove it from `sources`"))
        })
    }
}

#[cfg(test)]
mod tests;
