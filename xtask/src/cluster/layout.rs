//! Paths below the folder of the cluster, and the names, addresses and ports of the machine that it uses.

use std::path::{Path, PathBuf};

/// A bridge without ports that carries the address of the node, so that it is no loopback address and does not depend on the network.
pub const DEVICE: &str = "longwave-node";
/// Address of the node; the API server, the kubelet and node ports listen on it.
pub const NODE_IP: &str = "10.245.0.1";
/// Addresses of pods: the first /24 of [`CLUSTER_CIDR`], which the controller manager assigns to the only node.
pub const POD_CIDR: &str = "10.244.0.0/24";
/// Range of which each node gets a part for its pods.
pub const CLUSTER_CIDR: &str = "10.244.0.0/16";
/// Range of ClusterIPs.
pub const SERVICE_CIDR: &str = "10.96.0.0/16";
/// Name of the node.
pub const NODE: &str = "longwave-node";
/// Port of the API server on [`NODE_IP`].
pub const API_PORT: u16 = 16443;
/// Port of etcd for clients, on loopback.
pub const ETCD_PORT: u16 = 12379;
/// Port of etcd for peers, on loopback. It listens there although it has no peer.
pub const ETCD_PEER_PORT: u16 = 12380;
/// Port of the kubelet's health check, on loopback.
pub const KUBELET_HEALTH_PORT: u16 = 12248;
/// Port of kube-proxy's health check, on loopback.
pub const PROXY_HEALTH_PORT: u16 = 12256;
/// Port of kube-proxy's metrics, on loopback.
pub const PROXY_METRICS_PORT: u16 = 12249;
/// Name of the CNI network. Files that libcni leaves in its folder start with it.
pub const NETWORK: &str = "longwave-cluster";
/// The nftables table of the cluster, family `ip`.
pub const TABLE: &str = "longwave-cluster";
/// Image of the sandboxes of pods.
pub const PAUSE_IMAGE: &str = "docker.io/longwave/pause:1";
/// Image of busybox with all its tools, for tests.
pub const TOOLS_IMAGE: &str = "docker.io/longwave/busybox:1";

/// The folder of a cluster.
#[derive(Clone, Debug)]
pub struct Layout {
    /// Absolute path. `down` removes the folder.
    pub dir: PathBuf,
}

// === impl Layout ===

impl Layout {
    /// Path of a file or folder below it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Path of a file or folder below it, as text for arguments and configuration files.
    pub fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// The kubeconfig of the administrator.
    pub fn kubeconfig(&self) -> PathBuf {
        self.path("kubeconfig")
    }

    /// The token of the administrator.
    pub fn token(&self) -> PathBuf {
        self.path("admin.token")
    }

    /// The token as an HTTP header for curl (`--header @<file>`), because other users can read command lines.
    pub fn header(&self) -> PathBuf {
        self.path("admin.header")
    }

    /// The certificate that signs that of the API server.
    pub fn ca(&self) -> PathBuf {
        self.path("ca.crt")
    }

    /// Socket of containerd.
    pub fn containerd_socket(&self) -> PathBuf {
        self.path("containerd.sock")
    }

    /// Log of a component: its stdout and stderr.
    pub fn log(&self, component: &str) -> PathBuf {
        self.path("log").join(format!("{component}.log"))
    }

    /// File of [`super::state::ClusterState`].
    pub fn state(&self) -> PathBuf {
        self.path("state.json")
    }

    /// Whether `up` has run in this folder, and `down` has not.
    pub fn exists(&self) -> bool {
        self.state().is_file()
    }
}

/// The default folder. `/run` may be too small, and `/tmp` may be cleaned.
pub fn default_dir() -> &'static Path {
    Path::new("/var/lib/longwave-cluster")
}

/// URL of the API server for clients on the machine.
pub fn api_url() -> String {
    format!("https://{NODE_IP}:{API_PORT}")
}
