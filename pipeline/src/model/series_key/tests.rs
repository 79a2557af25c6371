use super::*;
use crate::model::names::{Interner, Label, LabelKey};
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
        let key = SeriesKey::of_record(level, &record, Detail::default());
        assert_eq!(text(&key, "source.k8s.pod.label.tier"), source, "{level:?}");
        assert_eq!(text(&key, "destination.k8s.pod.label.tier"), destination, "{level:?}");
    }
    let detailed = |detail| SeriesKey::of_record(Level::Workload, &record, detail);
    assert_eq!(text(&detailed(Detail::default()), "source.k8s.pod.name"), "");
    assert_eq!(text(&detailed(Detail { pod: true, ..Detail::default() }), "source.k8s.pod.name"), "web-0");
    let mut logged = Vec::new();
    crate::model::log_record::for_each_attribute(&record, &mut |key, _| logged.push(key.to_owned()));
    assert!(logged.contains(&"source.k8s.pod.label.tier".to_owned()), "{logged:?}");
}

/// *Scenario*: records whose workload or service is unknown, has an empty name, or is named `unknown`; two pods of one workload.
/// *Guarantees*: keys are equal exactly when their attributes are equal.
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
            records.iter().map(move |record| SeriesKey::of_record(level, record, Detail::default()))
        })
        .chain([SeriesKey::Overflow])
        .collect();
    for one in &keys {
        for other in &keys {
            assert_eq!(one == other, attributes(one) == attributes(other), "{one:?} {other:?}");
        }
    }
}
