mod fake_api_server;
mod faults;
mod fixture;
mod lookups;
mod versions;

pub(super) use fixture::{Fixture, TableKind, at, host_pod, pod};
