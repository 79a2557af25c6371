use longwave_pipeline::component::Answer;
use longwave_pipeline::model::{Endpoint, UnixNanos};
use serde_json::json;

use super::fixture::*;

/// *Scenario*: between two records an address is reassigned from one pod to another. Records of both times are looked up after that.
/// *Guarantees*: each has the pod of its own time, and none between the two.
#[test]
fn recycled_within_one_interval() {
    let fixture = Fixture::new("node-1", 60);
    let (old, new) = (pod(1, "old", "10.244.1.7", 0), pod(2, "new", "10.244.1.7", 20));
    fixture.apply(TableKind::Pods, &old, 1);
    fixture.remove(TableKind::Pods, &old, 11);
    fixture.apply(TableKind::Pods, &new, 22);
    assert_eq!(fixture.workload("10.244.1.7", 0, 10), "Deployment/old (old-5f6d-1)");
    assert_eq!(fixture.workload("10.244.1.7", 0, 12), "unknown");
    assert_eq!(fixture.workload("10.244.1.7", 0, 20), "Deployment/new (new-5f6d-2)");
}

/// *Scenario*: a pod is deleted, and another pod gets its address soon after. The end of the first is reported late, and the start of the
/// second after that.
/// *Guarantees*: the first has the address until the end of its grace period, not until the report. Then no pod has it until the start of
/// the second.
#[test]
fn an_end_that_is_reported_late() {
    let fixture = Fixture::new("node-1", 60);
    let (mut old, new) = (pod(1, "old", "10.244.1.7", 0), pod(2, "new", "10.244.1.7", 14));
    fixture.apply(TableKind::Pods, &old, 1);
    old["metadata"]["deletionTimestamp"] = rfc3339(11).into();
    fixture.remove(TableKind::Pods, &old, 20);
    assert_eq!(fixture.workload("10.244.1.7", 0, 11), "Deployment/old (old-5f6d-1)");
    assert_eq!(fixture.workload("10.244.1.7", 0, 15), "unknown");
    fixture.apply(TableKind::Pods, &new, 21);
    assert_eq!(fixture.workload("10.244.1.7", 0, 15), "Deployment/new (new-5f6d-2)");
    assert_eq!(fixture.workload("10.244.1.7", 0, 11), "Deployment/old (old-5f6d-1)");
}

/// *Scenario*: the new pod is reported before the end of the old one, which stays, changes, and is removed later.
/// *Guarantees*: the address is the new pod's from its start on, whatever is reported of the old one.
#[test]
fn a_pod_that_ends_late_does_not_get_its_address_back() {
    let fixture = Fixture::new("node-1", 60);
    let (mut old, new) = (pod(1, "old", "10.244.1.7", 0), pod(2, "new", "10.244.1.7", 12));
    fixture.apply(TableKind::Pods, &old, 1);
    fixture.apply(TableKind::Pods, &new, 13);
    old["metadata"]["deletionTimestamp"] = rfc3339(13).into();
    fixture.apply(TableKind::Pods, &old, 14);
    old["metadata"]["labels"]["app"] = "changed".into();
    fixture.apply(TableKind::Pods, &old, 15);
    fixture.remove(TableKind::Pods, &old, 20);
    assert_eq!(fixture.workload("10.244.1.7", 0, 11), "Deployment/old (old-5f6d-1)");
    assert_eq!(fixture.workload("10.244.1.7", 0, 30), "Deployment/new (new-5f6d-2)");
}

/// *Scenario*: a StatefulSet's pod is deleted during a gap and created again with the same name and address. The new listing contains the
/// new pod only.
/// *Guarantees*: the removal of the old pod does not affect the new one of the same name.
#[test]
fn pods_of_the_same_name() {
    let mut fixture = Fixture::new("node-1", 60);
    let old = pod(1, "db", "10.244.1.7", 0);
    let mut new = pod(2, "db", "10.244.1.7", 20);
    new["metadata"]["name"] = old["metadata"]["name"].clone();
    fixture.apply(TableKind::Pods, &old, 1);
    fixture.listing = 2;
    fixture.apply(TableKind::Pods, &new, 30);
    assert_eq!(fixture.table(TableKind::Pods).complete(2, at(31)), 1);
    assert_eq!(fixture.workload("10.244.1.7", 0, 40), "Deployment/db (db-5f6d-1)");
    assert_eq!(fixture.cgroup(&container_id(2), "", 40), "Deployment/db (db-5f6d-1) main");
}

/// *Scenario*: after a gap a listing contains some of the known objects, and a new one.
/// *Guarantees*: until the listing is complete, look-ups find all known objects. After that, what vanished is found for earlier times only.
#[test]
fn what_vanished_in_a_gap_is_removed() {
    let mut fixture = Fixture::new("node-1", 60);
    for number in 1..4 {
        fixture.apply(TableKind::Pods, &pod(number, "web", &format!("10.244.1.{number}"), 0), 1);
    }
    fixture.apply(TableKind::Services, &service(8, "web", "10.96.0.5", 80), 1);
    fixture.apply(TableKind::Slices, &slice(9, "web", 8080, &[("10.244.1.1", 1), ("10.244.1.2", 2)]), 1);
    fixture.listing = 2;
    fixture.apply(TableKind::Pods, &pod(1, "web", "10.244.1.1", 0), 50);
    assert_eq!(fixture.workload("10.244.1.2", 0, 51), "Deployment/web (web-5f6d-2)");
    assert_eq!(fixture.table(TableKind::Pods).complete(2, at(52)), 2);
    assert_eq!(fixture.table(TableKind::Services).complete(2, at(52)), 1);
    assert_eq!(fixture.table(TableKind::Slices).complete(2, at(52)), 1);
    assert_eq!(fixture.workload("10.244.1.1", 0, 53), "Deployment/web (web-5f6d-1)");
    assert_eq!(fixture.workload("10.244.1.2", 0, 51), "Deployment/web (web-5f6d-2)");
    assert_eq!(fixture.workload("10.244.1.2", 0, 53), "pending");
    assert_eq!(
        (fixture.service("10.96.0.5", 80, 51), fixture.service("10.96.0.5", 80, 53)),
        ("shop/web".into(), "unknown".into())
    );
    assert_eq!(
        (fixture.backend("10.244.1.1", 8080, 51), fixture.backend("10.244.1.1", 8080, 53)),
        ("shop/web".into(), "unknown".into())
    );
}

/// *Scenario*: two pods in the host's network, with declared ports, with an endpoint's reference only, and with the same port.
/// *Guarantees*: a port that exactly one pod declares resolves to it. A shared port, another port, and no port resolve to none, because
/// masqueraded connections have the node's address.
#[test]
fn pods_in_the_hosts_network() {
    let fixture = Fixture::new("node-1", 60);
    fixture.apply(TableKind::Pods, &host_pod(1, "exporter", &[9100], 0), 1);
    fixture.apply(TableKind::Pods, &host_pod(2, "proxy", &[8443, 9999], 0), 1);
    fixture.apply(TableKind::Pods, &host_pod(3, "silent", &[], 0), 1);
    fixture.apply(TableKind::Services, &service(8, "silent", "None", 7000), 1);
    fixture.apply(TableKind::Slices, &slice(9, "silent", 7000, &[("192.0.2.10", 3)]), 1);
    assert_eq!(fixture.workload("192.0.2.10", 9100, 5), "Deployment/exporter (exporter-5f6d-1)");
    assert_eq!(fixture.workload("192.0.2.10", 8443, 5), "Deployment/proxy (proxy-5f6d-2)");
    assert_eq!(fixture.workload("192.0.2.10", 7000, 5), "Deployment/silent (silent-5f6d-3)");
    assert_eq!(fixture.workload("192.0.2.10", 22, 5), "unknown");
    assert_eq!(fixture.workload("192.0.2.10", 0, 5), "unknown");
    fixture.apply(TableKind::Pods, &host_pod(4, "twin", &[9999], 10), 10);
    assert_eq!(
        [9, 10].map(|time| fixture.workload("192.0.2.10", 9999, time)),
        ["Deployment/proxy (proxy-5f6d-2)", "unknown"]
    );
    fixture.remove(TableKind::Pods, &host_pod(4, "twin", &[9999], 10), 20);
    assert_eq!(fixture.workload("192.0.2.10", 9999, 21), "Deployment/proxy (proxy-5f6d-2)");
    // Their cgroups distinguish them.
    assert_eq!(fixture.cgroup(&container_id(1), "", 5), "Deployment/exporter (exporter-5f6d-1) main");
    assert_eq!(fixture.cgroup(&container_id(2), "", 5), "Deployment/proxy (proxy-5f6d-2) main");
}

/// *Scenario*: a pod's port is forwarded from its node's.
/// *Guarantees*: the node's address and that port resolve to the pod.
#[test]
fn forwarded_ports() {
    let fixture = Fixture::new("node-1", 60);
    let mut web = pod(1, "web", "10.244.1.7", 0);
    web["spec"]["containers"][0]["ports"] = json!([{"containerPort": 8080, "hostPort": 80}]);
    fixture.apply(TableKind::Pods, &web, 1);
    assert_eq!(fixture.workload("192.0.2.10", 80, 5), "Deployment/web (web-5f6d-1)");
    assert_eq!(fixture.workload("192.0.2.10", 8080, 5), "unknown");
    use longwave_pipeline::component::Directory;
    let forwarded = |port| fixture.directory.is_node_port(port);
    assert_eq!([80, 8080, 9100].map(forwarded), [true, false, false]);
    fixture.apply(TableKind::Pods, &host_pod(2, "exporter", &[9100], 0), 1);
    assert!(!forwarded(9100), "nothing is translated");
    fixture.remove(TableKind::Pods, &web, 2);
    assert!(!forwarded(80));
}

/// *Scenario*: cgroups of a known container, of a pod's sandbox, of a static pod, of unknown pods and containers, of a pod of another node,
/// and one that is not in Kubernetes.
/// *Guarantees*: the first resolves to its container, and the next two to their pods: the sandbox as a part of a name at first, because the
/// node could still report it as a container. An unknown pod is pending while an update may arrive, and unknown after that. An unknown container without a pod's uid, and one of another node, is unknown.
#[test]
fn cgroups() {
    let fixture = Fixture::new("node-1", 60);
    fixture.apply(TableKind::Pods, &pod(1, "web", "10.244.1.7", 0), 1);
    let mut mirror = host_pod(2, "apiserver", &[6443], 0);
    mirror["metadata"]["annotations"] =
        json!({"kubernetes.io/config.hash": "9c6b1fa2e1cf4f1e8f6f1d8f2e9a0b11"});
    mirror["metadata"]["ownerReferences"] = json!([{"kind": "Node", "name": "node-1", "controller": true}]);
    fixture.apply(TableKind::Pods, &mirror, 1);
    let mut elsewhere = pod(3, "far", "10.244.2.7", 0);
    elsewhere["spec"]["nodeName"] = "node-2".into();
    fixture.apply(TableKind::Pods, &elsewhere, 1);
    assert_eq!(fixture.cgroup(&container_id(1), &uid(1), 5), "Deployment/web (web-5f6d-1) main");
    assert_eq!(
        [5, 19, 20].map(|time| fixture.cgroup(&container_id(99), &uid(1), time)),
        ["Deployment/web (web-5f6d-1) …", "Deployment/web (web-5f6d-1) …", "Deployment/web (web-5f6d-1) "]
    );
    assert_eq!(
        fixture.cgroup("", "9c6b1fa2e1cf4f1e8f6f1d8f2e9a0b11", 5),
        "Pod/apiserver-5f6d-2 (apiserver-5f6d-2) "
    );
    assert_eq!(fixture.cgroup(&container_id(98), &uid(98), 50), "pending");
    assert_eq!(fixture.cgroup(&container_id(98), &uid(98), 40), "unknown");
    assert_eq!(fixture.cgroup(&container_id(98), "", 50), "unknown");
    assert_eq!(fixture.cgroup("", "", 50), "unknown");
    assert_eq!(fixture.cgroup(&container_id(3), &uid(3), 5), "unknown");
    assert_eq!(fixture.workload("10.244.2.7", 0, 5), "Deployment/far (far-5f6d-3)");
}

/// *Scenario*: connections of new containers are looked up before the node has reported their ids. The first pod runs on. The second one, in
/// the host's network, ends so soon that only its last status has the id and the address. The third is deleted without any status.
/// *Guarantees*: the pod, with the container's id from the path, is only a part of the name, until the node has reported the container or the
/// pod is gone. Then the container has its name, which changes the version.
#[test]
fn containers_that_are_not_reported_yet() {
    use longwave_pipeline::component::{CgroupName, Directory};
    let fixture = Fixture::new("node-1", 60);
    let bare = |mut pod: serde_json::Value| {
        pod["status"]["containerStatuses"] =
            json!([{"name": "main", "state": {"waiting": {"reason": "ContainerCreating"}}}]);
        pod["status"]["phase"] = "Pending".into();
        pod
    };
    let pods = [pod(1, "web", "10.244.1.7", 0), host_pod(2, "job", &[], 0), pod(3, "gone", "10.244.1.8", 0)];
    for object in &pods {
        fixture.apply(TableKind::Pods, &bare(object.clone()), 1);
    }
    let name = |number, time| fixture.cgroup(&container_id(number), &uid(number), time);
    let partial =
        ["Deployment/web (web-5f6d-1) …", "Deployment/job (job-5f6d-2) …", "Deployment/gone (gone-5f6d-3) …"];
    assert_eq!([1, 2, 3].map(|number| name(number, 2)), partial);
    let (id, pod_uid) = (container_id(1), uid(1));
    let path = CgroupName { path: "", container_id: &id, pod_uid: &pod_uid };
    let Answer::Partial(part) = fixture.directory.workload_of_cgroup(&path, at(2)) else { panic!() };
    assert_eq!((&*part.container, &*part.container_id), ("", &*id));

    let version = fixture.directory.version();
    fixture.apply(TableKind::Pods, &pods[0], 3);
    assert_ne!(fixture.directory.version(), version);
    let mut ended = pods[1].clone();
    ended["status"]["phase"] = "Succeeded".into();
    let running = ended["status"]["containerStatuses"][0]["state"]["running"].take();
    ended["status"]["containerStatuses"][0]["state"] = json!({"terminated": running});
    let version = fixture.directory.version();
    fixture.apply(TableKind::Pods, &ended, 3);
    assert_ne!(fixture.directory.version(), version);
    fixture.remove(TableKind::Pods, &pods[2], 3);
    let whole = [
        "Deployment/web (web-5f6d-1) main",
        "Deployment/job (job-5f6d-2) main",
        "Deployment/gone (gone-5f6d-3) ",
    ];
    assert_eq!([1, 2, 3].map(|number| name(number, 2)), whole);
}

/// *Scenario*: a pod whose first status is its last one, because it ended within a second. Before that, it had no address.
/// *Guarantees*: its connections have its name, and later ones have none.
#[test]
fn pods_that_end_before_they_are_reported() {
    let fixture = Fixture::new("node-1", 60);
    let mut job = pod(1, "job", "10.244.1.7", 10);
    let mut bare = job.clone();
    bare["status"] = json!({"phase": "Pending"});
    fixture.apply(TableKind::Pods, &bare, 10);
    job["status"]["phase"] = "Succeeded".into();
    fixture.apply(TableKind::Pods, &job, 12);
    assert_eq!(
        [10, 11, 30].map(|time| fixture.workload("10.244.1.7", 0, time)),
        ["Deployment/job (job-5f6d-1)", "Deployment/job (job-5f6d-1)", "unknown"]
    );
}

/// *Scenario*: a container is restarted, then its pod is deleted.
/// *Guarantees*: both containers keep their name as long as records may arrive.
#[test]
fn restarted_containers() {
    let fixture = Fixture::new("node-1", 60);
    let mut web = pod(1, "web", "10.244.1.7", 0);
    fixture.apply(TableKind::Pods, &web, 1);
    web["status"]["containerStatuses"][0]["containerID"] = format!("containerd://{}", container_id(7)).into();
    fixture.apply(TableKind::Pods, &web, 10);
    fixture.remove(TableKind::Pods, &web, 20);
    for id in [1, 7] {
        assert_eq!(fixture.cgroup(&container_id(id), &uid(1), 21), "Deployment/web (web-5f6d-1) main");
    }
    fixture.table(TableKind::Pods).evict_expired(at(400));
    assert_eq!(fixture.cgroup(&container_id(1), &uid(1), 21), "unknown");
}

/// *Scenario*: a Job's pod ends, and its object stays.
/// *Guarantees*: an ended pod has no address, even while its object exists.
#[test]
fn finished_pods() {
    let fixture = Fixture::new("node-1", 60);
    let mut job = pod(1, "job", "10.244.1.7", 0);
    fixture.apply(TableKind::Pods, &job, 1);
    job["status"]["phase"] = "Succeeded".into();
    fixture.apply(TableKind::Pods, &job, 10);
    fixture.apply(TableKind::Pods, &job, 11);
    assert_eq!(fixture.workload("10.244.1.7", 0, 9), "Deployment/job (job-5f6d-1)");
    assert_eq!(fixture.workload("10.244.1.7", 0, 30), "unknown");
}

/// *Scenario*: addresses that no pod has: far from all pods and near a pod, with old and new records. Then the statistics before the first
/// listing, which may be running or fail repeatedly.
/// *Guarantees*: only what may still be reported is pending.
#[test]
fn pending_or_unknown() {
    let fixture = Fixture::new("node-1", 60);
    fixture.apply(TableKind::Pods, &pod(1, "web", "10.244.1.7", 0), 1);
    assert_eq!(fixture.workload("10.244.1.8", 0, 59), "pending");
    assert_eq!(fixture.workload("10.244.1.8", 0, 61), "pending");
    assert_eq!(fixture.workload("10.244.1.8", 0, 40), "unknown");
    assert_eq!(fixture.workload("203.0.113.9", 443, 59), "unknown");
    let instruments =
        super::super::telemetry::Instruments::new(&opentelemetry::global::meter("test"), "kubernetes");
    let stats = super::super::telemetry::ResourceStats::new("pods", &instruments);
    assert!(stats.is_expected());
    (0..4).for_each(|_| stats.failed("unreachable"));
    assert!(!stats.is_expected());
    stats.reset_failures();
    assert!(stats.is_expected());
}

/// *Scenario*: a service's cluster IP, external address, balancer's address and node port are looked up, a port that it does not have, and
/// a foreign address with the number of its node port.
/// *Guarantees*: the service is found at its own addresses and ports only. The addresses whose connections may be translated are known.
#[test]
fn services() {
    let fixture = Fixture::new("node-1", 60);
    fixture.apply(TableKind::Pods, &pod(1, "web", "10.244.1.7", 0), 1);
    let mut web = service(8, "web", "10.96.0.5", 80);
    web["spec"]["externalIPs"] = json!(["198.51.100.1"]);
    web["spec"]["ports"][0]["nodePort"] = 30080.into();
    web["status"]["loadBalancer"] = json!({"ingress": [{"ip": "203.0.113.9"}]});
    use longwave_pipeline::component::Directory;
    fixture.apply(TableKind::Services, &web, 1);
    for address in ["10.96.0.5", "198.51.100.1", "203.0.113.9"] {
        assert_eq!(fixture.service(address, 80, 5), "shop/web", "{address}");
    }
    assert_eq!(fixture.service("192.0.2.10", 30080, 5), "shop/web");
    let at_any_address = |port, time| fixture.node_port(port, time);
    assert_eq!([at_any_address(30080, 5), at_any_address(80, 5)], ["shop/web", "unknown"]);
    assert!(fixture.directory.is_node_port(30080) && !fixture.directory.is_node_port(80));
    assert_eq!(fixture.service("192.0.2.11", 30080, 5), "unknown");
    assert_eq!(fixture.service("10.96.0.5", 81, 5), "unknown");
    let translated = |address: &str| fixture.directory.is_translated(address.parse().unwrap());
    assert_eq!(
        ["10.96.0.5", "192.0.2.10", "10.244.1.7", "198.51.100.7"].map(translated),
        [true, true, false, false]
    );
    // The service gets another port; then it is deleted and another service gets its address.
    web["spec"]["ports"][0]["port"] = 8000.into();
    fixture.apply(TableKind::Services, &web, 20);
    assert_eq!(
        (fixture.service("10.96.0.5", 80, 19), fixture.service("10.96.0.5", 80, 20)),
        ("shop/web".into(), "unknown".into())
    );
    fixture.remove(TableKind::Services, &web, 30);
    let mut other = service(9, "other", "10.96.0.5", 8000);
    other["metadata"]["creationTimestamp"] = rfc3339(32).into();
    fixture.apply(TableKind::Services, &other, 33);
    assert_eq!(
        [29, 30, 31, 32].map(|time| fixture.service("10.96.0.5", 8000, time)),
        ["shop/web", "unknown", "unknown", "shop/other"]
    );
    assert!(!translated("203.0.113.9"));
}

/// *Scenario*: a service is deleted and another gets its address within the same second, which is the resolution of times in the API.
/// *Guarantees*: from the end of the first service to the end of that second the address has no service, because the other one may not have
/// been created yet.
#[test]
fn an_address_that_is_reused_within_a_second() {
    use longwave_pipeline::component::Directory;
    let fixture = Fixture::new("node-1", 60);
    let web = service(3, "web", "10.96.0.5", 80);
    fixture.apply(TableKind::Services, &web, 10);
    let ended = at(30).0 + 200_000_000;
    fixture.table(TableKind::Services).remove(&web.to_string(), UnixNanos(ended)).unwrap();
    let mut other = service(9, "other", "10.96.0.5", 80);
    other["metadata"]["creationTimestamp"] = rfc3339(30).into();
    fixture.apply(TableKind::Services, &other, 33);
    assert_eq!(
        [29, 30, 31].map(|time| fixture.service("10.96.0.5", 80, time)),
        ["shop/web", "shop/web", "shop/other"]
    );
    let frontend = Endpoint { address: "10.96.0.5".parse().unwrap(), port: 80 };
    let between = UnixNanos(ended + 100_000_000);
    assert_eq!(fixture.directory.service_of_address(frontend, between), Answer::Unknown);
}

/// *Scenario*: Longwave is not permitted or not configured to list services.
/// *Guarantees*: every address that no pod has counts as translated, so that the pod that serves it can still be found.
#[test]
fn without_services() {
    use longwave_pipeline::component::Directory;
    let fixture = Fixture::with("node-1", 60, true, &["pods"]);
    fixture.apply(TableKind::Pods, &pod(1, "web", "10.244.1.7", 0), 1);
    let translated = |address: &str| fixture.directory.is_translated(address.parse().unwrap());
    assert_eq!(["10.96.0.5", "192.0.2.10", "10.244.1.7"].map(translated), [true, true, false]);
}

/// *Scenario*: backends of one service, of two, and of a headless one without ports. An endpoint moves from one slice to another.
/// *Guarantees*: a backend resolves to its service. If it has two, it resolves to the first by name, marked as ambiguous until the other is
/// removed. There is no gap while the endpoint moves.
#[test]
fn backends() {
    let fixture = Fixture::new("node-1", 60);
    for number in [1, 2] {
        fixture.apply(TableKind::Pods, &pod(number, "web", &format!("10.244.1.{number}"), 0), 1);
    }
    let services = [
        service(21, "web", "10.96.0.1", 80),
        service(22, "canary", "None", 80),
        service(23, "peers", "None", 80),
    ];
    services.iter().for_each(|service| fixture.apply(TableKind::Services, service, 1));
    fixture.apply(TableKind::Slices, &slice(1, "web", 8080, &[("10.244.1.1", 1)]), 1);
    assert_eq!(fixture.backend("10.244.1.1", 8080, 5), "shop/web");
    assert_eq!(fixture.backend("10.244.1.1", 9090, 5), "unknown");
    fixture.apply(TableKind::Slices, &slice(2, "canary", 8080, &[("10.244.1.1", 1)]), 10);
    assert_eq!([9, 10].map(|time| fixture.backend("10.244.1.1", 8080, time)), ["shop/web", "shop/canary*"]);
    fixture.remove(TableKind::Slices, &slice(2, "canary", 8080, &[]), 20);
    assert_eq!(fixture.backend("10.244.1.1", 8080, 20), "shop/web");
    fixture.apply(TableKind::Slices, &slice(1, "web", 8080, &[]), 30);
    fixture.apply(TableKind::Slices, &slice(3, "web", 8080, &[("10.244.1.1", 1)]), 31);
    assert_eq!([29, 30, 31].map(|time| fixture.backend("10.244.1.1", 8080, time)), ["shop/web"; 3]);
    let mut headless = slice(4, "peers", 0, &[("10.244.1.2", 2)]);
    headless["ports"] = json!([]);
    fixture.apply(TableKind::Slices, &headless, 1);
    assert_eq!(fixture.backend("10.244.1.2", 4242, 5), "shop/peers");
    for number in 1..5 {
        fixture.remove(TableKind::Slices, &slice(number, "web", 8080, &[]), 40);
    }
    for (number, service) in services.iter().enumerate() {
        assert_eq!(fixture.directory.services().counts(), [services.len() - number, 0]);
        fixture.remove(TableKind::Services, service, 40);
    }
    fixture.table(TableKind::Services).evict_expired(at(400));
    assert_eq!(fixture.directory.services().sizes(), [0; 9]);
}

/// *Scenario*: slices of services that were deleted, never existed, are external names since a while or always, or select no pods; slices that
/// list an address which another pod has taken, and one that no pod has; a slice that someone wrote without a pod. Each also lists the address
/// of a pod that a good slice lists. Then an external name becomes a service.
/// *Guarantees*: for connections of each time, only a slice whose service existed and selected pods, and whose pod had the address, names the
/// service. The others name none, and do not make the name of the good one ambiguous.
#[test]
fn slices_are_believed_with_their_service_and_pods_only() {
    let mut fixture = Fixture::new("node-1", 300);
    fixture.apply(TableKind::Pods, &pod(1, "web", "10.244.1.1", 0), 1);
    fixture.apply(TableKind::Pods, &pod(2, "taker", "10.244.1.2", 0), 1);
    let good = service(31, "good", "10.96.0.1", 80);
    let external = |number, name: &str| {
        let mut external = service(number, name, "", 80);
        external["spec"]["type"] = "ExternalName".into();
        external
    };
    let mut manual = service(34, "manual", "10.96.0.4", 80);
    manual["spec"]["selector"] = json!(null);
    let (deleted, left) = (service(32, "deleted", "10.96.0.2", 80), service(33, "left", "10.96.0.3", 80));
    for object in [&good, &deleted, &left, &manual, &external(35, "external")] {
        fixture.apply(TableKind::Services, object, 1);
    }
    fixture.apply(TableKind::Slices, &slice(41, "good", 8080, &[("10.244.1.1", 1)]), 1);
    for (number, name) in [(42, "deleted"), (43, "left"), (44, "manual"), (45, "external"), (46, "absent")] {
        fixture.apply(TableKind::Slices, &slice(number, name, 8080, &[("10.244.1.1", 1)]), 1);
        fixture.apply(
            TableKind::Slices,
            &slice(number + 10, name, 9000 + number as u16, &[("10.244.1.1", 1)]),
            1,
        );
    }
    let mut untargeted = slice(60, "good", 8080, &[("10.244.1.2", 2)]);
    untargeted["endpoints"][0]["targetRef"] = json!(null);
    fixture.apply(TableKind::Slices, &untargeted, 1);
    let stale = slice(61, "good", 7000, &[("10.244.1.2", 1), ("10.244.1.3", 1), ("10.244.1.1", 3)]);
    fixture.apply(TableKind::Slices, &stale, 1);
    fixture.remove(TableKind::Services, &deleted, 20);
    fixture.apply(TableKind::Services, &external(33, "left"), 20);

    let alone = |port, time| fixture.backend("10.244.1.1", port, time);
    assert_eq!([alone(9042, 10), alone(9042, 100)], ["shop/deleted", "unknown"]);
    assert_eq!([alone(9043, 10), alone(9043, 100)], ["shop/left", "unknown"]);
    assert_eq!([9044, 9045, 9046].map(|port| alone(port, 100)), ["unknown"; 3]);
    assert_eq!(alone(8080, 10), "shop/deleted*");
    assert_eq!(alone(8080, 100), "shop/good");
    let taken = [("10.244.1.2", 8080), ("10.244.1.2", 7000), ("10.244.1.3", 7000), ("10.244.1.1", 7000)];
    assert_eq!(taken.map(|(address, port)| fixture.backend(address, port, 100)), ["unknown"; 4]);
    // When the service has its former type again, its address and its backends have names again.
    assert_eq!(fixture.service("10.96.0.3", 80, 100), "unknown");
    fixture.apply(TableKind::Services, &left, 120);
    assert_eq!([alone(9043, 100), alone(9043, 130)], ["unknown", "shop/left"]);
    // A gap in which a service was deleted and created again.
    fixture.listing = 2;
    let again = service(39, "good", "10.96.0.1", 80);
    fixture.apply(TableKind::Services, &again, 140);
    fixture.table(TableKind::Services).complete(2, at(141));
    assert_eq!(fixture.backend("10.244.1.1", 8080, 150), "shop/good");
}

/// *Scenario*: a slice is reported before its service and its pod, after the listings and before them. Then only the pods of this node are
/// watched, and pods cannot be listed.
/// *Guarantees*: the service is pending while both may still be reported. A pod that cannot be known is assumed to have the address, unless
/// another pod has it.
#[test]
fn slices_before_their_service_and_pods() {
    let (web, one) = (service(1, "web", "10.96.0.5", 80), pod(1, "web", "10.244.1.1", 0));
    let endpoints = slice(2, "web", 8080, &[("10.244.1.1", 1)]);
    let fixture = Fixture::new("node-1", 60);
    fixture.apply(TableKind::Slices, &endpoints, 58);
    assert_eq!(fixture.backend("10.244.1.1", 8080, 59), "pending");
    fixture.apply(TableKind::Services, &web, 60);
    assert_eq!(fixture.backend("10.244.1.1", 8080, 59), "pending");
    fixture.apply(TableKind::Pods, &one, 60);
    assert_eq!(fixture.backend("10.244.1.1", 8080, 59), "shop/web");

    let starting = Fixture::with("node-1", 60, true, &["services", "endpointslices"]);
    starting.apply(TableKind::Services, &web, 1);
    starting.apply(TableKind::Slices, &endpoints, 1);
    assert_eq!(starting.backend("10.244.1.1", 8080, 30), "pending");
    starting.apply(TableKind::Pods, &pod(3, "other", "10.244.1.1", 0), 1);
    assert_eq!(starting.backend("10.244.1.1", 8080, 30), "pending");

    let of_node = Fixture::with("node-1", 60, false, &["pods", "services", "endpointslices"]);
    of_node.apply(TableKind::Services, &web, 1);
    of_node.apply(TableKind::Slices, &endpoints, 1);
    assert_eq!(of_node.backend("10.244.1.1", 8080, 30), "shop/web");
    of_node.apply(TableKind::Pods, &pod(3, "other", "10.244.1.1", 0), 1);
    assert_eq!(of_node.backend("10.244.1.1", 8080, 30), "unknown");
}

/// *Scenario*: objects without a uid, or with fields of the wrong type.
/// *Guarantees*: each is an error, and the known objects stay.
#[test]
fn objects_that_cannot_be_decoded() {
    let fixture = Fixture::new("node-1", 60);
    let good = pod(1, "web", "10.244.1.7", 0);
    fixture.apply(TableKind::Pods, &good, 1);
    let mut bad = good.clone();
    bad["metadata"]["labels"] = json!({"pod-template-hash": 5});
    let mut worse = good.clone();
    worse["metadata"]["annotations"] = json!([1]);
    let update = || crate::kubernetes::tables::Update { now: at(2), since: at(1), listing: 1 };
    for object in [json!({"metadata": {}}), worse, json!([]), json!({"metadata": {"uid": "x"}})] {
        assert!(fixture.table(TableKind::Pods).apply(&object.to_string(), update()).is_err(), "{object}");
    }
    assert!(
        fixture.table(TableKind::Pods).apply(&bad.to_string(), update()).is_ok(),
        "an owner is shown as it is"
    );
    assert_eq!(fixture.workload("10.244.1.7", 0, 5), "ReplicaSet/web-5f6d (web-5f6d-1)");
}
