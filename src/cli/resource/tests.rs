#![allow(clippy::unwrap_used)]

use super::*;

const ID: &str = "0123456789abcdef0123456789abcdef";

/// Returns the resource of a host with these files and variables, one `key=value` a line.
fn shown(
    files: &[(&str, &str)],
    variables: &'static [(&str, &str)],
    changes: &[(&str, Option<&str>)],
) -> String {
    let root = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = root.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let view = View::new(root.path(), |name| {
        variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    });
    let changes = changes.iter().map(|(key, value)| ((*key).to_owned(), value.map(str::to_owned))).collect();
    let version = ("service.version".to_owned(), env!("CARGO_PKG_VERSION").to_owned());
    let resource = resource(&view, &changes);
    assert!(resource.contains(&version) || changes.contains_key("service.version"));
    let lines = resource.iter().filter(|pair| **pair != version).map(|(key, value)| format!("{key}={value}"));
    lines.collect::<Vec<_>>().join("\n")
}

/// *Scenario*: a node of Kubernetes; a host with systemd, one with only D-Bus' id, ones whose id is not written yet, and one with only a
/// name.
/// *Guarantees*: `host.id` is the machine's id. `service.instance.id` is the node's name, else the machine's id, else the host's name.
/// Unknown attributes are absent.
#[test]
fn the_instance_is_the_node() {
    let name = ("proc/sys/kernel/hostname", "host-1\n");
    let (systemd, dbus) =
        (("etc/machine-id", format!("{ID}\n")), ("var/lib/dbus/machine-id", format!("{ID}\n")));
    let (systemd, dbus) = ((systemd.0, &*systemd.1), (dbus.0, &*dbus.1));
    let node = &[("NODE_NAME", "node-1"), ("CLUSTER_NAME", "prod")];
    assert_eq!(
        shown(&[name, systemd], node, &[]),
        format!(
            "service.name=longwave\nservice.instance.id=node-1\nhost.name=host-1\nhost.id={ID}\nk8s.node.name=node-1\nk8s.cluster.name=prod"
        )
    );
    let by_id = format!("service.name=longwave\nservice.instance.id={ID}\nhost.name=host-1\nhost.id={ID}");
    assert_eq!(shown(&[name, systemd], &[("NODE_NAME", "")], &[]), by_id);
    assert_eq!(shown(&[name, dbus], &[], &[]), by_id);
    assert_eq!(shown(&[name, ("etc/machine-id", "uninitialized\n"), dbus], &[], &[]), by_id);
    let by_name = "service.name=longwave\nservice.instance.id=host-1\nhost.name=host-1";
    assert_eq!(shown(&[name, ("etc/machine-id", "")], &[], &[]), by_name);
    assert_eq!(shown(&[], &[], &[]), "service.name=longwave");
}

/// *Scenario*: `service::telemetry::resource` replaces, adds and removes attributes, among them those that the instance's id comes from.
/// *Guarantees*: replaced attributes keep their place and added ones come last. The instance's id is derived from the changed attributes,
/// unless it is configured or removed itself.
#[test]
fn the_configuration_changes_attributes() {
    let machine_id = format!("{ID}\n");
    let files = [("proc/sys/kernel/hostname", "host-1"), ("etc/machine-id", &*machine_id)];
    let with = |changes: &[(&str, Option<&str>)]| shown(&files, &[], changes);
    assert_eq!(
        with(&[("service.name", Some("tcp")), ("host.id", None), ("absent", None), ("rack", Some("r 7"))]),
        "service.name=tcp\nservice.instance.id=host-1\nhost.name=host-1\nrack=r 7"
    );
    assert_eq!(
        with(&[("k8s.node.name", Some("node-2")), ("host.name", None), ("service.name", None)]),
        format!("service.instance.id=node-2\nhost.id={ID}\nk8s.node.name=node-2")
    );
    assert_eq!(
        with(&[(INSTANCE_ID, Some("a")), ("host.id", None)]),
        "service.name=longwave\nhost.name=host-1\nservice.instance.id=a"
    );
    assert_eq!(with(&[(INSTANCE_ID, None), ("host.id", None)]), "service.name=longwave\nhost.name=host-1");
}
