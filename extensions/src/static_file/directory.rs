//! What the rules answer.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use longwave_pipeline::component::{Answer, CgroupName, Directory};
use longwave_pipeline::model::{Endpoint, Handle, Service, UnixNanos, Workload};

use super::rules::Rules;

/// The rules in force. They hold for every time.
pub struct StaticDirectory {
    rules: ArcSwap<Rules>,
    version: AtomicU64,
}

// === impl StaticDirectory ===

impl StaticDirectory {
    pub(super) fn new(rules: Rules) -> Self {
        Self { rules: ArcSwap::from_pointee(rules), version: AtomicU64::new(1) }
    }

    /// Puts other rules in force.
    pub(super) fn replace(&self, rules: Rules) {
        self.rules.store(Arc::new(rules));
        self.version.fetch_add(1, Ordering::Release);
    }

    /// The rules in force.
    pub fn rules(&self) -> Arc<Rules> {
        self.rules.load_full()
    }
}

impl Directory for StaticDirectory {
    fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    fn workload_of_cgroup(&self, cgroup: &CgroupName<'_>, _: UnixNanos) -> Answer<Handle<Workload>> {
        answer(self.rules.load().workload_in(cgroup.path))
    }

    fn workload_of_address(&self, end: Endpoint, _: UnixNanos) -> Answer<Handle<Workload>> {
        answer(self.rules.load().workload_at(end.address, end.port))
    }

    fn service_of_address(&self, asked: Endpoint, _: UnixNanos) -> Answer<Handle<Service>> {
        answer(self.rules.load().service_at(asked.address, asked.port))
    }

    fn service_of_backend(&self, backend: Endpoint, _: UnixNanos) -> Answer<Handle<Service>> {
        answer(self.rules.load().service_at(backend.address, backend.port))
    }

    fn is_translated(&self, _: IpAddr) -> bool {
        false
    }
}

fn answer<T>(found: Option<&Handle<T>>) -> Answer<Handle<T>> {
    found.map_or(Answer::Unknown, |handle| Answer::Known(handle.clone()))
}
