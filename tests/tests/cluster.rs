//! The Kubernetes of the end-to-end tests, which has one node. It works as a cluster, and nothing of it remains after it is taken down.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use longwave_testing::{gate, harness, tests};
use longwave_tests::cluster::{Cluster, ProxyMode};

const WEB: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: web
        image: longwave/busybox:1
        command: [sh, -c, 'mkdir /www && hostname > /www/index.html && exec httpd -f -p 8080 -h /www']
"#;

const SERVICE: &str = r#"
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
"#;

/// A client that retries until the service responds. The wait for its log has a time limit.
const CLIENT: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: client}
spec:
  containers:
  - name: client
    image: longwave/busybox:1
    command: [sh, -c, 'until wget -q -O- http://$WEB_SERVICE_HOST; do sleep 0.1; done; exec sleep 1000']
"#;

/// *Scenario*: a cluster with a Deployment of two replicas, its Service and a client is taken down while all of them run. Once with each
/// mode of kube-proxy.
/// *Guarantees*: the client reaches a replica through the ClusterIP. Afterwards no process, network device, namespace, mount, rule, cgroup
/// or folder of the cluster exists.
fn nothing_remains_of_a_cluster() {
    let _turn = gate::privileged();
    for mode in [ProxyMode::Nftables, ProxyMode::Iptables] {
        let before = traces();
        let cluster = Cluster::up(mode);
        let pods = "/api/v1/namespaces/default/pods";
        cluster.create("/api/v1/namespaces/default/services", SERVICE);
        cluster.create("/apis/apps/v1/namespaces/default/deployments", WEB);
        cluster.create(pods, CLIENT);
        cluster.wait(&format!("{pods}/client/log"), |log| log.contains("\nweb-") || log.starts_with("web-"));
        cluster.down();
        let after = traces();
        let left: Vec<_> = after.difference(&before).collect();
        assert!(left.is_empty(), "{mode:?}: left behind: {left:#?}");
    }
}

/// Lists everything on this machine that a cluster may create. Excludes what other tests create.
fn traces() -> BTreeSet<String> {
    let mut traces = BTreeSet::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        // A zombie has no command line. Only its parent can remove it.
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if ["kubernetes-1.", "longwave-cluster", "containerd-shim", "2147483647"]
            .iter()
            .any(|part| line.contains(part))
        {
            traces.insert(format!("process {line}"));
        }
    }
    for line in fs::read_to_string("/proc/self/mounts").unwrap().lines() {
        if ["cluster", "bpf", "cni-", "kubelet"].iter().any(|part| line.contains(part)) {
            traces.insert(format!("mount {line}"));
        }
    }
    for folder in ["/sys/class/net", "/run/netns", "/run/containerd/s", "/var/lib", "/var/log", "/run"] {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if ["longwave", "veth", "cni", "kube", "containers", "pods"]
                .iter()
                .any(|part| name.contains(part))
            {
                traces.insert(format!("{folder}/{name}"));
            }
        }
    }
    let sockets = fs::read_dir("/run/containerd/s").into_iter().flatten().flatten();
    traces.extend(sockets.map(|entry| entry.path().display().to_string()));
    let hierarchies =
        fs::read_dir("/sys/fs/cgroup").unwrap().flatten().map(|entry| entry.path().join("kubepods"));
    traces.extend(hierarchies.filter(|path| path.exists()).map(|path| path.display().to_string()));
    // `down` keeps the tables and the forwarding of a dockerd that was started meanwhile.
    let docker = Path::new("/sys/class/net/docker0").exists();
    for list in [["list", "tables"], ["list", "chains"]] {
        let output = Command::new("nft").args(list).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        traces.extend(
            text.lines()
                .filter(|line| (!docker && line.contains("table")) || line.contains("KUBE"))
                .map(str::to_owned),
        );
    }
    for setting in ["net/ipv4/ip_forward", "kernel/panic", "kernel/panic_on_oops", "vm/overcommit_memory"] {
        if docker && setting == "net/ipv4/ip_forward" {
            continue;
        }
        let value = fs::read_to_string(format!("/proc/sys/{setting}")).unwrap();
        traces.insert(format!("{setting} = {}", value.trim()));
    }
    traces
}

fn main() -> ExitCode {
    harness::run(tests![nothing_remains_of_a_cluster,])
}
