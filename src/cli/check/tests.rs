//! The output of `longwave check` in faked environments.
#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;

use longwave_receivers::bpf::kernel::Verdict;

use super::*;

/// A temporary file tree and the environment variables of a faked process.
struct Fake {
    folder: tempfile::TempDir,
    variables: HashMap<&'static str, &'static str>,
}

impl Fake {
    fn new(process_namespace: &str) -> Self {
        let fake = Self { folder: tempfile::tempdir().unwrap(), variables: HashMap::new() };
        std::fs::create_dir_all(fake.path("proc/self/ns")).unwrap();
        symlink(process_namespace, fake.path("proc/self/ns/pid")).unwrap();
        symlink("net:[4026531840]", fake.path("proc/self/ns/net")).unwrap();
        fake
    }

    fn path(&self, path: &str) -> std::path::PathBuf {
        self.folder.path().join(path)
    }

    fn link(self, path: &str, target: &str) -> Self {
        std::fs::create_dir_all(self.path(path).parent().unwrap_or(Path::new("/"))).unwrap();
        symlink(target, self.path(path)).unwrap();
        self
    }

    fn file(self, path: &str, content: &str) -> Self {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).unwrap();
        std::fs::write(path, content).unwrap();
        self
    }

    fn set(mut self, name: &'static str, value: &'static str) -> Self {
        self.variables.insert(name, value);
        self
    }

    fn facts(self) -> Vec<HostFact> {
        let variables = self.variables.clone();
        let view =
            View::new(self.folder.path(), move |name| variables.get(name).map(|value| (*value).to_owned()));
        host_facts::collect(&view)
    }
}

const CGROUP2: &str =
    "41 31 0:38 / /sys/fs/cgroup rw,nosuid,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";

/// *Scenario*: a host with systemd and Docker, connection tracking in use, all capabilities.
/// *Guarantees*: every fact is `ok`.
#[test]
fn a_host_with_everything() {
    let fake = Fake::new("pid:[4026531836]")
        .link("proc/1/ns/net", "net:[4026531840]")
        .file("proc/self/mountinfo", CGROUP2)
        .file("proc/self/status", "Name:\tlongwave\nCapEff:\t000001ffffffffff\n")
        .file("sys/fs/cgroup/cgroup.controllers", "cpu memory\n")
        .file("proc/sys/net/netfilter/nf_conntrack_count", "312\n")
        .file("var/run/placeholder", "");
    let _docker = UnixListener::bind(fake.path("var/run/docker.sock")).unwrap();
    insta::assert_snapshot!(table(&fake.facts()).unwrap());
}

/// *Scenario*: a container that shares nothing with its host and has no capability. No process listens at the Docker socket.
/// *Guarantees*: each loss is reported with its remedy, and none is fatal.
#[test]
fn a_container_with_nothing() {
    let fake = Fake::new("pid:[4026532245]")
        .link("proc/1/ns/net", "net:[4026532001]")
        .file("proc/self/mountinfo", CGROUP2)
        .file("proc/self/status", "CapEff:\t0000000000000000\n")
        .file("sys/fs/cgroup/cgroup.events", "populated 1\n")
        .file("proc/sys/net/netfilter/nf_conntrack_count", "0\n")
        .file("var/run/placeholder", "");
    drop(UnixListener::bind(fake.path("var/run/docker.sock")).unwrap());
    let facts = fake.facts();
    assert!(facts.iter().all(|fact| fact.verdict != Verdict::Missing), "{facts:?}");
    insta::assert_snapshot!(table(&facts).unwrap());
}

/// *Scenario*: a pod as the DaemonSet creates it, on a node with both cgroup versions.
/// *Guarantees*: the output names the API server, the service account and the node.
#[test]
fn a_pod_with_everything() {
    let fake = Fake::new("pid:[4026531836]")
        .link("proc/1/ns/net", "net:[4026532001]")
        .file(
            "proc/self/mountinfo",
            "1 0 0:5 / /sys/fs/cgroup/unified ro - cgroup2 cgroup2 rw\n2 0 0:6 / /proc rw - proc proc rw\n",
        )
        .file("sys/fs/cgroup/unified/cgroup.controllers", "")
        .file("var/run/secrets/kubernetes.io/serviceaccount/token", "secret")
        .file("var/run/secrets/kubernetes.io/serviceaccount/ca.crt", "certificate")
        .set("KUBERNETES_SERVICE_HOST", "fd00::1")
        .set("KUBERNETES_SERVICE_PORT", "6443")
        .set("NODE_NAME", "worker-3");
    let text = table(&fake.facts()).unwrap();
    assert!(!text.contains("secret\n"), "{text}");
    insta::assert_snapshot!(text);
}

/// *Scenario*: a pod without a service account's token, without `NODE_NAME`, without cgroup2, and without a readable `/proc`.
/// *Guarantees*: each is reported with the change to the pod's manifest.
#[test]
fn a_pod_with_nothing() {
    let fake = Fake::new("pid:[4026532245]").set("KUBERNETES_SERVICE_HOST", "10.96.0.1").set("NODE_NAME", "");
    std::fs::remove_file(fake.path("proc/self/ns/pid")).unwrap();
    insta::assert_snapshot!(table(&fake.facts()).unwrap());
}

/// *Scenario*: stores that do not exist yet, that have a damaged file, and that cannot be read.
/// *Guarantees*: the first is `ok`. The others are degraded, with the file and the remedy.
#[test]
fn stores_are_verified() {
    let folder = tempfile::tempdir().unwrap();
    let queue = folder.path().join("damaged/queue-otlp.logs");
    std::fs::create_dir_all(&queue).unwrap();
    std::fs::write(queue.join("0000000000000001.seg"), [7; 200]).unwrap();
    std::fs::write(folder.path().join("file"), "").unwrap();
    let facts =
        ["missing", "damaged", "file"].map(|name| stores::fact("file_storage", &folder.path().join(name)));
    let text = table(&facts).unwrap().replace(&folder.path().display().to_string(), "");
    insta::assert_snapshot!(text);
}
