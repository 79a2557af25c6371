//! Paths below the folder of the cluster, and the names, addresses and ports that the cluster uses on the machine.

use std::path::{Path, PathBuf};

/// A bridge without ports that has the address of the node. So the address is not a loopback address and does not depend on the network of
/// the machine.
pub const DEVICE: &str = "longwave-node";
/// Address of the node. The API server, the kubelet and node ports listen on it.
pub const NODE_IP: &str = "10.245.0.1";
/// Addresses of pods: the first /24 of [`CLUSTER_CIDR`], which the controller manager assigns to the only node.
pub const POD_CIDR: &str = "10.244.0.0/24";
/// Range of the addresses of all pods. Each node has a part of it.
pub const CLUSTER_CIDR: &str = "10.244.0.0/16";
/// Range of ClusterIPs.
pub const SERVICE_CIDR: &str = "10.96.0.0/16";
/// Name of the node.
pub const NODE: &str = "longwave-node";
/// Port of the API server on [`NODE_IP`].
pub const API_PORT: u16 = 16443;
/// Port of etcd for clients, on loopback.
pub const ETCD_PORT: u16 = 12379;
/// Port of etcd for peers, on loopback. etcd listens on it although it has no peers.
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
    /// Returns the path of a file or folder in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Returns the path of a file or folder in the folder, as text for arguments and configuration files.
    pub fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// Path of the administrator's kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.path("kubeconfig")
    }

    /// Path of the file with the administrator's token.
    pub fn token(&self) -> PathBuf {
        self.path("admin.token")
    }

    /// Path of the file with the token as an HTTP header, for curl's `--header @<file>`. As an argument, other users could read the token.
    pub fn header(&self) -> PathBuf {
        self.path("admin.header")
    }

    /// Path of the certificate of the CA that signed the API server's certificate.
    pub fn ca(&self) -> PathBuf {
        self.path("ca.crt")
    }

    /// Path of containerd's socket.
    pub fn containerd_socket(&self) -> PathBuf {
        self.path("containerd.sock")
    }

    /// Path of a component's log, which contains its stdout and stderr.
    pub fn log(&self, component: &str) -> PathBuf {
        self.path("log").join(format!("{component}.log"))
    }

    /// Path of the file with [`super::state::ClusterState`].
    pub fn state(&self) -> PathBuf {
        self.path("state.json")
    }

    /// Returns whether `up` has run in this folder, and `down` has not run since.
    pub fn exists(&self) -> bool {
        self.state().is_file()
    }
}

/// Returns the default folder. It is not in `/run`, which may be too small, nor in `/tmp`, which may be cleaned.
pub fn default_dir() -> &'static Path {
    Path::new("/var/lib/longwave-cluster")
}

/// URL of the API server for clients on the machine.
pub fn api_url() -> String {
    format!("https://{NODE_IP}:{API_PORT}")
}
