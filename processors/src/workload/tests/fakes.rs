//! Fakes of directories and of connection tracking.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use longwave_pipeline::component::host::HostAddresses;
use longwave_pipeline::component::{Accounting, Answer, CgroupName, Directories, Directory};
use longwave_pipeline::model::{Handle, Interner, Service, Workload};

use super::*;
use crate::conntrack::Translator;
pub(super) use crate::conntrack::fake::FakeTracking;

pub(super) const SECOND: u64 = 1_000_000_000;

pub(super) fn at(seconds: u64) -> UnixNanos {
    UnixNanos(seconds * SECOND)
}

/// A directory of pods.
#[derive(Default)]
pub(super) struct Fake {
    names: Interner<Workload>,
    version: AtomicU64,
    state: Mutex<DirectoryState>,
}

#[derive(Default)]
struct DirectoryState {
    /// Whether every answer is pending.
    starting: bool,
    pods: Vec<Pod>,
    translated: Vec<IpAddr>,
    node_ports: Vec<u16>,
}

/// A pod that exists between two times.
#[derive(Clone)]
pub(super) struct Pod {
    pub name: &'static str,
    /// UID of the pod, or id of its container; empty if there is none.
    pub uid: &'static str,
    pub address: &'static str,
    /// Port of the address; 0 for any port.
    pub port: u16,
    pub from: u64,
    pub until: u64,
    /// Whether this is only a part of the name.
    pub partial: bool,
}

// === impl Pod ===

impl Pod {
    /// Creates a pod that exists at all times.
    pub fn new(name: &'static str, uid: &'static str, address: &'static str) -> Self {
        Self { name, uid, address, port: 0, from: 0, until: u64::MAX / SECOND, partial: false }
    }
}

// === impl Fake ===

impl Fake {
    pub fn new(pods: &[Pod]) -> Arc<Self> {
        let fake = Self::default();
        fake.state.lock().unwrap().pods = pods.to_vec();
        Arc::new(fake)
    }

    /// Makes every answer pending until [`Fake::started`].
    pub fn starting(self: Arc<Self>) -> Arc<Self> {
        self.state.lock().unwrap().starting = true;
        self
    }

    /// Ends [`Fake::starting`].
    pub fn started(&self) {
        self.state.lock().unwrap().starting = false;
        self.moved();
    }

    /// Increases the version.
    pub fn moved(&self) {
        self.version.fetch_add(1, Ordering::Relaxed);
    }

    pub fn set(&self, pods: &[Pod]) {
        self.state.lock().unwrap().pods = pods.to_vec();
        self.moved();
    }

    pub fn translates(self: Arc<Self>, addresses: &[&str]) -> Arc<Self> {
        self.state.lock().unwrap().translated = addresses.iter().map(|text| text.parse().unwrap()).collect();
        self
    }

    /// Makes these ports be node ports.
    pub fn forwards(self: Arc<Self>, ports: &[u16]) -> Arc<Self> {
        self.state.lock().unwrap().node_ports = ports.to_vec();
        self
    }

    fn answer(&self, at: UnixNanos, fits: impl Fn(&Pod) -> bool) -> Answer<Handle<Workload>> {
        let state = self.state.lock().unwrap();
        if state.starting {
            return Answer::Pending;
        }
        let seconds = at.0 / SECOND;
        let found = state.pods.iter().find(|pod| (pod.from..pod.until).contains(&seconds) && fits(pod));
        found.map_or(Answer::Unknown, |pod| {
            let name = self.names.intern(Workload { name: pod.name.into(), ..Default::default() });
            if pod.partial { Answer::Partial(name) } else { Answer::Known(name) }
        })
    }
}

impl Directory for Fake {
    fn version(&self) -> u64 {
        self.version.load(Ordering::Relaxed)
    }

    fn workload_of_cgroup(&self, cgroup: &CgroupName<'_>, at: UnixNanos) -> Answer<Handle<Workload>> {
        if cgroup.pod_uid.is_empty() && cgroup.container_id.is_empty() {
            return Answer::Unknown;
        }
        self.answer(at, |pod| {
            !pod.uid.is_empty() && (pod.uid == cgroup.pod_uid || pod.uid == cgroup.container_id)
        })
    }

    fn workload_of_address(&self, end: Endpoint, at: UnixNanos) -> Answer<Handle<Workload>> {
        let address = end.address.to_string();
        self.answer(at, |pod| pod.address == address && (pod.port == 0 || pod.port == end.port))
    }

    fn service_of_address(&self, _: Endpoint, _: UnixNanos) -> Answer<Handle<Service>> {
        Answer::Unknown
    }

    fn service_of_backend(&self, _: Endpoint, _: UnixNanos) -> Answer<Handle<Service>> {
        Answer::Unknown
    }

    fn is_node_port(&self, port: u16) -> bool {
        self.state.lock().unwrap().node_ports.contains(&port)
    }

    fn is_translated(&self, address: IpAddr) -> bool {
        self.state.lock().unwrap().translated.contains(&address)
    }
}

/// A processor with fake directories, cgroups below a temporary folder, and fake connection tracking.
pub(super) struct Bench {
    pub processor: WorkloadProcessor,
    pub accounting: Accounting,
    pub root: tempfile::TempDir,
    proc: tempfile::TempDir,
    pids: u32,
}

/// Addresses of the host besides those of its sockets.
pub(super) const HOST_ADDRESSES: [&str; 3] = ["192.168.7.2", "10.244.0.1", "127.0.0.1"];

// === impl Bench ===

impl Bench {
    pub fn new(
        sources: &[&str],
        directories: &[(&str, &Arc<Fake>)],
        hold: u64,
        tracking: Option<&FakeTracking>,
    ) -> Self {
        Self::make(sources, directories, hold, tracking, false)
    }

    /// Creates a processor on a host where version 1 of cgroups may be mounted too. No record waits.
    pub fn hybrid(sources: &[&str], directories: &[(&str, &Arc<Fake>)], beside_v1: bool) -> Self {
        Self::make(sources, directories, 0, None, beside_v1)
    }

    fn make(
        sources: &[&str],
        directories: &[(&str, &Arc<Fake>)],
        hold: u64,
        tracking: Option<&FakeTracking>,
        beside_v1: bool,
    ) -> Self {
        let (root, proc) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let own = proc.path().join("1");
        for folder in ["ns", "net"] {
            std::fs::create_dir_all(own.join(folder)).unwrap();
        }
        std::fs::write(own.join("ns/net"), "").unwrap();
        let line = |address: &str| format!("|-- {address}\n /32 host LOCAL\n");
        std::fs::write(own.join("net/fib_trie"), HOST_ADDRESSES.map(line).concat()).unwrap();
        let (mut context, accounting) = context("workload", "logs", false);
        let known =
            directories.iter().map(|(id, fake)| ((*id).to_owned(), Arc::clone(fake) as Arc<dyn Directory>));
        context.directories = Directories::new(known);
        let config = WorkloadConfig {
            sources: sources.iter().map(|source| (*source).to_owned()).collect(),
            hold: longwave_config::GoDuration::from_secs(hold),
            conntrack: None,
        };
        let mount = Some(Mount { beside_v1, ..Mount::whole(root.path().to_owned()) });
        let translator = tracking.map(|tracking| Box::new(tracking.clone()) as Box<dyn Translator>);
        let processor = WorkloadProcessor::with(&config, &context, mount, proc.path(), translator).unwrap();
        // Process 1 is that of the host.
        Self { processor, accounting, root, proc, pids: 1 }
    }

    /// Returns the id of the host's network namespace.
    pub fn host_netns(&self) -> u32 {
        HostAddresses::new(self.proc.path()).netns()
    }

    /// Makes a cgroup with one process.
    pub fn cgroup(&mut self, path: &str) -> Owner {
        use std::os::unix::fs::MetadataExt;
        let folder = self.root.path().join(path);
        std::fs::create_dir_all(&folder).unwrap();
        let pid = self.process(&format!("0::/{path}\n"));
        Owner { cgroup: std::fs::metadata(folder).unwrap().ino(), pid, ..Owner::default() }
    }

    /// Makes a process that is in these cgroups.
    pub fn process(&mut self, cgroups: &str) -> u32 {
        self.pids += 1;
        let process = self.proc.path().join(self.pids.to_string());
        std::fs::create_dir(&process).unwrap();
        std::fs::write(process.join("cgroup"), cgroups).unwrap();
        self.pids
    }

    /// Returns the records that leave the processor. Counts items as the runtime does.
    pub fn batch(&mut self, batch: Batch) -> Vec<ConnectionRecord> {
        let node = Arc::clone(&self.accounting.nodes()[0]);
        node.add_incoming(batch.items());
        let mut out = Vec::new();
        self.processor.process(batch, &mut out).unwrap();
        self.passed(out)
    }

    pub fn records(&mut self, records: &[ConnectionRecord]) -> Vec<ConnectionRecord> {
        self.batch(Batch::records(records.to_vec()))
    }

    pub fn pass_end(&mut self, seconds: u64) -> Vec<ConnectionRecord> {
        self.batch(Batch::PassEnd(PassEnd { tick: at(seconds), last: false }))
    }

    pub fn finish(&mut self) -> Vec<ConnectionRecord> {
        let mut out = Vec::new();
        self.processor.finish(&mut out).unwrap();
        self.passed(out)
    }

    fn passed(&self, out: Vec<Batch>) -> Vec<ConnectionRecord> {
        let node = Arc::clone(&self.accounting.nodes()[0]);
        node.add_outgoing(out.iter().map(Batch::items).sum());
        assert_eq!(self.accounting.imbalances(), vec![]);
        let records = out.into_iter().filter_map(|batch| match batch {
            Batch::Records(records) => Some(records.to_vec()),
            _ => None,
        });
        records.flatten().collect()
    }

    pub fn named(&mut self, record: &ConnectionRecord) -> (String, String) {
        let mut names = names(&self.records(std::slice::from_ref(record)));
        assert_eq!(names.len(), 1, "waits");
        names.remove(0)
    }
}

pub(super) fn pair(local: &str, peer: &str) -> (String, String) {
    (local.to_owned(), peer.to_owned())
}
