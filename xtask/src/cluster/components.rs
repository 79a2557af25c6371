//! Command lines of the components.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::credentials::kubeconfig_path;
use super::layout::{API_PORT, CLUSTER_CIDR, ETCD_PEER_PORT, ETCD_PORT, Layout, NODE, NODE_IP, SERVICE_CIDR};
use crate::peers::kubernetes;

/// One process of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Component {
    /// Kubernetes' store.
    Etcd,
    /// The API server.
    ApiServer,
    /// Creates the ReplicaSets of Deployments, the Pods of ReplicaSets, EndpointSlices, tokens, …
    ControllerManager,
    /// Assigns pods to nodes.
    Scheduler,
    /// Runs containers.
    Containerd,
    /// Runs pods with containerd.
    Kubelet,
    /// Translates ClusterIPs and node ports.
    KubeProxy,
}

// === impl Component ===

impl Component {
    /// Name of the program, of its log and of its [`super::process::Process`].
    pub fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::ApiServer => "kube-apiserver",
            Self::ControllerManager => "kube-controller-manager",
            Self::Scheduler => "kube-scheduler",
            Self::Containerd => "containerd",
            Self::Kubelet => "kubelet",
            Self::KubeProxy => "kube-proxy",
        }
    }

    /// Returns the command that runs it.
    pub fn command(self, layout: &Layout) -> Result<Command> {
        let mut command = match self {
            Self::Containerd => Command::new("/usr/bin/containerd"),
            _ => Command::new(kubernetes::folder()?.join(self.name())),
        };
        match self {
            Self::Etcd => etcd(&mut command, layout),
            Self::ApiServer => api_server(&mut command, layout),
            Self::ControllerManager => controller_manager(&mut command, layout),
            Self::Scheduler => {
                flag(&mut command, "kubeconfig", kubeconfig_path(layout, "scheduler"));
                command.args(["--leader-elect=false", "--secure-port=0"]);
            }
            Self::Containerd => {
                command.arg("--config").arg(layout.path("containerd.toml"));
            }
            Self::Kubelet => kubelet(&mut command, layout),
            Self::KubeProxy => flag(&mut command, "config", layout.path("kube-proxy.json")),
        }
        // The environment of the caller is removed: it could contain a proxy for the requests to the API server, or settings of etcd
        // (ETCD_…), and its PATH may lack sbin.
        command.env_clear().env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("HOME", &layout.dir);
        command.current_dir(&layout.dir);
        Ok(command)
    }
}

/// Returns a `ctr` command for containerd's namespace with the kubelet's images.
pub fn ctr(layout: &Layout) -> Command {
    let mut command = Command::new("/usr/bin/ctr");
    command.arg("--address").arg(layout.containerd_socket()).args(["--namespace", "k8s.io"]);
    command
}

fn flag(command: &mut Command, name: &str, value: impl AsRef<Path>) {
    command.arg(format!("--{name}={}", value.as_ref().display()));
}

/// Adds etcd's flags. Its data need not survive a power cut, so it does not sync to the disk.
fn etcd(command: &mut Command, layout: &Layout) {
    let client = format!("http://127.0.0.1:{ETCD_PORT}");
    let peer = format!("http://127.0.0.1:{ETCD_PEER_PORT}");
    flag(command, "data-dir", layout.path("etcd"));
    flag(command, "listen-client-urls", &client);
    flag(command, "advertise-client-urls", &client);
    flag(command, "listen-peer-urls", &peer);
    flag(command, "initial-advertise-peer-urls", &peer);
    flag(command, "initial-cluster", format!("default={peer}"));
    command.arg("--unsafe-no-fsync");
}

/// Adds the API server's flags. It listens on the address of the node, because it is the endpoint of the service `kubernetes`, which pods
/// use and which must not be a loopback address.
fn api_server(command: &mut Command, layout: &Layout) {
    flag(command, "etcd-servers", format!("http://127.0.0.1:{ETCD_PORT}"));
    flag(command, "bind-address", NODE_IP);
    flag(command, "advertise-address", NODE_IP);
    flag(command, "secure-port", API_PORT.to_string());
    flag(command, "cert-dir", layout.path("apiserver"));
    flag(command, "token-auth-file", layout.path("tokens.csv"));
    flag(command, "authorization-mode", "Node,RBAC");
    flag(command, "allow-privileged", "true");
    flag(command, "service-cluster-ip-range", SERVICE_CIDR);
    flag(command, "service-account-issuer", "https://kubernetes.default.svc");
    flag(command, "service-account-key-file", layout.path("service-account.key"));
    flag(command, "service-account-signing-key-file", layout.path("service-account.key"));
    flag(command, "kubelet-client-certificate", layout.path("kubelet-client.crt"));
    flag(command, "kubelet-client-key", layout.path("kubelet-client.key"));
    flag(command, "kubelet-preferred-address-types", "InternalIP");
}

fn controller_manager(command: &mut Command, layout: &Layout) {
    flag(command, "kubeconfig", kubeconfig_path(layout, "controller-manager"));
    flag(command, "root-ca-file", layout.ca());
    flag(command, "service-account-private-key-file", layout.path("service-account.key"));
    flag(command, "cluster-cidr", CLUSTER_CIDR);
    flag(command, "allocate-node-cidrs", "true");
    flag(command, "use-service-account-credentials", "true");
    command.args(["--leader-elect=false", "--secure-port=0"]);
}

fn kubelet(command: &mut Command, layout: &Layout) {
    flag(command, "config", layout.path("kubelet.json"));
    flag(command, "kubeconfig", kubeconfig_path(layout, "kubelet"));
    flag(command, "root-dir", layout.path("kubelet"));
    flag(command, "cert-dir", layout.path("kubelet/pki"));
    flag(command, "hostname-override", NODE);
    flag(command, "node-ip", NODE_IP);
}
