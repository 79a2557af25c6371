//! When connections are looked up again: what changes the directory's version.

use longwave_pipeline::component::Directory;

use super::fixture::*;

/// *Scenario*: a pod of another node is added. Its status changes, a listing reports it again, and it is deleted and evicted.
/// *Guarantees*: only the first changes the version. The other changes give no pending look-up a result. If they changed the version, all
/// connections of the node would be looked up again whenever any pod of the cluster changes.
#[test]
fn what_is_known_already_does_not_change_the_version() {
    let mut fixture = Fixture::new("node-2", 60);
    let mut pod = pod(1, "web", "10.244.1.7", 0);
    let before = fixture.directory.version();
    fixture.apply(TableKind::Pods, &pod, 1);
    let known = fixture.directory.version();
    assert_ne!(known, before);

    pod["status"]["conditions"] = serde_json::json!([{"type": "Ready", "status": "True"}]);
    fixture.apply(TableKind::Pods, &pod, 2);
    fixture.listing = 2;
    fixture.apply(TableKind::Pods, &pod, 3);
    fixture.table(TableKind::Pods).complete(2, at(3));
    fixture.remove(TableKind::Pods, &pod, 4);
    fixture.table(TableKind::Pods).evict_expired(at(4000));
    assert_eq!(fixture.directory.version(), known);
}

/// *Scenario*: a pod of this node is reported with its address, later with its container, then with another name of its owner.
/// *Guarantees*: each changes the version, because a look-up has a better result than before.
#[test]
fn a_better_result_changes_the_version() {
    let fixture = Fixture::new("node-1", 60);
    let whole = pod(1, "web", "10.244.1.7", 0);
    let mut bare = whole.clone();
    bare["status"]["containerStatuses"] = serde_json::json!([]);
    let mut versions = vec![fixture.directory.version()];
    let mut renamed = whole.clone();
    renamed["metadata"]["ownerReferences"][0]["name"] = "shop-5f6d".into();
    for (now, object) in [(1, bare), (2, whole), (3, renamed)] {
        fixture.apply(TableKind::Pods, &object, now);
        versions.push(fixture.directory.version());
    }
    assert!(versions.windows(2).all(|pair| pair[0] < pair[1]), "{versions:?}");
}

/// *Scenario*: pods of another node, one with its own address and one in the host's network. They get other labels, and are detached from
/// their owner. Then another pod has the first one's address.
/// *Guarantees*: connections of all times, since the pod's start, have its current name. The number of renames changes with each new name, and
/// with nothing else: not with a status, a new pod or an end.
#[test]
fn pods_that_get_another_name() {
    let fixture = Fixture::new("node-2", 60);
    let mut changes = Vec::new();
    let mut apply = |object: &serde_json::Value, now| {
        let before = (fixture.directory.renames(), fixture.directory.version());
        fixture.apply(TableKind::Pods, object, now);
        let after = (fixture.directory.renames(), fixture.directory.version());
        assert!(before.0 == after.0 || before.1 != after.1, "the version follows the renames");
        changes.push(before.0 != after.0);
    };
    let (mut web, mut exporter) = (pod(1, "web", "10.244.1.7", 0), host_pod(2, "exporter", &[9100], 0));
    apply(&web, 1);
    apply(&exporter, 1);
    web["status"]["conditions"] = serde_json::json!([{"type": "Ready", "status": "True"}]);
    apply(&web, 2);
    for (object, now) in [(&mut web, 10), (&mut exporter, 11)] {
        object["metadata"]["ownerReferences"][0]["name"] = "shop-5f6d".into();
        apply(object, now);
    }
    let names = |time| [fixture.workload("10.244.1.7", 0, time), fixture.workload("192.0.2.10", 9100, time)];
    let shop = ["Deployment/shop (web-5f6d-1)", "Deployment/shop (exporter-5f6d-2)"];
    assert_eq!([names(3), names(12)], [shop, shop]);
    for (object, now) in [(&mut web, 20), (&mut exporter, 21)] {
        object["metadata"]["ownerReferences"] = serde_json::json!([]);
        apply(object, now);
    }
    let alone = ["Pod/web-5f6d-1 (web-5f6d-1)", "Pod/exporter-5f6d-2 (exporter-5f6d-2)"];
    assert_eq!([names(3), names(22)], [alone, alone]);
    apply(&pod(3, "other", "10.244.1.7", 30), 31);
    assert_eq!(
        [3, 31].map(|time| fixture.workload("10.244.1.7", 0, time)),
        [alone[0], "Deployment/other (other-5f6d-3)"]
    );
    web["metadata"]["labels"]["app"] = "other".into();
    apply(&web, 32);
    assert_eq!(changes, [false, false, false, true, true, true, true, false, false]);
}

/// *Scenario*: a service and its slice are reported, twice each. Then the slice has one backend more.
/// *Guarantees*: a new object or backend changes the version, a repetition does not.
#[test]
fn services_and_slices() {
    let fixture = Fixture::with("node-1", 60, true, &["pods"]);
    let (web, one) = (service(1, "web", "10.96.0.5", 80), slice(2, "web", 8080, &[("10.244.1.7", 1)]));
    let two = slice(2, "web", 8080, &[("10.244.1.7", 1), ("10.244.1.8", 2)]);
    let mut versions = Vec::new();
    for (of, object) in [
        (TableKind::Services, &web),
        (TableKind::Services, &web),
        (TableKind::Slices, &one),
        (TableKind::Slices, &one),
        (TableKind::Slices, &two),
    ] {
        fixture.apply(of, object, 1);
        versions.push(fixture.directory.version());
    }
    let moved: Vec<bool> = versions.windows(2).map(|pair| pair[0] != pair[1]).collect();
    assert_eq!(moved, [false, true, false, true]);
}
