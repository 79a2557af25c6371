use super::*;

/// A pod with a sidecar as a real API server (1.34) writes it, without repetitions.
const POD: &str = r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"web-7d4b9c6f5d-x2x4z","generateName":"web-7d4b9c6f5d-","namespace":"shop",
"uid":"0f5a6c3e-8b1d-4c57-9a50-2d1be3a7a001","resourceVersion":"4711","creationTimestamp":"2026-11-21T09:00:03Z",
"labels":{"app":"web","pod-template-hash":"7d4b9c6f5d","quoted":"a\"b"},"annotations":{"team":"shop"},
"ownerReferences":[{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"web-7d4b9c6f5d","uid":"6d9c","controller":true,"blockOwnerDeletion":true}],
"managedFields":[{"manager":"kubelet","operation":"Update","fieldsV1":{"f:status":{"f:podIPs":{".":{},"k:{\"ip\":\"10.244.1.7\"}":{".":{},"f:ip":{}}}}}}]},
"spec":{"volumes":[{"name":"t","projected":{"sources":[{"serviceAccountToken":{"expirationSeconds":3607,"path":"token"}}]}}],
"initContainers":[{"name":"proxy","image":"proxy","restartPolicy":"Always","ports":[{"containerPort":15001,"hostPort":15001}]}],
"containers":[{"name":"web","image":"web:1","ports":[{"name":"http","containerPort":8080,"protocol":"TCP"},{"containerPort":53,"hostPort":53,"protocol":"UDP"},{"containerPort":9090,"hostPort":19090}],
"env":[{"name":"A","value":"b"}],"resources":{}}],"restartPolicy":"Always","nodeName":"node-1","hostNetwork":false,"tolerations":null},
"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True","lastTransitionTime":"2026-11-21T09:00:06Z"}],"hostIP":"192.0.2.10","hostIPs":[{"ip":"192.0.2.10"},{"ip":"2001:db8::10"}],
"podIP":"10.244.1.7","podIPs":[{"ip":"10.244.1.7"},{"ip":"fd00:10:244:1::7"}],"startTime":"2026-11-21T09:00:03Z",
"initContainerStatuses":[{"name":"proxy","state":{"running":{"startedAt":"2026-11-21T09:00:04Z"}},"lastState":{},"containerID":"containerd://aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}],
"containerStatuses":[{"name":"web","state":{"running":{"startedAt":"2026-11-21T09:10:05Z"}},"lastState":{"terminated":{"exitCode":1,"startedAt":"2026-11-21T09:00:05Z","finishedAt":"2026-11-21T09:10:04Z"}},
"ready":true,"restartCount":1,"containerID":"containerd://bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb","started":true}],"qosClass":"BestEffort"}}"#;

/// *Scenario*: a container whose state was lost when its node restarted. Kubernetes writes `null` for its times.
/// *Guarantees*: the pod is decoded.
#[test]
fn times_that_are_unknown() {
    let lost = r#"{"exitCode":137,"reason":"ContainerStatusUnknown","startedAt":null,"finishedAt":null}"#;
    let text = POD.replacen("\"lastState\":{}", &format!("\"lastState\":{{\"terminated\":{lost}}}"), 1);
    assert_ne!(text, POD);
    let pod: Pod<'_> = serde_json::from_str(&text).unwrap();
    assert!(pod.first_start().is_some());
}

/// *Scenario*: a pod as an API server writes it.
/// *Guarantees*: all fields that are used are decoded, and nothing is copied out of the text, also from labels with escapes.
#[test]
fn pod() {
    let pod: Pod<'_> = serde_json::from_str(POD).unwrap();
    let meta = &pod.metadata;
    assert_eq!((&*meta.name, &*meta.namespace), ("web-7d4b9c6f5d-x2x4z", "shop"));
    assert!(matches!(meta.name, std::borrow::Cow::Borrowed(_)));
    assert_eq!(meta.uid(), Uid::parse("0f5a6c3e8b1d4c579a502d1be3a7a001"));
    assert_eq!(meta.created().unwrap().0, 1_795_251_603_000_000_000);
    assert_eq!(&*meta.controller().unwrap().kind, "ReplicaSet");
    let labels = pick(meta.labels, &["quoted", "app", "none"]).unwrap();
    assert_eq!(
        labels.iter().map(|label| label.as_deref()).collect::<Vec<_>>(),
        [Some("a\"b"), Some("web"), None]
    );
    assert_eq!((pod.node(), pod.host_network(), pod.finished()), ("node-1", false, false));
    let text =
        |addresses: Vec<std::net::IpAddr>| addresses.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(text(pod.addresses()), ["10.244.1.7", "fd00:10:244:1::7"]);
    assert_eq!(text(pod.node_addresses()), ["192.0.2.10", "2001:db8::10"]);
    assert_eq!(pod.node_ports(), [15001, 19090], "TCP only");
    assert_eq!(pod.first_start().unwrap().0, 1_795_251_604_000_000_000);
    let ids: Vec<_> =
        pod.containers().map(|status| (&*status.name, ContainerId::parse(&status.container_id))).collect();
    assert_eq!(
        ids,
        [("web", ContainerId::parse(&"b".repeat(64))), ("proxy", ContainerId::parse(&"a".repeat(64)))]
    );
}

/// *Scenario*: a pod in the host's network that was just created, and a pod with null in each field in which Go writes it.
/// *Guarantees*: missing fields are empty.
#[test]
fn new_pods() {
    let pod: Pod<'_> = serde_json::from_str(
        r#"{"metadata":{"name":"a"},"spec":{"hostNetwork":true,"containers":[{"name":"a","ports":[{"containerPort":80,"hostPort":80}]}]},"status":{"phase":"Pending"}}"#,
    )
    .unwrap();
    assert_eq!((pod.addresses(), pod.first_start(), pod.node_ports()), (vec![], None, vec![80]));
    assert_eq!((pod.metadata.uid(), pod.metadata.created()), (None, None));
    let nulls = r#"{"metadata":{"ownerReferences":null,"labels":null},"spec":{"containers":null},"status":{"podIPs":null,"containerStatuses":[{"state":{"running":null}}]}}"#;
    let pod: Pod<'_> = serde_json::from_str(nulls).unwrap();
    assert!(pod.addresses().is_empty() && pod.metadata.controller().is_none());
    assert_eq!(pick(pod.metadata.labels, &["app"]).unwrap(), [None]);
}

/// *Scenario*: a load balancer's service, a headless one, an external name with fields that remain of its former type, empty selectors.
/// *Guarantees*: the first has the addresses and TCP ports to which clients connect, and selects pods. The others have none, and select none.
#[test]
fn services() {
    let json = r#"{"metadata":{"name":"web","namespace":"shop"},"spec":{"type":"LoadBalancer","clusterIP":"10.96.0.5","clusterIPs":["10.96.0.5","fd00:10:96::5"],
        "externalIPs":["198.51.100.1"],"ports":[{"name":"http","protocol":"TCP","port":80,"targetPort":"http","nodePort":30080},{"protocol":"UDP","port":53,"nodePort":30053}],"selector":{"app":"web"}},
        "status":{"loadBalancer":{"ingress":[{"ip":"203.0.113.9","ipMode":"VIP"},{"hostname":"lb.example"}]}}}"#;
    let service: Service<'_> = serde_json::from_str(json).unwrap();
    let addresses: Vec<_> = service.addresses().iter().map(ToString::to_string).collect();
    assert_eq!(addresses, ["10.96.0.5", "198.51.100.1", "203.0.113.9", "fd00:10:96::5"]);
    assert_eq!((service.ports(), service.node_ports(), service.selects()), (vec![80], vec![30080], true));
    for json in [
        r#"{"metadata":{},"spec":{"type":"ClusterIP","clusterIP":"None","clusterIPs":["None"],"ports":[{"port":80}]},"status":{"loadBalancer":{}}}"#,
        r#"{"metadata":{},"spec":{"type":"ExternalName","externalName":"example.com","externalIPs":["198.51.100.1"],"selector":{"app":"web"},"ports":[{"port":80,"nodePort":30080}]}}"#,
        r#"{"metadata":{},"spec":{"type":"ClusterIP","clusterIP":"None","selector":{}}}"#,
        r#"{"metadata":{},"spec":{"type":"ClusterIP","clusterIP":"None","selector":null}}"#,
    ] {
        let service = serde_json::from_str::<Service<'_>>(json).unwrap();
        assert_eq!((service.addresses(), service.node_ports(), service.selects()), (vec![], vec![], false));
    }
}

/// *Scenario*: a slice with ready and other endpoints, one without ports, and an empty one, for which Go writes null.
/// *Guarantees*: each endpoint is a backend with each TCP port, and with the pod to which it refers.
#[test]
fn endpoint_slices() {
    let json = r#"{"metadata":{"name":"web-abc","namespace":"shop","labels":{"kubernetes.io/service-name":"web"}},"addressType":"IPv4",
        "endpoints":[{"addresses":["10.244.1.7"],"conditions":{"ready":true},"targetRef":{"kind":"Pod","namespace":"shop","name":"web-1","uid":"0f5a6c3e-8b1d-4c57-9a50-2d1be3a7a001"},"nodeName":"node-1"},
        {"addresses":["192.0.2.77"],"conditions":{"ready":false}}],
        "ports":[{"name":"http","protocol":"TCP","port":8080},{"name":"dns","protocol":"UDP","port":53}]}"#;
    let slice: EndpointSlice<'_> = serde_json::from_str(json).unwrap();
    assert_eq!(slice.service().as_deref(), Some("web"));
    let pod = Uid::parse("0f5a6c3e-8b1d-4c57-9a50-2d1be3a7a001").unwrap().short();
    let found: Vec<_> = slice.backends().iter().map(|b| (b.address.to_string(), b.port, b.pod)).collect();
    assert_eq!(found, [("10.244.1.7".to_owned(), 8080, pod), ("192.0.2.77".to_owned(), 8080, 0)]);
    let portless = r#"{"metadata":{},"endpoints":[{"addresses":["10.244.1.8"]}],"ports":null}"#;
    let slice: EndpointSlice<'_> = serde_json::from_str(portless).unwrap();
    assert_eq!((slice.service(), slice.backends()[0].port), (None, 0));
    let empty: EndpointSlice<'_> =
        serde_json::from_str(r#"{"metadata":{},"endpoints":null,"ports":null}"#).unwrap();
    assert!(empty.backends().is_empty());
}

/// *Scenario*: times as Kubernetes writes them, and texts that are not times.
/// *Guarantees*: leap days and centuries are counted. All other texts are refused.
#[test]
fn times() {
    let read = |text| crate::rfc3339::parse_utc_seconds(text).map(|time| time.0 / 1_000_000_000);
    assert_eq!(read("1970-01-01T00:00:00Z"), Some(0));
    assert_eq!(read("2000-02-29T23:59:59Z"), Some(951_868_799));
    assert_eq!(read("2026-11-21T09:00:00Z"), Some(1_795_251_600));
    assert_eq!(read("2026-11-21T09:00:00.123456Z"), Some(1_795_251_600));
    assert_eq!(read("2100-03-01T00:00:00Z"), Some(4_107_542_400));
    for text in [
        "",
        "Z",
        "2026-11-21",
        "2026-13-21T09:00:00Z",
        "2026-11-21T09:00:00+01:00",
        "1969-12-31T23:59:59Z",
        "2026-11-2éT09:00:00Z",
    ] {
        assert_eq!(read(text), None, "{text}");
    }
}

/// *Scenario*: ids in the forms of runtimes, drivers and the API, and texts that are not ids.
/// *Guarantees*: each form has the same id.
#[test]
fn ids() {
    let digits = "0123456789abcdef".repeat(4);
    assert!(ContainerId::parse(&digits).is_some());
    assert_eq!(ContainerId::parse(&digits), ContainerId::parse(&format!("cri-o://{digits}")));
    assert_eq!(ContainerId::digits(&format!("docker://{digits}")), digits);
    assert_eq!(
        Uid::parse("0f5a6c3e-8b1d-4c57-9a50-2d1be3a7a001"),
        Uid::parse("0F5A6C3E8B1D4C579A502D1BE3A7A001")
    );
    for text in ["", "containerd://", "0f5a", "zf5a6c3e-8b1d-4c57-9a50-2d1be3a7a001"] {
        assert_eq!((ContainerId::parse(text), Uid::parse(text)), (None, None), "{text}");
    }
    assert_eq!(Uid::parse("0f5a6c3e-8b1d-4c57-9a50-2d1be3a7a0011"), None);
}
