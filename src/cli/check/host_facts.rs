//! Facts about the environment of this process, and about the sources of names: namespaces, cgroups, connection tracking,
//! Docker, Kubernetes.

use std::path::Path;

use longwave_pipeline::component::host;
use longwave_receivers::bpf::kernel::{HostFact, Verdict};

use super::view::View;

/// Target of `/proc/self/ns/pid` in the initial process namespace. The kernel defines this inode number as a constant.
const FIRST_PROCESS_NAMESPACE: &str = "pid:[4026531836]";
// Bit numbers in the capability sets of `/proc/self/status`.
const CAP_NET_ADMIN: u32 = 12;
const CAP_SYS_ADMIN: u32 = 21;
/// Files of a pod's service account, which the API server requires.
const CREDENTIALS: [&str; 2] = [
    "/var/run/secrets/kubernetes.io/serviceaccount/token",
    "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt",
];
/// Sockets of Docker's API, in order of precedence.
const DOCKER_SOCKETS: [&str; 2] = ["/var/run/docker.sock", "/run/podman/podman.sock"];

/// Returns all facts. The one with the most serious consequence, if it is not met, comes first.
pub(super) fn collect(view: &View) -> Vec<HostFact> {
    let mut facts = vec![
        process_namespace(view),
        network_namespace(view),
        cgroup2(view),
        connection_tracking(view),
        docker(view),
    ];
    facts.extend(kubernetes(view));
    facts
}

/// Returns whether this process runs in a pod with a service account.
pub(in crate::cli) fn is_pod(view: &View) -> bool {
    view.variable("KUBERNETES_SERVICE_HOST").is_some()
        && CREDENTIALS.iter().all(|path| view.read(path).is_ok())
}

/// Returns the first socket that accepts connections for Docker's API.
pub(in crate::cli) fn docker_socket(view: &View) -> Option<&'static str> {
    DOCKER_SOCKETS.into_iter().find(|socket| view.connects(socket).is_ok())
}

/// Returns whether no cgroup2 hierarchy is mounted, so that the source `cgroup` cannot run.
pub(in crate::cli) fn lacks_cgroup2(view: &View) -> bool {
    cgroup2_mounts(view).is_some_and(|mounts| mounts.is_empty())
}

fn process_namespace(view: &View) -> HostFact {
    let name = "process namespace";
    match view.link("/proc/self/ns/pid") {
        Some(link) if link == Path::new(FIRST_PROCESS_NAMESPACE) => good(name, "the host's"),
        Some(_) => degraded(
            name,
            "a container's",
            "share the host's (Kubernetes: hostPID: true; Docker: --pid=host); without it, older connections in network namespaces that exist only through other processes are not reported",
        ),
        None => degraded(name, "/proc/self/ns/pid cannot be read", "mount /proc"),
    }
}

fn network_namespace(view: &View) -> HostFact {
    let name = "the host's network";
    let (own, first) = (view.link("/proc/self/ns/net"), view.link("/proc/1/ns/net"));
    match first {
        Some(first) if own.as_ref() == Some(&first) => good(name, "this process's own"),
        Some(_) if has_capability(view, CAP_SYS_ADMIN) => {
            good(name, "not this process's own, but it can be entered")
        }
        Some(_) => degraded(
            name,
            "not this process's own, and CAP_SYS_ADMIN is missing",
            "use the host's (Kubernetes: hostNetwork: true; Docker: --network=host), or grant CAP_SYS_ADMIN; without it, the host's connection tracking is not queried",
        ),
        None => good(
            name,
            "assumed to be this process's own, because /proc/1/ns/net cannot be read (CAP_SYS_PTRACE)",
        ),
    }
}

fn cgroup2(view: &View) -> HostFact {
    let name = "cgroup2";
    let mounts = cgroup2_mounts(view).unwrap_or_default();
    // Every cgroup except the root has this file.
    let is_whole = |mount: &&String| !view.exists(&format!("{mount}/cgroup.events"));
    match (mounts.iter().find(is_whole), mounts.first()) {
        (Some(mount), _) => good(name, format!("{mount}, the host's")),
        (None, Some(mount)) => degraded(
            name,
            format!("{mount}: this container's part only"),
            "mount the host's /sys/fs/cgroup at /sys/fs/cgroup, read-only; without it, other containers and units have no names",
        ),
        (None, None) => degraded(
            name,
            "no cgroup2 hierarchy is mounted",
            "mount it at /sys/fs/cgroup, and into the container; without it, containers and units have no names (and workload needs sources: [process])",
        ),
    }
}

/// Returns the mount points of cgroup2. `None` if the mount table cannot be read.
fn cgroup2_mounts(view: &View) -> Option<Vec<String>> {
    let mounts = view.read("/proc/self/mountinfo").ok()?;
    let mounts = host::mounts(&mounts).filter(|mount| mount.kind == "cgroup2");
    Some(mounts.map(|mount| mount.point.display().to_string()).collect())
}

fn connection_tracking(view: &View) -> HostFact {
    let name = "connection tracking";
    let Ok(count) = view.read("/proc/sys/net/netfilter/nf_conntrack_count") else {
        return good(name, "not in use in this network namespace: no addresses are translated here");
    };
    let count = count.trim();
    if has_capability(view, CAP_NET_ADMIN) {
        return good(name, format!("{count} entries, CAP_NET_ADMIN"));
    }
    degraded(
        name,
        format!("{count} entries, CAP_NET_ADMIN is missing"),
        "grant CAP_NET_ADMIN; without it, a connection that kube-proxy or Docker redirected is reported with the service's address instead of the address it was redirected to",
    )
}

/// Returns whether the effective set contains `capability`. Returns true if the set cannot be read.
fn has_capability(view: &View, capability: u32) -> bool {
    let status = view.read("/proc/self/status").unwrap_or_default();
    let hex = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    hex.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).is_none_or(|set| set >> capability & 1 != 0)
}

fn docker(view: &View) -> HostFact {
    let name = "Docker";
    let Some(socket) = DOCKER_SOCKETS.into_iter().find(|socket| view.exists(socket)) else {
        return good(name, "no socket at /var/run/docker.sock or /run/podman/podman.sock");
    };
    match view.connects(socket) {
        Ok(()) => good(name, format!("{socket} answers")),
        Err(error) => degraded(
            name,
            format!("{socket}: {error}"),
            "start Docker, or give this user access to its socket (group docker); without it, a container's name is its id, unless Kubernetes provides the name",
        ),
    }
}

fn kubernetes(view: &View) -> Vec<HostFact> {
    let Some(host) = view.variable("KUBERNETES_SERVICE_HOST") else {
        return vec![good("Kubernetes", "not in a pod")];
    };
    let port = view.variable("KUBERNETES_SERVICE_PORT").unwrap_or_else(|| "443".to_owned());
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    vec![credentials(view, &format!("{host}:{port}")), node_name(view)]
}

fn credentials(view: &View, server: &str) -> HostFact {
    let name = "Kubernetes";
    let unreadable =
        CREDENTIALS.iter().find_map(|path| view.read(path).err().map(|error| format!("{path}: {error}")));
    match unreadable {
        None => good(name, format!("in a pod, API server {server}, with a service account")),
        Some(reason) => degraded(
            name,
            reason,
            "give the pod a service account (serviceAccountName, and not automountServiceAccountToken: false); without it, pods and services have no names",
        ),
    }
}

fn node_name(view: &View) -> HostFact {
    let name = "node name";
    match view.variable("NODE_NAME") {
        Some(node) => good(name, format!("{node} (NODE_NAME)")),
        None => degraded(
            name,
            "NODE_NAME is not set",
            "set it (env: {name: NODE_NAME, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}); without it, k8s.node.name is absent, and the pods of this node cannot be distinguished from others",
        ),
    }
}

fn good(name: &'static str, found: impl Into<String>) -> HostFact {
    HostFact { name: name.into(), found: found.into(), verdict: Verdict::Good, remedy: "" }
}

fn degraded(name: &'static str, found: impl Into<String>, remedy: &'static str) -> HostFact {
    HostFact { name: name.into(), found: found.into(), verdict: Verdict::Degraded, remedy }
}
