//! Manifests of the test's pods, as JSON.

use std::path::Path;

use serde_json::{Value, json};

use crate::churn::talk;
use crate::pod;

/// Image of [`super::pod`].
pub const IMAGE: &str = "longwave/pod:e2e";

fn container(environment: &[(&str, &str)]) -> Value {
    let environment: Vec<Value> =
        environment.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
    json!({
        "name": "main",
        "image": IMAGE,
        "imagePullPolicy": "Never",
        "args": [pod::ROLE],
        "env": environment,
    })
}

fn pods(name: &str, spec: Value) -> Value {
    json!({"metadata": {"labels": {"app": name}}, "spec": spec})
}

/// Returns a Deployment or StatefulSet of servers on `port`.
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

/// Returns a Service of the pods of `name`.
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

/// Returns a Deployment of one client.
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

/// Returns a CronJob that runs a client in this minute of every hour, unless it is suspended.
pub fn cron_job(name: &str, targets: &str, minute: u64, suspend: bool) -> Value {
    let spec = json!({"containers": [container(&[("TARGETS", targets)])], "restartPolicy": "Never"});
    json!({
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": name},
        "spec": {
            "schedule": format!("{minute} * * * *"),
            "timeZone": "Etc/UTC",
            "suspend": suspend,
            "jobTemplate": {"spec": {"backoffLimit": 0, "template": pods(name, spec)}},
        },
    })
}

/// A workload that runs [`crate::churn::talk`].
#[derive(Clone, Copy)]
pub struct Talker<'a> {
    pub name: &'a str,
    /// `Deployment` or `StatefulSet`.
    pub kind: &'a str,
    pub replicas: u32,
    /// Value of [`talk::TARGETS`]. If it is empty, the workload has no client.
    pub targets: &'a str,
    /// Port of the server. If it is `None`, the workload has no server.
    pub port: Option<u16>,
    /// Whether it ignores SIGTERM.
    pub stubborn: bool,
    /// Folder of the node for its reports.
    pub folder: &'a Path,
}

/// Returns the Deployment or StatefulSet of a talker.
pub fn talker(talker: &Talker<'_>) -> Value {
    let Talker { name, kind, replicas, targets, port, stubborn, folder } = *talker;
    let port = port.map(|port| port.to_string()).unwrap_or_default();
    let settings = [
        (talk::TARGETS, targets),
        (talk::LISTEN, &*port),
        (talk::STUBBORN, if stubborn { "1" } else { "" }),
        (talk::WORKLOAD, name),
    ];
    let settings: Vec<_> = settings.into_iter().filter(|(_, value)| !value.is_empty()).collect();
    let mut container = container(&settings);
    for (variable, field) in [(talk::POD, "metadata.name"), (talk::ADDRESS, "status.podIP")] {
        let known = json!({"name": variable, "valueFrom": {"fieldRef": {"fieldPath": field}}});
        container["env"].as_array_mut().unwrap().push(known);
    }
    container["volumeMounts"] = json!([{"name": "reports", "mountPath": talk::FOLDER}]);
    let spec = json!({
        "containers": [container],
        "volumes": [{"name": "reports", "hostPath": {"path": folder, "type": "Directory"}}],
        "terminationGracePeriodSeconds": if stubborn { 1 } else { 10 },
    });
    let mut object = json!({
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": pods(name, spec)},
    });
    if kind == "StatefulSet" {
        object["spec"]["serviceName"] = json!(name);
    }
    object
}
