use std::sync::Arc;

use super::*;
use crate::model::level::Level;
use crate::model::names::{Interner, Label, LabelKey, Service, UNKNOWN, Workload};
use crate::model::record::Role;

/// Returns the attribute's text; empty if the key has no such attribute.
fn text(series: &SeriesKey, key: &str) -> String {
    attributes(series).into_iter().find(|(found, _)| found == key).map(|(_, text)| text).unwrap_or_default()
}

fn attributes(series: &SeriesKey) -> Vec<(String, String)> {
    let mut all = Vec::new();
    series.for_each_attribute(&mut |key, value| {
        let text = match value {
            AttributeValue::Str(text) => text.to_owned(),
            AttributeValue::Text(text) => text.to_string(),
            AttributeValue::Int(number) => number.to_string(),
            AttributeValue::Float(number) => number.to_string(),
            AttributeValue::Bool(value) => value.to_string(),
            AttributeValue::Unknown => UNKNOWN.to_owned(),
        };
        all.push((key.to_owned(), text));
    });
    all
}

/// *Scenario*: a server's record whose two ends have selected labels.
/// *Guarantees*: labels are attributes of their end at every level that has both workloads, and not at the service level; the workload
/// level distinguishes pods on request.
#[test]
fn labels_are_attributes_of_their_end() {
    let key = Arc::new(LabelKey::new("k8s.pod.label.tier"));
    assert_eq!(key.name(), "k8s.pod.label.tier");
    let workloads = Interner::default();
    let workload = |name: &str, tier: &str| {
        let labels = [Label { key: Arc::clone(&key), value: tier.into() }];
        workloads.intern(Workload {
            name: name.into(),
            labels: labels.into(),
            pod: format!("{name}-0").into(),
            ..Workload::default()
        })
    };
    let mut record = ConnectionRecord { role: Role::Server, ..ConnectionRecord::blank() };
    record.names.local = Some(workload("cart", "back"));
    record.names.peer = Some(workload("web", "front"));
    for (level, source, destination) in
        [(Level::Service, "", ""), (Level::Workload, "front", "back"), (Level::Connection, "front", "back")]
    {
        let key = SeriesKey::of_record(&record, &SeriesAttributes::of(level));
        assert_eq!(text(&key, "source.k8s.pod.label.tier"), source, "{level:?}");
        assert_eq!(text(&key, "destination.k8s.pod.label.tier"), destination, "{level:?}");
    }
    let plain = SeriesAttributes::of(Level::Workload);
    let detailed = |attributes| SeriesKey::of_record(&record, &attributes);
    assert_eq!(text(&detailed(plain.clone()), "source.k8s.pod.name"), "");
    assert_eq!(text(&detailed(plain.with([key::SOURCE_POD])), "source.k8s.pod.name"), "web-0");
    let mut logged = Vec::new();
    crate::model::log_record::for_each_attribute(&record, &mut |key, _| logged.push(key.to_owned()));
    assert!(logged.contains(&"source.k8s.pod.label.tier".to_owned()), "{logged:?}");
}

/// *Scenario*: records whose workload or service is unknown, has an empty name, or is named `unknown`; two pods of one workload.
/// *Guarantees*: keys, also those of series into which others were folded, are equal exactly when their attributes are equal.
#[test]
fn keys_are_equal_when_their_attributes_are() {
    let (workloads, services) = (Interner::default(), Interner::default());
    let workload = |name: &str, pod: &str| {
        Some(workloads.intern(Workload { name: name.into(), pod: pod.into(), ..Workload::default() }))
    };
    let service = |name: &str, ambiguous| {
        Some(services.intern(Service { name: name.into(), ambiguous, ..Service::default() }))
    };
    let mut records = Vec::new();
    for local in [None, workload("", ""), workload("unknown", ""), workload("web", "a"), workload("web", "b")]
    {
        for service in
            [None, service("", false), service("unknown", false), service("web", false), service("web", true)]
        {
            for role in [Role::Unknown, Role::Client, Role::Server] {
                let mut record = ConnectionRecord { role, ..ConnectionRecord::blank() };
                (record.names.local, record.names.service) = (local.clone(), service.clone());
                records.push(record);
            }
        }
    }
    let keys: Vec<SeriesKey> = Level::ALL
        .into_iter()
        .flat_map(|level| {
            records.iter().map(move |record| SeriesKey::of_record(record, &SeriesAttributes::of(level)))
        })
        .chain([SeriesKey::Overflow])
        .flat_map(|key| {
            Rung::ALL.into_iter().map(|rung| key.folded(rung)).chain([Some(key.clone())]).collect::<Vec<_>>()
        })
        .flatten()
        .collect();
    for one in &keys {
        for other in &keys {
            assert_eq!(one == other, attributes(one) == attributes(other), "{one:?} {other:?}");
        }
    }
}

/// Returns a record between two pods, with a service.
fn record_of_pods() -> ConnectionRecord {
    let (workloads, services) = (Interner::default(), Interner::default());
    let pod = |name: &str| {
        workloads.intern(Workload {
            name: name.into(),
            kind: "Deployment".into(),
            namespace: format!("of-{name}").into(),
            pod: format!("{name}-0").into(),
            node: "n1".into(),
            labels: [Label { key: Arc::new(LabelKey::new("k8s.pod.label.app")), value: name.into() }].into(),
            ..Workload::default()
        })
    };
    let service = Service { name: "cart".into(), namespace: "of-cart".into(), ambiguous: true };
    let mut record = ConnectionRecord { role: Role::Client, start_known: true, ..ConnectionRecord::blank() };
    record.names.local = Some(pod("web"));
    record.names.peer = Some(pod("cart"));
    record.names.service = Some(services.intern(service));
    record
}

/// *Scenario*: the series of a connection is folded at each rung.
/// *Guarantees*: each rung removes its attributes, none gets another value, and the rung is an attribute. The attributes are absent and not
/// `unknown`, so that sums by an attribute do not mix folded series with those of unknown names.
#[test]
fn each_rung_removes_attributes() {
    let key = SeriesKey::of_record(&record_of_pods(), &SeriesAttributes::of(Level::Connection));
    let all = attributes(&key);
    let is_of_connection =
        |name: &str| name.ends_with("address") || name.ends_with("port") || name.contains("connection");
    let is_of_pod = |name: &str| name.contains("k8s.pod") || name.contains("node");
    let keeps = |rung, name: &str| match rung {
        Rung::Pod => !is_of_connection(name),
        Rung::Owner => !is_of_connection(name) && !is_of_pod(name),
        Rung::Namespace | Rung::Overflow => name.contains("namespace") || name == "reporter",
    };
    for rung in [Rung::Pod, Rung::Owner, Rung::Namespace] {
        let folded = key.folded(rung).unwrap();
        let mut expected: Vec<_> = all.iter().filter(|(name, _)| keeps(rung, name)).cloned().collect();
        assert!(expected.len() < all.len());
        expected.push(("longwave.folded".to_owned(), rung.as_str().to_owned()));
        assert_eq!(attributes(&folded), expected);
        assert_eq!((folded.rung(), folded == key), (Some(rung), false));
    }
    assert_eq!((key.rung(), key.folded(Rung::Overflow)), (None, Some(SeriesKey::Overflow)));
}

/// *Scenario*: series of levels `service` and `workload`, without details of pods.
/// *Guarantees*: rungs that would not remove anything are skipped.
#[test]
fn a_rung_that_removes_nothing_is_no_rung() {
    let record = ConnectionRecord { names: Default::default(), ..record_of_pods() };
    for level in [Level::Service, Level::Workload] {
        let key = SeriesKey::of_record(&record, &SeriesAttributes::of(level));
        let rungs = Rung::ALL.map(|rung| key.folded(rung).is_some());
        assert_eq!(rungs, [false, false, true, true], "{level:?}");
    }
    let pods = SeriesKey::of_record(&record_of_pods(), &SeriesAttributes::of(Level::Workload));
    assert_eq!(Rung::ALL.map(|rung| pods.folded(rung).is_some()), [false, true, true, true]);
}

/// *Scenario*: a selection of attributes: names, one label of one end, an address, and ports.
/// *Guarantees*: the series has exactly these, and the reporter; the others are absent and not `unknown`.
#[test]
fn only_selected_attributes_are_visited() {
    let selected = [
        "destination.port",
        "source.address",
        "source.workload.name",
        "destination.k8s.pod.name",
        "source.k8s.pod.label.app",
        "destination.service.name",
    ];
    let record = record_of_pods();
    let key = SeriesKey::of_record(&record, &SeriesAttributes::select(selected));
    let mut names: Vec<_> = attributes(&key).into_iter().map(|(name, _)| name).collect();
    names.sort();
    let mut expected: Vec<_> = selected.into_iter().chain(["reporter"]).collect();
    expected.sort();
    assert_eq!(names, expected);
    let unknown = ConnectionRecord { names: Default::default(), ..record };
    let key = SeriesKey::of_record(&unknown, &SeriesAttributes::select(selected));
    assert_eq!(
        (text(&key, "source.workload.name"), text(&key, "source.workload.kind")),
        (UNKNOWN.to_owned(), String::new())
    );
}

/// *Scenario*: an end with an address, a port, both, and neither.
/// *Guarantees*: it is displayed without what is absent.
#[test]
fn absent_parts_of_an_end_are_not_displayed() {
    let address = Some("fe80::1".parse().unwrap());
    for (address, port, expected) in [
        (address, Some(80), "[fe80::1]:80"),
        (address, None, "fe80::1"),
        (None, Some(80), ":80"),
        (None, None, ""),
    ] {
        assert_eq!(EndpointKey { address, port }.to_string(), expected);
    }
}
