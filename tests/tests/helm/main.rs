//! The Helm chart in docker/helm: its default result is that of docker/kubernetes, and everything that it renders is valid for Longwave and
//! for the API server.
#![allow(clippy::unwrap_used)]

mod deployed;
mod namespaces;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use longwave_testing::{harness, tests};
use longwave_tests::config::merged;
use longwave_tests::control_plane::ControlPlane;
use longwave_tests::helm::{self, Helm, NAMESPACE};
use longwave_tests::{binary, cluster};
use serde::Deserialize;
use serde_json::{Value, json};

/// Versions of Kubernetes: that of the tests, and one before the field `appArmorProfile`.
const KUBERNETES: [&str; 2] = ["1.34.4", "1.29.0"];

/// Objects of the Prometheus operator. With all of them, the chart contains every object that it can.
const OPERATOR: &str = r#"{"podMonitor": {"enabled": true}, "prometheusRule": {"enabled": true}, "dashboards": {"enabled": true}}"#;

fn docker() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docker").canonicalize().unwrap()
}

fn chart() -> Helm {
    Helm::with(docker().join("helm/longwave"))
}

/// Returns the objects of a manifest.
fn objects(manifest: &str) -> Vec<Value> {
    let documents = serde_yaml::Deserializer::from_str(manifest);
    let objects =
        documents.map(|document| Value::deserialize(document).unwrap_or_else(|e| panic!("{e}: {manifest}")));
    objects.filter(|object| !object.is_null()).collect()
}

fn of_kind<'a>(objects: &'a [Value], kind: &str) -> &'a Value {
    objects.iter().find(|object| object["kind"] == kind).unwrap_or_else(|| panic!("no {kind}"))
}

fn shipped(name: &str) -> Vec<Value> {
    objects(&std::fs::read_to_string(docker().join("kubernetes").join(name)).unwrap())
}

/// Returns a document of the rendered ConfigMap of Longwave.
fn document<'a>(objects: &'a [Value], key: &str) -> &'a str {
    let maps = objects.iter().filter(|object| object["kind"] == "ConfigMap");
    maps.filter_map(|map| map["data"][key].as_str()).next().unwrap_or_else(|| panic!("no {key}"))
}

/// Values that users set, by a name for messages and snapshots.
fn combinations() -> Vec<(&'static str, Value)> {
    let operator: Value = serde_json::from_str(OPERATOR).unwrap();
    let only_prometheus = json!({"exporters": {"otlp": {"enabled": false}, "prometheus": {"enabled": true}}});
    vec![
        ("default", json!({})),
        ("prometheus", merged(operator, only_prometheus)),
        (
            "kiali",
            json!({
                "clusterName": "prod",
                "scope": {"namespaces": ["shop", "web"]},
                "exporters": {"prometheus": {"enabled": true, "naming": "istio", "port": 15020}},
                "logs": {"enabled": false},
                "podMonitor": {"enabled": true, "interval": "30s", "labels": {"release": "prometheus"}},
            }),
        ),
        (
            "otlp_http_with_secrets",
            json!({
                "exporters": {"otlp": {
                    "protocol": "http",
                    "endpoint": "https://otlp.example.com:4318",
                    "tls": {"secretName": "backend-tls", "caKey": "ca.crt"},
                    "headers": {
                        "x-tenant": {"secretName": "backend", "key": "tenant"},
                        "authorization": {"secretName": "backend", "key": "token"},
                    },
                    "settings": {"compression": "none", "sending_queue": {"queue_size": 5000}},
                }},
            }),
        ),
        (
            "restricted",
            json!({
                "clusterName": "edge",
                "nameOverride": "tcp",
                "scope": {"names": "node", "filter": {"exclude": {"ports": [22], "cidrs": ["127.0.0.0/8"]}}},
                "podLabelsAsAttributes": ["app.kubernetes.io/version"],
                "podAnnotationsAsAttributes": ["example.com/team"],
                "staticNames": {"rules": [{"cidrs": ["203.0.113.0/24"], "workload": {"name": "payments-gateway"}}]},
                "receiver": {"max_connections": 1_048_576},
                "window": {"levels": ["service", "workload", "connection"], "max_series": 2_000_000},
                "logs": {"events": ["close"]},
                "selfMetrics": {"port": 18888},
                "healthCheck": {"port": 23133},
                "hostNetwork": false,
                "resources": {"limits": {"memory": "1Gi"}},
                "tolerations": [],
                "nodeSelector": {"kubernetes.io/os": "linux"},
                "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
                    {"matchExpressions": [{"key": "kubernetes.io/arch", "operator": "In", "values": ["amd64"]}]},
                ]}}},
                "priorityClass": {"create": false, "name": "system-node-critical"},
                "updateStrategy": {"type": "OnDelete", "rollingUpdate": null},
                "serviceAccount": {"create": false, "name": "reader"},
                "imagePullSecrets": [{"name": "registry"}],
                "seLinuxOptions": {"type": "spc_t"},
                "podAnnotations": {"example.com/owner": "sre"},
                "podLabels": {"team": "sre"},
                "extraEnv": [{"name": "RUST_BACKTRACE", "value": "1"}],
                "extraVolumes": [{"name": "scratch", "emptyDir": {}}],
                "extraVolumeMounts": [{"name": "scratch", "mountPath": "/scratch"}],
                "config": {
                    "receivers": {"bpf": {"families": ["ipv4"]}},
                    "exporters": {"stdout": {"format": "json"}},
                    "service": {"pipelines": {"metrics": {"exporters": ["otlp_grpc", "stdout"]}}},
                },
            }),
        ),
    ]
}

/// *Scenario*: the chart without values, and the manifests in docker/kubernetes.
/// *Guarantees*: the pods, the configuration, the names, the rights, the priority and the update strategy are the same.
fn the_default_is_that_of_the_manifests() {
    let rendered = objects(&chart().template(KUBERNETES[0], &json!({})).unwrap());
    let daemonset = of_kind(&rendered, "DaemonSet");
    let manifests = shipped("daemonset.yaml");
    let mut pods = daemonset["spec"]["template"]["spec"].clone();
    let container = pods["containers"][0].as_object_mut().unwrap();
    // kustomization.yaml sets the tag of the manifests.
    let kustomization = &shipped("kustomization.yaml")[0]["images"][0];
    let image = format!(
        "{}:{}",
        kustomization["newName"].as_str().unwrap(),
        kustomization["newTag"].as_str().unwrap()
    );
    assert_eq!(container.insert("image".to_owned(), json!("longwave")), Some(json!(image)));
    // The default of Kubernetes for an image with a tag.
    assert_eq!(container.remove("imagePullPolicy"), Some(json!("IfNotPresent")));
    assert_eq!(pods, manifests[0]["spec"]["template"]["spec"]);
    assert_eq!(daemonset["spec"]["updateStrategy"], manifests[0]["spec"]["updateStrategy"]);

    for name in ["config.yaml", "names.yaml"] {
        assert_eq!(objects(document(&rendered, name)), shipped(name), "{name}");
    }
    let rights = shipped("rbac.yaml");
    assert_eq!(of_kind(&rendered, "ClusterRole")["rules"], of_kind(&rights, "ClusterRole")["rules"]);
    for field in ["roleRef", "subjects"] {
        let of = |objects: &[Value]| of_kind(objects, "ClusterRoleBinding")[field].clone();
        assert_eq!(of(&rendered), of(&rights), "{field}");
    }
    assert_eq!(of_kind(&rendered, "PriorityClass")["value"], shipped("priorityclass.yaml")[0]["value"]);
}

/// *Scenario*: `helm lint --strict` and `helm template` with several combinations of values, for two versions of Kubernetes. `longwave
/// validate` reads each configuration.
/// *Guarantees*: there is no finding. Every configuration is valid without a warning, and is that of the snapshot. The files of names are
/// valid too.
fn every_combination_is_a_valid_configuration() {
    let helm = chart();
    let folder = tempfile::tempdir().unwrap();
    for (name, values) in combinations() {
        let findings = helm.lint(&values);
        assert!(findings.is_empty(), "{name}: {findings:?}");
        for kubernetes in KUBERNETES {
            let manifest = helm.template(kubernetes, &values).unwrap_or_else(|e| panic!("{name}: {e}"));
            let rendered = objects(&manifest);
            let config = document(&rendered, "config.yaml");
            assert_valid(name, folder.path(), config, document(&rendered, "names.yaml"));
            if kubernetes == KUBERNETES[0] {
                let kinds: Vec<String> = rendered
                    .iter()
                    .map(|object| format!("{} {}", object["kind"], object["metadata"]["name"]))
                    .collect();
                insta::assert_snapshot!(name, format!("{}\n\n{config}", kinds.join("\n").replace('"', "")));
            }
        }
    }
}

fn assert_valid(name: &str, folder: &Path, config: &str, names: &str) {
    let (config_file, names_file) = (folder.join("config.yaml"), folder.join("names.yaml"));
    // The CA of the secret.
    let config = config.replace("/etc/longwave-tls/ca.crt", "/etc/ssl/certs/ca-certificates.crt");
    std::fs::write(&config_file, config).unwrap();
    std::fs::write(&names_file, names).unwrap();
    let output = Command::new(binary::longwave())
        .arg("validate")
        .arg("--config")
        .arg(&config_file)
        .arg("--set")
        .arg(format!("extensions.static.file={}", names_file.display()))
        .envs([
            ("NODE_NAME", "node-1"),
            ("POD_IP", "127.0.0.1"),
            ("OTLP_HEADER_0", "a"),
            ("OTLP_HEADER_1", "b"),
        ])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && stderr.is_empty(), "{name}: {stderr}");
}

/// *Scenario*: values with a misspelt key, a wrong type, a port of 0, an unknown naming, and a header without a key.
/// *Guarantees*: Helm refuses each with the schema of the chart, and its message names the value.
fn the_schema_refuses_wrong_values() {
    let helm = chart();
    for (values, named) in [
        (json!({"scope": {"name": "node"}}), "'name' not allowed"),
        (json!({"hostNetwork": "no"}), "/hostNetwork"),
        (json!({"exporters": {"prometheus": {"port": 0}}}), "/exporters/prometheus/port"),
        (json!({"exporters": {"prometheus": {"naming": "kiali"}}}), "/exporters/prometheus/naming"),
        (json!({"exporters": {"otlp": {"headers": {"authorization": {"secretName": "s"}}}}}), "'key'"),
        (json!({"podMonitor": {"interval": "15"}}), "/podMonitor/interval"),
    ] {
        let refused = helm.template(KUBERNETES[0], &values);
        let message = refused.expect_err(&format!("accepted: {values}"));
        assert!(message.contains("schema") && message.contains(named), "{values}: {message}");
    }
}

/// *Scenario*: a real API server with the custom resources of the Prometheus operator. `kubectl apply --dry-run=server` with each
/// combination of values, with all objects that the chart can contain, and with the manifests in docker/kubernetes.
/// *Guarantees*: the API server accepts all objects without a warning.
fn the_api_server_accepts_every_combination() {
    let helm = chart();
    let kubectl = cluster::programs(&["kubectl", "etcd", "kube-apiserver"]).join("kubectl");
    let plane = ControlPlane::start();
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = plane.kubeconfig();
    let run = |arguments: &[&str]| {
        let mut command = Command::new(&kubectl);
        let output = command.arg("--kubeconfig").arg(&kubeconfig).args(arguments).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && stderr.is_empty(), "{arguments:?}: {stderr}");
    };
    for kind in ["podmonitors", "prometheusrules"] {
        run(&["apply", "-f", &helm::definition(kind).display().to_string()]);
        run(&["wait", "--for=condition=Established", &format!("crd/{kind}.monitoring.coreos.com")]);
    }
    run(&["apply", "-f", &docker().join("kubernetes/namespace.yaml").display().to_string()]);
    let dry_run = ["apply", "--dry-run=server"];
    run(&[&dry_run[..], &["-k", &docker().join("kubernetes").display().to_string()]].concat());

    let operator: Value = serde_json::from_str(OPERATOR).unwrap();
    for (name, values) in combinations() {
        for values in [values.clone(), merged(values, operator.clone())] {
            let manifest = helm.template(KUBERNETES[0], &values).unwrap_or_else(|e| panic!("{name}: {e}"));
            let path = folder.path().join("manifest.yaml");
            std::fs::write(&path, manifest).unwrap();
            run(&[&dry_run[..], &["-n", NAMESPACE, "-f", &path.display().to_string()]].concat());
        }
    }
}

fn main() -> ExitCode {
    harness::run(tests![
        the_default_is_that_of_the_manifests,
        every_combination_is_a_valid_configuration,
        the_schema_refuses_wrong_values,
        the_api_server_accepts_every_combination,
        deployed::is_ready_until_its_receiver_stalls,
        namespaces::limit_what_prometheus_stores,
    ])
}
