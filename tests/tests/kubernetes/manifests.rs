//! The test's own pods, as Kubernetes reads them: JSON, which is YAML too.

use serde_json::{Value, json};

/// The image of [`super::pod`].
pub const IMAGE: &str = "longwave/pod:e2e";

fn container(environment: &[(&str, &str)]) -> Value {
    let environment: Vec<Value> =
        environment.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
    json!({
        "name": "main",
        "image": IMAGE,
        "imagePullPolicy": "Never",
        "args": ["--exact", "pod_main", "--nocapture", "--test-threads=1"],
        "env": environment,
    })
}

fn pods(name: &str, spec: Value) -> Value {
    json!({"metadata": {"labels": {"app": name}}, "spec": spec})
}

/// A Deployment or StatefulSet of servers on `port`.
pub fn servers(kind: &str, name: &str, replicas: u32, port: u16, host_network: bool) -> Value {
    let spec = json!({
        "containers": [container(&[("LISTEN", &port.to_string())])],
        "hostNetwork": host_network,
        "terminationGracePeriodSeconds": 0,
    });
    let mut object = json!({
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": pods(name, spec)},
    });
    if kind == "StatefulSet" {
        object["spec"]["serviceName"] = json!(name);
        object["spec"]["podManagementPolicy"] = json!("Parallel");
    }
    object
}

/// A Service in front of the pods of `name`; headless if asked for.
pub fn service(name: &str, port: u16, target: u16, headless: bool) -> Value {
    let mut object = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": {"app": name}, "ports": [{"port": port, "targetPort": target}]},
    });
    if headless {
        object["spec"]["clusterIP"] = json!("None");
    }
    object
}

/// A Deployment of one that asks.
pub fn client(name: &str, targets: &str, rounds: u32) -> Value {
    let environment = [("TARGETS", targets), ("ROUNDS", &rounds.to_string()), ("STAY", "1")];
    let spec = json!({"containers": [container(&environment)], "terminationGracePeriodSeconds": 0});
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {"selector": {"matchLabels": {"app": name}}, "template": pods(name, spec)},
    })
}

/// A CronJob that asks once a minute.
pub fn cron_job(name: &str, targets: &str) -> Value {
    let spec = json!({"containers": [container(&[("TARGETS", targets)])], "restartPolicy": "Never"});
    json!({
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": name},
        "spec": {"schedule": "* * * * *", "jobTemplate": {"spec": {"backoffLimit": 0, "template": pods(name, spec)}}},
    })
}
