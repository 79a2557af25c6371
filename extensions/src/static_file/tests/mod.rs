mod cgroups;
mod file;
mod networks;
mod reload;

use std::path::PathBuf;

use longwave_pipeline::component::{CgroupName, Directory};
use longwave_pipeline::model::{Endpoint, Handle, Service, UnixNanos, Workload};
use tempfile::TempDir;

use super::directory::StaticDirectory;
use super::rules::{NameInterners, Rules};

/// A temporary folder with one file of names.
pub(super) struct TemporaryFile {
    _folder: TempDir,
    pub file: PathBuf,
}

pub(super) fn write_file(text: &str) -> TemporaryFile {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("names.yaml");
    std::fs::write(&file, text).unwrap();
    TemporaryFile { _folder: folder, file }
}

pub(super) fn rules(text: &str) -> Rules {
    Rules::read(write_file(text).file.to_str().unwrap(), &NameInterners::default()).unwrap()
}

pub(super) fn directory(text: &str) -> StaticDirectory {
    StaticDirectory::new(rules(text))
}

pub(super) fn end(address: &str, port: u16) -> Endpoint {
    Endpoint { address: address.parse().unwrap(), port }
}

pub(super) fn workload_at(directory: &StaticDirectory, address: &str, port: u16) -> Option<Handle<Workload>> {
    directory.workload_of_address(end(address, port), UnixNanos(1)).known()
}

pub(super) fn name_at(directory: &StaticDirectory, address: &str, port: u16) -> String {
    workload_at(directory, address, port).map_or("-".to_owned(), |workload| workload.name.to_string())
}

pub(super) fn name_in(directory: &StaticDirectory, path: &str) -> String {
    let cgroup = CgroupName { path, ..CgroupName::default() };
    let answer = directory.workload_of_cgroup(&cgroup, UnixNanos(1)).known();
    answer.map_or("-".to_owned(), |workload| workload.name.to_string())
}

pub(super) fn service(answer: longwave_pipeline::component::Answer<Handle<Service>>) -> String {
    answer.known().map_or("-".to_owned(), |service| format!("{}/{}", service.namespace, service.name))
}
