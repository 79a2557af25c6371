//! The test's own pods, as Kubernetes reads them: JSON, which is YAML too.

use std::path::Path;

use serde_json::{Value, json};

use crate::churn::talk;
use crate::pod;

/// The image of [`super::pod`].
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

/// A CronJob that asks in the `minute` of every hour, if it is not suspended.
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

/// What runs [`crate::churn::talk`].
#[derive(Clone, Copy)]
pub struct Talker<'a> {
    pub name: &'a str,
    /// Deployment or StatefulSet.
    pub kind: &'a str,
    pub replicas: u32,
    /// Whom it asks, if anybody.
    pub targets: &'a str,
    /// Where it answers, if it does.
    pub port: Option<u16>,
    /// It has to be killed.
    pub stubborn: bool,
    /// The node's, where it tells.
    pub folder: &'a Path,
}

/// A Deployment or StatefulSet of those.
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
    container["volumeMounts"] = json!([{"name": "told", "mountPath": talk::FOLDER}]);
    let spec = json!({
        "containers": [container],
        "volumes": [{"name": "told", "hostPath": {"path": folder, "type": "Directory"}}],
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
