//! Who is who: what an extension knows of containers, addresses and services, as processors ask it.
//!
//! A directory answers from memory, at once, and as of a time: an address that was recycled since belongs to whoever had it then.

use std::net::IpAddr;
use std::sync::Arc;

use hashbrown::HashMap;

use crate::component::error::ComponentError;
use crate::model::Endpoint;
use crate::model::UnixNanos;
use crate::model::{Handle, Service, Workload};

/// What a directory says to a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer<T> {
    /// This.
    Known(T),
    /// Nothing yet, and news may be on its way: ask again when [`Directory::version`] has moved.
    Pending,
    /// Nothing, and nothing is expected.
    Unknown,
}

/// What a cgroup's path says of the socket that it owns. Parts are empty where the path does not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CgroupName<'a> {
    /// Below the mount, beginning with `/`.
    pub path: &'a str,
    /// 64 hex digits.
    pub container_id: &'a str,
    /// With dashes, as Kubernetes writes it.
    pub pod_uid: &'a str,
}

/// Who is who, as one extension knows it.
///
/// Every answer is `as of` a time; a directory remembers for a while what was true before, within bounds.
pub trait Directory: Send + Sync {
    /// Moves when there is an answer that there was not before, or a pending one may have come. What is only forgotten, or ends, need
    /// not move it: who asked before has the answer.
    fn version(&self) -> u64;

    /// The workload whose container, pod or unit the cgroup is.
    fn workload_of_cgroup(&self, cgroup: &CgroupName<'_>, at: UnixNanos) -> Answer<Handle<Workload>>;

    /// The workload that had the address. The port helps where several share one (pods in the host's network); it is 0 where it means
    /// nothing (a client's).
    fn workload_of_address(&self, end: Endpoint, at: UnixNanos) -> Answer<Handle<Workload>>;

    /// The service that is asked for by connecting to `asked`: a cluster IP, an external or load balancer's address, a node's port.
    fn service_of_address(&self, asked: Endpoint, at: UnixNanos) -> Answer<Handle<Service>>;

    /// The service that `backend` stands behind. Several: the first by namespace and name, marked [`Service::ambiguous`].
    fn service_of_backend(&self, backend: Endpoint, at: UnixNanos) -> Answer<Handle<Service>>;

    /// Whether `address` is one that the directory's subject may translate to others (cluster IPs, nodes' own addresses): only then a
    /// connection's translation is worth asking for.
    fn is_translated(&self, address: IpAddr) -> bool;
}

/// The directories of a running graph, by the ids of their extensions.
#[derive(Clone, Default)]
pub struct Directories {
    by_id: Arc<HashMap<String, Arc<dyn Directory>>>,
}

// === impl Answer ===

impl<T> Answer<T> {
    /// The answer, if there is one.
    pub fn known(self) -> Option<T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Pending | Self::Unknown => None,
        }
    }

    /// This, or what `next` says where this knows nothing. Pending if neither knows and either may.
    #[must_use]
    pub fn or_else(self, next: impl FnOnce() -> Self) -> Self {
        match self {
            Self::Known(value) => Self::Known(value),
            Self::Unknown => next(),
            Self::Pending => match next() {
                Self::Known(value) => Self::Known(value),
                Self::Pending | Self::Unknown => Self::Pending,
            },
        }
    }
}

// === impl Directories ===

impl Directories {
    /// Of these extensions.
    pub fn new(directories: impl IntoIterator<Item = (String, Arc<dyn Directory>)>) -> Self {
        Self { by_id: Arc::new(directories.into_iter().collect()) }
    }

    /// The directory of extension `id`.
    ///
    /// # Errors
    /// The extension names nobody (`health_check`), or is not there.
    pub fn get(&self, id: &str) -> Result<Arc<dyn Directory>, ComponentError> {
        self.by_id.get(id).cloned().ok_or_else(|| {
            ComponentError::new(format!("extension {id:?} names nobody: it cannot be one of the sources"))
        })
    }
}

#[cfg(test)]
mod tests;
