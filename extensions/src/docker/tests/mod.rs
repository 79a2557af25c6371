mod container;
mod daemon;
mod directory;
mod fake_daemon;

use longwave_pipeline::component::{Answer, CgroupName, Directory};
use longwave_pipeline::model::{Endpoint, Handle, Service, UnixNanos, Workload};

use super::directory::DockerDirectory;

/// Returns an id of 64 times the same hex digit.
pub(super) fn id(digit: char) -> String {
    std::iter::repeat_n(digit, 64).collect()
}

pub(super) fn end(address: &str, port: u16) -> Endpoint {
    Endpoint { address: address.parse().unwrap(), port }
}

pub(super) fn name(answer: Answer<Handle<Workload>>) -> String {
    match answer {
        Answer::Known(workload) | Answer::Partial(workload) => workload.name.to_string(),
        Answer::Pending => "pending".to_owned(),
        Answer::Unknown => "unknown".to_owned(),
    }
}

pub(super) fn service(answer: Answer<Handle<Service>>) -> String {
    match answer {
        Answer::Known(service) | Answer::Partial(service) => {
            format!("{}/{}", service.namespace, service.name)
        }
        Answer::Pending => "pending".to_owned(),
        Answer::Unknown => "unknown".to_owned(),
    }
}

/// Returns the name of the container `id`, `pending` or `unknown`.
pub(super) fn name_of_id(directory: &DockerDirectory, id: &str, at: u64) -> String {
    let cgroup = CgroupName { container_id: id, ..CgroupName::default() };
    name(directory.workload_of_cgroup(&cgroup, UnixNanos(at)))
}

/// Returns the name of the container that had the address, `pending` or `unknown`.
pub(super) fn name_at_address(directory: &DockerDirectory, address: &str, at: u64) -> String {
    name(directory.workload_of_address(end(address, 80), UnixNanos(at)))
}
