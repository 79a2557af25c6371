//! Configuration files of the components. YAML files are written as JSON, which is YAML too and needs no rules for quoting.

use std::fs;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::ProxyMode;
use super::credentials::kubeconfig_path;
use super::layout::{
    CLUSTER_CIDR, KUBELET_HEALTH_PORT, Layout, NETWORK, NODE, NODE_IP, PAUSE_IMAGE, POD_CIDR,
    PROXY_HEALTH_PORT, PROXY_METRICS_PORT,
};

/// Writes all configuration files.
pub fn write(layout: &Layout, mode: ProxyMode) -> Result<()> {
    for folder in ["log/pods", "cni", "manifests", "kubelet"] {
        let folder = layout.path(folder);
        fs::create_dir_all(&folder).with_context(|| format!("cluster: create {}", folder.display()))?;
    }
    let files = [
        ("containerd.toml", containerd(layout)),
        ("cni/10-longwave.conflist", format!("{:#}\n", cni(layout))),
        ("kubelet.json", format!("{:#}\n", kubelet(layout))),
        ("kube-proxy.json", format!("{:#}\n", kube_proxy(layout, mode))),
    ];
    for (name, text) in files {
        let path = layout.path(name);
        fs::write(&path, text).with_context(|| format!("cluster: write {}", path.display()))?;
    }
    Ok(())
}

/// Returns containerd's configuration. The network namespaces of pods are mounted below the folder of the cluster. With
/// `restrict_oom_score_adj` it also works in a container without CAP_SYS_RESOURCE. The runtime is runc, because crun refuses hosts that use
/// both versions of cgroups.
fn containerd(layout: &Layout) -> String {
    let text = |name| layout.text(name);
    format!(
        r#"version = 2
root = "{root}"
state = "{state}"
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs", "io.containerd.internal.v1.tracing"]

[grpc]
address = "{socket}"

[plugins."io.containerd.internal.v1.opt"]
path = "{opt}"

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{PAUSE_IMAGE}"
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "{cni}"

[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "overlayfs"
default_runtime_name = "runc"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
BinaryName = "/usr/sbin/runc"
Root = "{runc}"
SystemdCgroup = false
"#,
        root = text("containerd/root"),
        state = text("containerd/state"),
        socket = layout.containerd_socket().display(),
        opt = text("containerd/opt"),
        cni = text("cni"),
        runc = text("runc"),
    )
}

/// Returns the configuration of the pod network. The plugin is `ptp`, because `bridge` needs br_netfilter for services. One rule of
/// [`super::netfilter`] masquerades all pods.
fn cni(layout: &Layout) -> Value {
    json!({
        "cniVersion": "0.4.0",
        "name": NETWORK,
        "plugins": [{
            "type": "ptp",
            "ipMasq": false,
            "ipam": {
                "type": "host-local",
                "subnet": POD_CIDR,
                "dataDir": layout.path("cni-addresses"),
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        }],
    })
}

/// Returns the kubelet's configuration. The kubelet writes no rules into the tables of the machine, because they would apply to every
/// packet. It evicts no pod and removes no image when the disk is full, because there is no registry to pull images from.
fn kubelet(layout: &Layout) -> Value {
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": NODE_IP,
        "healthzBindAddress": "127.0.0.1",
        "healthzPort": KUBELET_HEALTH_PORT,
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": true},
            "x509": {"clientCAFile": layout.path("kubelet-client.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "containerRuntimeEndpoint": format!("unix://{}", layout.containerd_socket().display()),
        "cgroupDriver": "cgroupfs",
        "failCgroupV1": false,
        "failSwapOn": false,
        "localStorageCapacityIsolation": false,
        "oomScoreAdj": 0,
        "podLogsDir": layout.path("log/pods"),
        "staticPodPath": layout.path("manifests"),
        "volumePluginDir": layout.path("kubelet/volume-plugins"),
        "evictionHard": {
            "memory.available": "1Mi",
            "nodefs.available": "0%",
            "nodefs.inodesFree": "0%",
            "imagefs.available": "0%",
            "imagefs.inodesFree": "0%",
        },
        "makeIPTablesUtilChains": false,
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
    })
}

/// Returns kube-proxy's configuration, with which it does not change the kernel's settings of connection tracking.
fn kube_proxy(layout: &Layout, mode: ProxyMode) -> Value {
    json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": mode.name(),
        "hostnameOverride": NODE,
        "bindAddress": NODE_IP,
        "healthzBindAddress": format!("127.0.0.1:{PROXY_HEALTH_PORT}"),
        "metricsBindAddress": format!("127.0.0.1:{PROXY_METRICS_PORT}"),
        "clientConnection": {"kubeconfig": kubeconfig_path(layout, "kube-proxy")},
        "clusterCIDR": CLUSTER_CIDR,
        // With nftables, the default is the primary address only.
        "nodePortAddresses": ["0.0.0.0/0"],
        "detectLocalMode": "ClusterCIDR",
        "oomScoreAdj": 0,
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        "iptables": {"localhostNodePorts": false},
    })
}
