//! The OpenTelemetry resource of everything that is exported, self-telemetry included.

use longwave_pipeline::runtime::ResourceChanges;

use super::check::view::View;

/// Files with the machine's id, in order of precedence. systemd writes the first, D-Bus on systems without systemd the second.
const MACHINE_IDS: [&str; 2] = ["/etc/machine-id", "/var/lib/dbus/machine-id"];
const INSTANCE_ID: &str = "service.instance.id";

/// Returns the attributes that identify Longwave and its host, with the `changes` of `service::telemetry::resource`. Attributes that the
/// changes add come last. An attribute is absent if its value is unknown.
///
/// `service.instance.id` is `k8s.node.name`, else `host.id`, else `host.name`. It is the same after a restart: Prometheus makes the label
/// `instance` of it, so a new value would start all series again, and without a value the nodes would overwrite each other's series.
pub(super) fn resource(view: &View, changes: &ResourceChanges) -> Vec<(String, String)> {
    let mut resource = Vec::new();
    let mut put = |key: &str, value: Option<String>| {
        if let Some(value) = value.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()) {
            resource.push((key.to_owned(), value));
        }
    };
    put("service.name", Some("longwave".to_owned()));
    put("service.version", Some(env!("CARGO_PKG_VERSION").to_owned()));
    put("host.name", view.read("/proc/sys/kernel/hostname").ok());
    put("host.id", machine_id(view));
    // The DaemonSet sets these variables.
    put("k8s.node.name", view.variable("NODE_NAME"));
    put("k8s.cluster.name", view.variable("CLUSTER_NAME"));
    for (key, value) in changes {
        let known = resource.iter().position(|(known, _)| known == key);
        match (known, value) {
            (Some(index), Some(value)) => resource[index].1.clone_from(value),
            (Some(index), None) => drop(resource.remove(index)),
            (None, Some(value)) => resource.push((key.clone(), value.clone())),
            (None, None) => {}
        }
    }
    if !changes.contains_key(INSTANCE_ID) {
        let value =
            |key: &str| resource.iter().find(|(known, _)| known == key).map(|(_, value)| value.clone());
        if let Some(id) = ["k8s.node.name", "host.id", "host.name"].into_iter().find_map(value) {
            resource.insert(resource.len().min(1), (INSTANCE_ID.to_owned(), id));
        }
    }
    resource
}

/// Returns the 32 hexadecimal digits of the first file that has them. A file can be empty or contain `uninitialized` early in the boot.
fn machine_id(view: &View) -> Option<String> {
    let is_id = |text: &String| text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    MACHINE_IDS.iter().find_map(|path| view.read(path).ok().map(|text| text.trim().to_owned()).filter(is_id))
}

#[cfg(test)]
mod tests;
