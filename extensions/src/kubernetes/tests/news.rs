//! When connections are asked for again: what moves the directory's version.

use longwave_pipeline::component::Directory;

use super::fixture::*;

/// *Scenario*: a pod of another node is told of; its status changes; it is made known again by a listing; it ends and is forgotten.
/// *Guarantees*: only the first moves the version: the rest has no answer for who asked before, and would have every connection of the
/// node asked for again whenever some pod anywhere changes.
#[test]
fn what_is_known_already_is_no_news() {
    let mut told = Told::new("node-2", 60);
    let mut pod = pod(1, "web", "10.244.1.7", 0);
    let before = told.directory.version();
    told.apply(Of::Pods, &pod, 1);
    let known = told.directory.version();
    assert_ne!(known, before);

    pod["status"]["conditions"] = serde_json::json!([{"type": "Ready", "status": "True"}]);
    told.apply(Of::Pods, &pod, 2);
    told.round = 2;
    told.apply(Of::Pods, &pod, 3);
    told.table(Of::Pods).complete(2, at(3));
    told.remove(Of::Pods, &pod, 4);
    told.table(Of::Pods).forget(at(4000));
    assert_eq!(told.directory.version(), known);
}

/// *Scenario*: of a pod of this node, told of with its address, the container is told of later, then another name of its owner.
/// *Guarantees*: each moves the version: there is a better answer than before.
#[test]
fn what_is_better_known_is_news() {
    let told = Told::new("node-1", 60);
    let whole = pod(1, "web", "10.244.1.7", 0);
    let mut bare = whole.clone();
    bare["status"]["containerStatuses"] = serde_json::json!([]);
    let mut versions = vec![told.directory.version()];
    let mut renamed = whole.clone();
    renamed["metadata"]["ownerReferences"][0]["name"] = "shop-5f6d".into();
    for (now, object) in [(1, bare), (2, whole), (3, renamed)] {
        told.apply(Of::Pods, &object, now);
        versions.push(told.directory.version());
    }
    assert!(versions.windows(2).all(|pair| pair[0] < pair[1]), "{versions:?}");
}

/// *Scenario*: a service and its slice are told of, twice each; then the slice has one backend more.
/// *Guarantees*: the version moves with what is new, not with what is told again.
#[test]
fn services_and_slices() {
    let told = Told::with("node-1", 60, &["pods"]);
    let (web, one) = (service(1, "web", "10.96.0.5", 80), slice(2, "web", 8080, &[("10.244.1.7", 1)]));
    let two = slice(2, "web", 8080, &[("10.244.1.7", 1), ("10.244.1.8", 2)]);
    let mut versions = Vec::new();
    for (of, object) in [
        (Of::Services, &web),
        (Of::Services, &web),
        (Of::Slices, &one),
        (Of::Slices, &one),
        (Of::Slices, &two),
    ] {
        told.apply(of, object, 1);
        versions.push(told.directory.version());
    }
    let moved: Vec<bool> = versions.windows(2).map(|pair| pair[0] != pair[1]).collect();
    assert_eq!(moved, [false, true, false, true]);
}
