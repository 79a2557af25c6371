use super::*;
use crate::model::names::{Interner, Label, LabelKey};
use crate::model::record::Role;

/// *Scenario*: a server's record whose two ends have selected labels.
/// *Guarantees*: labels are attributes of their end at every level that names both workloads, and not at the service level; pods are told
/// apart at the workload level on request.
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
        let set = Attributes::of_record(level, &record);
        assert_eq!(set.text("source.k8s.pod.label.tier"), source, "{level:?}");
        assert_eq!(set.text("destination.k8s.pod.label.tier"), destination, "{level:?}");
    }
    let detailed = |detail| Attributes::detailed(Level::Workload, &record, detail);
    assert_eq!(detailed(Detail::default()).text("source.k8s.pod.name"), "");
    assert_eq!(detailed(Detail { pod: true, ..Detail::default() }).text("source.k8s.pod.name"), "web-0");
    let mut logged = Vec::new();
    crate::model::log_record::for_each_attribute(&record, &mut |key, _| logged.push(key.to_owned()));
    assert!(logged.contains(&"source.k8s.pod.label.tier".to_owned()), "{logged:?}");
}
