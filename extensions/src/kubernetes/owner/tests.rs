use super::*;

/// `2026-11-21T09:00:00Z` in minutes since the epoch.
const NINE: u64 = 29_920_860;

fn shown(owner: &str, labels: &str, annotations: &str) -> String {
    let json = format!(
        r#"{{"name":"web-7d4b9c6f5d-x2x4z","namespace":"shop","creationTimestamp":"2026-11-21T09:00:03Z",
            "labels":{labels},"annotations":{annotations},"ownerReferences":[{owner}]}}"#
    );
    let meta: ObjectMeta<'_> = serde_json::from_str(&json).unwrap();
    let Owner { name, kind } = of(&meta);
    format!("{kind}/{name}")
}

fn controlled(kind: &str, name: &str, labels: &str, annotations: &str) -> String {
    shown(&format!(r#"{{"kind":"{kind}","name":"{name}","controller":true}}"#), labels, annotations)
}

/// *Scenario*: a pod of each controller of Kubernetes, Argo and OpenShift, a pod without an owner, and one whose owner does not control it.
/// *Guarantees*: the topmost owner is shown, or the controller if the pod does not prove that the controller has an owner.
#[test]
fn owners() {
    let hash = r#"{"app":"web","pod-template-hash":"7d4b9c6f5d"}"#;
    let rollout = r#"{"rollouts-pod-template-hash":"7d4b9c6f5d"}"#;
    let config = r#"{"openshift.io/deployment-config.name":"web"}"#;
    let cases = [
        (controlled("ReplicaSet", "web-7d4b9c6f5d", hash, "{}"), "Deployment/web"),
        (controlled("ReplicaSet", "my-web-7d4b9c6f5d", hash, "null"), "Deployment/my-web"),
        (controlled("ReplicaSet", "web-7d4b9c6f5d", rollout, "{}"), "Rollout/web"),
        (controlled("ReplicaSet", "by-hand", hash, "{}"), "ReplicaSet/by-hand"),
        (controlled("ReplicaSet", "-7d4b9c6f5d", hash, "{}"), "ReplicaSet/-7d4b9c6f5d"),
        (controlled("ReplicaSet", "web-7d4b9c6f5d", "null", "null"), "ReplicaSet/web-7d4b9c6f5d"),
        (controlled("ReplicationController", "web-3", "{}", config), "DeploymentConfig/web"),
        (controlled("ReplicationController", "web-3", "{}", "{}"), "ReplicationController/web-3"),
        (controlled("StatefulSet", "db", "{}", "{}"), "StatefulSet/db"),
        (controlled("DaemonSet", "agent", "{}", "{}"), "DaemonSet/agent"),
        (controlled("Node", "node-1", "{}", "{}"), "Pod/web-7d4b9c6f5d-x2x4z"),
        (controlled("StrimziPodSet", "kafka", "{}", "{}"), "StrimziPodSet/kafka"),
        (shown("", "{}", "{}"), "Pod/web-7d4b9c6f5d-x2x4z"),
        (shown(r#"{"kind":"Backup","name":"b"}"#, "{}", "{}"), "Pod/web-7d4b9c6f5d-x2x4z"),
    ];
    for (shown, expected) in cases {
        assert_eq!(shown, expected);
    }
}

/// *Scenario*: Jobs whose names end in a number: the minute for which a CronJob's run was due, on time, late, and numbers that are not
/// such a minute (dates, counters, other weeks).
/// *Guarantees*: only a CronJob's run is shown as its CronJob.
#[test]
fn jobs() {
    let cases = [
        (format!("backup-{NINE}"), "CronJob/backup".to_owned()),
        (format!("nightly-db-dump-{}", NINE - 600), "CronJob/nightly-db-dump".to_owned()),
        (format!("backup-{}", NINE + 4), "CronJob/backup".to_owned()),
        (format!("backup-{}", NINE + 10), format!("Job/backup-{}", NINE + 10)),
        (format!("backup-{}", NINE - 8 * 24 * 60), format!("Job/backup-{}", NINE - 8 * 24 * 60)),
        ("migrate-20261121".to_owned(), "Job/migrate-20261121".to_owned()),
        ("migrate-7".to_owned(), "Job/migrate-7".to_owned()),
        (format!("-{NINE}"), format!("Job/-{NINE}")),
        ("migrate".to_owned(), "Job/migrate".to_owned()),
        ("migrate-99999999999999999999".to_owned(), "Job/migrate-99999999999999999999".to_owned()),
    ];
    for (name, expected) in cases {
        assert_eq!(controlled("Job", &name, "{}", "{}"), expected);
    }
}
