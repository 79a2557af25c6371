//! Resolves names by the rules in force.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use longwave_pipeline::component::{Answer, CgroupName, Directory};
use longwave_pipeline::model::{Endpoint, Handle, Service, UnixNanos, Workload};

use super::rules::Rules;

/// Look-ups in the rules in force, which are valid for every time.
pub struct StaticDirectory {
    rules: ArcSwap<Rules>,
    version: AtomicU64,
}

// === impl StaticDirectory ===

impl StaticDirectory {
    pub(super) fn new(rules: Rules) -> Self {
        Self { rules: ArcSwap::from_pointee(rules), version: AtomicU64::new(1) }
    }

    /// Replaces the rules in force.
    pub(super) fn replace(&self, rules: Rules) {
        self.rules.store(Arc::new(rules));
        self.version.fetch_add(1, Ordering::Release);
    }

    /// Returns the rules in force.
    pub fn rules(&self) -> Arc<Rules> {
        self.rules.load_full()
    }
}

impl Directory for StaticDirectory {
    fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    fn workload_of_cgroup(&self, cgroup: &CgroupName<'_>, _: UnixNanos) -> Answer<Handle<Workload>> {
        answer(self.rules.load().workload_of_cgroup(cgroup.path))
    }

    fn workload_of_address(&self, end: Endpoint, _: UnixNanos) -> Answer<Handle<Workload>> {
        answer(self.rules.load().workload_of_address(end.address, end.port))
    }

    fn service_of_address(&self, frontend: Endpoint, _: UnixNanos) -> Answer<Handle<Service>> {
        answer(self.rules.load().service_of_address(frontend.address, frontend.port))
    }

    fn service_of_backend(&self, backend: Endpoint, _: UnixNanos) -> Answer<Handle<Service>> {
        answer(self.rules.load().service_of_address(backend.address, backend.port))
    }

    fn is_translated(&self, _: IpAddr) -> bool {
        false
    }
}

fn answer<T>(found: Option<&Handle<T>>) -> Answer<Handle<T>> {
    found.map_or(Answer::Unknown, |handle| Answer::Known(handle.clone()))
}
