//! Where everything of the cluster is: files below one folder, and the machine-wide names, addresses and ports it uses.

use std::path::{Path, PathBuf};

/// A bridge without ports: a node address must be neither loopback's nor depend on the machine's own network.
pub const DEVICE: &str = "longwave-node";
/// The node's address; the API server, the kubelet and node ports listen on it.
pub const NODE_IP: &str = "10.245.0.1";
/// Pods' addresses: the first /24 of [`CLUSTER_CIDR`], which the controller manager gives the only node.
pub const POD_CIDR: &str = "10.244.0.0/24";
/// What nodes' pod networks are cut from.
pub const CLUSTER_CIDR: &str = "10.244.0.0/16";
/// ClusterIPs.
pub const SERVICE_CIDR: &str = "10.96.0.0/16";
/// The node's name.
pub const NODE: &str = "longwave-node";
/// The API server's port on [`NODE_IP`].
pub const API_PORT: u16 = 16443;
/// etcd's client port, on loopback.
pub const ETCD_PORT: u16 = 12379;
/// etcd's peer port, on loopback; it listens there though it is alone.
pub const ETCD_PEER_PORT: u16 = 12380;
/// The kubelet's health, on loopback.
pub const KUBELET_HEALTH_PORT: u16 = 12248;
/// kube-proxy's health, on loopback.
pub const PROXY_HEALTH_PORT: u16 = 12256;
/// kube-proxy's metrics, on loopback.
pub const PROXY_METRICS_PORT: u16 = 12249;
/// The CNI network's name, in the names of what libcni leaves in its own folder.
pub const NETWORK: &str = "longwave-cluster";
/// The nftables table that is the cluster's own, family `ip`.
pub const TABLE: &str = "longwave-cluster";
/// The image of pods' sandboxes.
pub const PAUSE_IMAGE: &str = "docker.io/longwave/pause:1";
/// busybox, with all its tools, for tests.
pub const TOOLS_IMAGE: &str = "docker.io/longwave/busybox:1";

/// The cluster's folder.
#[derive(Clone, Debug)]
pub struct Layout {
    /// Everything is below it, and it is removed by `down`.
    pub dir: PathBuf,
}

// === impl Layout ===

impl Layout {
    /// A file or folder of the cluster.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The same as text, for arguments and configuration.
    pub fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.path("kubeconfig")
    }

    /// The administrator's token alone.
    pub fn token(&self) -> PathBuf {
        self.path("admin.token")
    }

    /// The same as curl takes it, `--header @<file>`: a command line is everybody's to read.
    pub fn header(&self) -> PathBuf {
        self.path("admin.header")
    }

    /// Signs the API server's certificate.
    pub fn ca(&self) -> PathBuf {
        self.path("ca.crt")
    }

    /// containerd's socket.
    pub fn containerd_socket(&self) -> PathBuf {
        self.path("containerd.sock")
    }

    /// What a component wrote to stdout and stderr.
    pub fn log(&self, component: &str) -> PathBuf {
        self.path("log").join(format!("{component}.log"))
    }

    /// What was started and what the machine was like before.
    pub fn state(&self) -> PathBuf {
        self.path("state.json")
    }

    /// Whether there is anything of a cluster.
    pub fn exists(&self) -> bool {
        self.state().is_file()
    }
}

/// The folder if none is given: not below `/run`, which may be small, nor `/tmp`, which may be cleaned.
pub fn default_dir() -> &'static Path {
    Path::new("/var/lib/longwave-cluster")
}

/// The API server's address as clients outside write it.
pub fn api_url() -> String {
    format!("https://{NODE_IP}:{API_PORT}")
}
