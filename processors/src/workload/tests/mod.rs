//! Tests of `workload`.

mod cgroups;
mod conserved;
mod directories;
mod fakes;
mod partners;
mod peers;
mod shapes;
mod translated;
mod waiting;

use std::path::Path;
use std::sync::Arc;

use longwave_pipeline::component::Processor;
use longwave_pipeline::component::cgroup::Mount;
use longwave_pipeline::model::{
    Batch, ConnectionId, ConnectionRecord, Endpoint, Event, Owner, PassEnd, UnixNanos,
};

use super::{WorkloadConfig, WorkloadProcessor};
use crate::testing::{context, problems};

/// Returns a record of connection `cookie` in namespace `netns`, whose owner is a process in the root cgroup.
fn record(netns: u32, cookie: u64, comm: &str, local: &str, peer: &str) -> ConnectionRecord {
    let end = |text: &str| {
        let address: std::net::SocketAddr = text.parse().unwrap();
        Endpoint { address: address.ip(), port: address.port() }
    };
    let mut name = [0; 16];
    name[..comm.len()].copy_from_slice(comm.as_bytes());
    ConnectionRecord {
        id: ConnectionId { boot: 0, netns, cookie, generation: 1 },
        local: end(local),
        peer: end(peer),
        owner: Owner { cgroup: 1, name, ..Owner::default() },
        ..ConnectionRecord::blank()
    }
}

/// Creates a processor with a built-in source: cgroups below `mount`, or processes if it is `None`. No record waits.
fn built_in(mount: Option<&Path>, proc: &Path) -> WorkloadProcessor {
    let source = if mount.is_some() { "cgroup" } else { "process" };
    let config = WorkloadConfig { sources: vec![source.into()], hold: Default::default(), conntrack: None };
    let mount = mount.map(|mount| Mount::whole(mount.to_owned()));
    WorkloadProcessor::with(&config, &context("workload", "logs", false).0, mount, proc, None).unwrap()
}

fn closed(record: ConnectionRecord) -> ConnectionRecord {
    ConnectionRecord { event: Event::Close, ..record }
}

/// Returns the records as they leave the processor.
fn run(processor: &mut WorkloadProcessor, records: Vec<ConnectionRecord>) -> Vec<ConnectionRecord> {
    let mut out = Vec::new();
    processor.process(Batch::records(records), &mut out).unwrap();
    let [Batch::Records(records)] = &out[..] else { panic!("{out:?}") };
    records.to_vec()
}

/// Returns the local and the peer's name of each record; `-` if unknown.
fn names(records: &[ConnectionRecord]) -> Vec<(String, String)> {
    let name = |handle: &Option<longwave_pipeline::model::Handle<longwave_pipeline::model::Workload>>| {
        handle.as_ref().map_or_else(|| "-".to_owned(), |workload| workload.name.to_string())
    };
    records.iter().map(|record| (name(&record.names.local), name(&record.names.peer))).collect()
}

/// Returns pairs of texts, to compare with [`names`].
fn pairs(of: &[(&str, &str)]) -> Vec<(String, String)> {
    of.iter().map(|(local, peer)| ((*local).to_owned(), (*peer).to_owned())).collect()
}

/// *Scenario*: no source, a source named twice, a hold that is too long; valid settings.
/// *Guarantees*: each mistake is reported with its remedy. (Whether an extension is configured is checked for the whole graph.)
#[test]
fn invalid_settings_are_reported() {
    let factory = super::factory();
    insta::assert_snapshot!(problems(&factory, "workload", "{sources: [kubernetes, cgroup, cgroup]}"), @r#"processors::workload: sources: names "cgroup" twice: name each source once"#);
    insta::assert_snapshot!(problems(&factory, "workload", "{sources: []}"), @r#"processors::workload: sources: must name at least one source, for example [cgroup], or remove the processor"#);
    assert_eq!(problems(&factory, "workload", "{}"), "valid");
    assert_eq!(problems(&factory, "workload", "{sources: [process], hold: 0s, conntrack: false}"), "valid");
    insta::assert_snapshot!(problems(&factory, "workload", "{hold: 5m}"), @"processors::workload: hold: 5m0s is too long (at most 1m): held records are reported in a later window than theirs; use the receiver's interval, for example 5s, or 0s to hold none");
}

/// *Scenario*: a batch that other pipelines share, with a record whose name is known, and one with a record whose name is unknown.
/// *Guarantees*: the shared batch is not changed; it is not copied if there is no name to write. Watermarks are passed on.
#[test]
fn shared_batches_are_copied_only_to_be_changed() {
    let mut processor = built_in(None, "/nonexistent".as_ref());
    let mut out = Vec::new();
    for (comm, copied) in [("curl", true), ("", false)] {
        let batch = Arc::new(vec![record(1, 1 + u64::from(copied), comm, "10.0.0.1:5000", "10.0.0.2:80")]);
        processor.process(Batch::Records(Arc::clone(&batch)), &mut out).unwrap();
        let Some(Batch::Records(named)) = out.pop() else { panic!() };
        assert_eq!((batch[0].names.local.is_none(), Arc::ptr_eq(&batch, &named)), (true, !copied));
    }
    processor.process(Batch::PassEnd(PassEnd { tick: UnixNanos(5), last: false }), &mut out).unwrap();
    assert!(matches!(out[..], [Batch::PassEnd(_)]));
}
