//! The OpenTelemetry resource of everything that is exported.

/// Returns `service.name`, `service.version` and `host.name`. In Kubernetes also `k8s.node.name` and `k8s.cluster.name`, from the
/// variables `NODE_NAME` and `CLUSTER_NAME` that the DaemonSet sets.
pub(super) fn detect() -> Vec<(String, String)> {
    let mut resource = vec![
        ("service.name".to_owned(), "longwave".to_owned()),
        ("service.version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
    ];
    let mut put = |key: &str, value: Option<String>| {
        if let Some(value) = value.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()) {
            resource.push((key.to_owned(), value));
        }
    };
    put("host.name", std::fs::read_to_string("/proc/sys/kernel/hostname").ok());
    put("k8s.node.name", std::env::var("NODE_NAME").ok());
    put("k8s.cluster.name", std::env::var("CLUSTER_NAME").ok());
    resource
}
