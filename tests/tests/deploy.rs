//! The manifests, the systemd unit, the compose file and the dashboard in docker/ are consistent with each other and with the binary.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use longwave_testing::{gate, harness, tests};
use longwave_tests::{binary, collector};
use serde::Deserialize;
use serde_json::Value;

/// Capabilities that every manifest grants, as Kubernetes and Docker write them.
const CAPABILITIES: [&str; 5] = ["BPF", "NET_ADMIN", "PERFMON", "SYS_ADMIN", "SYS_PTRACE"];

fn docker() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docker")
}

fn text(path: &str) -> String {
    let path = docker().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Returns the documents of a YAML file.
fn yaml(path: &str) -> Vec<Value> {
    let documents = serde_yaml::Deserializer::from_str(&text(path))
        .map(|document| Value::deserialize(document).unwrap_or_else(|error| panic!("{path}: {error}")))
        .collect::<Vec<_>>();
    assert!(!documents.is_empty(), "{path}: empty");
    documents
}

fn words(list: &Value) -> BTreeSet<&str> {
    list.as_array().unwrap_or_else(|| panic!("not a list: {list}")).iter().filter_map(Value::as_str).collect()
}

/// *Scenario*: the DaemonSet, the compose file, the unit, and docs/DEPLOYMENT.md.
/// *Guarantees*: all grant the same five capabilities, and none is privileged. The manifests drop all other capabilities.
fn all_grant_the_same_capabilities() {
    let five = BTreeSet::from(CAPABILITIES);
    let daemonset = &yaml("kubernetes/daemonset.yaml")[0];
    let container = &daemonset["spec"]["template"]["spec"]["containers"][0];
    let security = &container["securityContext"];
    assert_eq!(words(&security["capabilities"]["add"]), five);
    assert_eq!(words(&security["capabilities"]["drop"]), BTreeSet::from(["ALL"]));
    assert_eq!(security["privileged"], false);
    assert_eq!(security["allowPrivilegeEscalation"], false);
    assert_eq!(security["readOnlyRootFilesystem"], true);

    let service = &yaml("compose.yaml")[0]["services"]["longwave"];
    assert_eq!(words(&service["cap_add"]), five);
    assert_eq!(words(&service["cap_drop"]), BTreeSet::from(["ALL"]));
    assert_eq!(service["read_only"], true);
    assert!(service.get("privileged").is_none());

    let unit = text("longwave.service");
    for key in ["AmbientCapabilities=", "CapabilityBoundingSet="] {
        let line = unit.lines().find_map(|line| line.strip_prefix(key)).unwrap();
        let granted: BTreeSet<&str> =
            line.split(' ').map(|name| name.strip_prefix("CAP_").unwrap()).collect();
        assert_eq!(granted, five, "{key}");
    }

    let page = text("../docs/DEPLOYMENT.md");
    let rows: BTreeSet<&str> =
        page.lines().filter_map(|line| line.strip_prefix("| `CAP_")?.split('`').next()).collect();
    assert_eq!(rows, five, "the table of docs/DEPLOYMENT.md");
    for name in CAPABILITIES {
        assert!(
            page.contains(&format!("--cap-add={name} ")),
            "docs/DEPLOYMENT.md: docker run without {name}"
        );
    }
}

/// *Scenario*: the ClusterRole.
/// *Guarantees*: it allows listing and watching pods, services and endpoint slices, and nothing else.
fn the_service_account_may_list_and_watch_three_things() {
    let documents = yaml("kubernetes/rbac.yaml");
    let role = documents.iter().find(|document| document["kind"] == "ClusterRole").unwrap();
    let mut allowed = BTreeSet::new();
    for rule in role["rules"].as_array().unwrap() {
        assert_eq!(words(&rule["verbs"]), BTreeSet::from(["list", "watch"]), "{rule}");
        for group in words(&rule["apiGroups"]) {
            allowed.extend(words(&rule["resources"]).into_iter().map(|resource| (group, resource)));
        }
    }
    let expected = BTreeSet::from([("", "pods"), ("", "services"), ("discovery.k8s.io", "endpointslices")]);
    assert_eq!(allowed, expected);
}

/// *Scenario*: the kustomization and the files of its folder.
/// *Guarantees*: every manifest is listed, every listed file exists, and the pods mount the generated ConfigMap.
fn the_kustomization_lists_every_file() {
    let kustomization = &yaml("kubernetes/kustomization.yaml")[0];
    let generated = &kustomization["configMapGenerator"][0];
    let mut listed = words(&kustomization["resources"]);
    listed.extend(words(&generated["files"]));
    let folder = std::fs::read_dir(docker().join("kubernetes")).unwrap();
    let names: Vec<String> = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let there: BTreeSet<&str> =
        names.iter().map(String::as_str).filter(|name| *name != "kustomization.yaml").collect();
    assert_eq!(listed, there);
    let daemonset = &yaml("kubernetes/daemonset.yaml")[0];
    let volumes = daemonset["spec"]["template"]["spec"]["volumes"].as_array().unwrap();
    assert!(volumes.iter().any(|volume| volume["configMap"]["name"] == generated["name"]), "{volumes:?}");
}

/// *Scenario*: `longwave validate` with the configurations of the DaemonSet and of the compose file.
/// *Guarantees*: both are valid configurations, without a warning.
fn the_pipelines_are_valid() {
    let names = docker().join("kubernetes/names.yaml");
    let names = format!("extensions.static.file={}", names.display());
    for (path, set) in [("kubernetes/config.yaml", Some(names)), ("compose/longwave.yaml", None)] {
        let mut command = Command::new(binary::longwave());
        command.arg("validate").arg("--config").arg(docker().join(path)).env("NODE_NAME", "worker-3");
        if let Some(set) = set {
            command.arg("--set").arg(set);
        }
        let output = command.stdin(Stdio::null()).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && stderr.is_empty(), "{path}: {stderr}");
    }
}

/// *Scenario*: the real Collector validates the configuration that the compose file mounts for it.
/// *Guarantees*: the configuration is valid.
fn the_collector_accepts_its_configuration() {
    let collector = collector::binary();
    let path = docker().join("compose/collector.yaml");
    let output = Command::new(collector).arg("validate").arg("--config").arg(path).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// *Scenario*: the services of the compose file, the files that they mount, and the data source and dashboard of Grafana.
/// *Guarantees*: every file exists, Prometheus receives OTLP where the Collector sends it, and the data source of the dashboard is
/// provisioned.
fn files_that_compose_mounts_exist() {
    let compose = &yaml("compose.yaml")[0];
    let services = compose["services"].as_object().unwrap();
    for (name, service) in services {
        for volume in service["volumes"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if let Some(path) = volume.split(':').next().filter(|path| path.starts_with("./")) {
                assert!(docker().join(path).exists(), "{name}: {path}");
            }
        }
    }
    let flags = words(&services["prometheus"]["command"]);
    assert!(flags.contains("--web.enable-otlp-receiver"));
    let exporters = &yaml("compose/collector.yaml")[0]["exporters"];
    assert_eq!(exporters["otlphttp/prometheus"]["endpoint"], "http://prometheus:9090/api/v1/otlp");
    let source = &yaml("compose/grafana/datasource.yaml")[0]["datasources"][0];
    let dashboard: Value = serde_json::from_str(&text("dashboards/longwave.json")).unwrap();
    for panel in dashboard["panels"].as_array().unwrap() {
        assert_eq!(panel["datasource"]["uid"], source["uid"], "{}", panel["title"]);
    }
}

/// *Scenario*: the metrics and labels in the queries of the dashboard, and the series that the binary exports from a recording.
/// *Guarantees*: every metric and label of a query exists (with the names that Prometheus derives from OTLP).
fn the_dashboard_queries_only_what_is_exported() {
    let recording = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/connections.lwr");
    let config = serde_json::json!({
        "receivers": {"replay": {"path": recording}},
        "processors": {"window": {"levels": ["workload"]}},
        "exporters": {"stdout": {"format": "json"}},
        "service": {
            "telemetry": {"metrics": {"level": "none"}},
            "pipelines": {"metrics": {"receivers": ["replay"], "processors": ["window"], "exporters": ["stdout"]}},
        },
    });
    let output =
        Command::new(binary::longwave()).arg("--config").arg(format!("yaml:{config}")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut keys: BTreeSet<String> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .flat_map(|line| serde_json::from_str::<serde_json::Map<String, Value>>(line).unwrap())
        .map(|(key, _)| key.replace('.', "_"))
        .collect();
    // Attributes of one measure. In JSON, their values are a part of the key.
    keys.extend(["longwave_close_reason", "error_type", "le"].map(str::to_owned));

    let dashboard: Value = serde_json::from_str(&text("dashboards/longwave.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let expressions: Vec<&str> = panels
        .iter()
        .flat_map(|panel| panel["targets"].as_array().unwrap())
        .map(|target| target["expr"].as_str().unwrap())
        .collect();
    let mut metrics = BTreeSet::new();
    for expression in &expressions {
        let names = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        for name in names.filter(|name| name.contains('_') && !name.starts_with("__")) {
            let Some(metric) = name.strip_prefix("longwave_tcp_workload_") else {
                let is_function = ["rate_interval", "histogram_quantile"].contains(&name);
                assert!(is_function || keys.contains(name), "label {name} in {expression}");
                continue;
            };
            let measure = ["_total", "_seconds_bucket"].iter().find_map(|suffix| metric.strip_suffix(suffix));
            let measure = measure.unwrap_or(metric);
            assert!(keys.contains(measure), "{measure} in {expression}; there are {keys:?}");
            metrics.insert(measure.to_owned());
        }
    }
    assert!(metrics.len() >= 8, "{metrics:?}");
}

/// *Scenario*: `promtool` validates the configuration of Prometheus in the compose file and the expressions of the dashboard.
/// *Guarantees*: both are valid.
fn prometheus_accepts_configuration_and_expressions() {
    if Command::new("promtool").arg("--version").output().is_err() {
        gate::missing("no promtool (Debian: prometheus)", "LONGWAVE_REQUIRE_PROMETHEUS");
    }
    let promtool = |arguments: &[&str]| {
        let output = Command::new("promtool").args(arguments).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&text));
    };
    promtool(&["check", "config", &docker().join("compose/prometheus.yaml").display().to_string()]);
    let dashboard: Value = serde_json::from_str(&text("dashboards/longwave.json")).unwrap();
    let rules: Vec<Value> = dashboard["panels"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|panel| panel["targets"].as_array().unwrap())
        .enumerate()
        .map(|(index, target)| {
            let expression = target["expr"].as_str().unwrap().replace("$__rate_interval", "1m");
            serde_json::json!({"record": format!("panel:{index}"), "expr": expression})
        })
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rules.json");
    let groups = serde_json::json!({"groups": [{"name": "dashboard", "rules": rules}]});
    std::fs::write(&path, groups.to_string()).unwrap();
    promtool(&["check", "rules", &path.display().to_string()]);
}

fn main() -> ExitCode {
    harness::run(tests![
        all_grant_the_same_capabilities,
        the_service_account_may_list_and_watch_three_things,
        the_kustomization_lists_every_file,
        the_pipelines_are_valid,
        the_collector_accepts_its_configuration,
        files_that_compose_mounts_exist,
        the_dashboard_queries_only_what_is_exported,
        prometheus_accepts_configuration_and_expressions,
    ])
}
