//! The manifests, the systemd unit, the compose file and the dashboards in docker/ are consistent with each other and with the binary.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use longwave_testing::{golden, harness, tests};
use longwave_tests::prometheus::{self, promtool};
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
        command
            .arg("validate")
            .arg("--config")
            .arg(docker().join(path))
            .envs([("NODE_NAME", "worker-3"), ("POD_IP", "10.0.0.3")]);
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

/// *Scenario*: the probes of the DaemonSet, and the extension `health_check` of its configuration.
/// *Guarantees*: all three probes query the port and the address on which the extension listens, and the port is declared for the scheduler.
fn the_probes_query_the_health_check() {
    let container = &yaml("kubernetes/daemonset.yaml")[0]["spec"]["template"]["spec"]["containers"][0];
    let port = &container["ports"][0];
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        assert_eq!(
            container[probe]["httpGet"],
            serde_json::json!({"path": "/", "port": port["name"]}),
            "{probe}"
        );
    }
    let config = &yaml("kubernetes/config.yaml")[0];
    let endpoint = format!("${{env:POD_IP}}:{}", port["containerPort"]);
    assert_eq!(config["extensions"]["health_check"]["endpoint"], endpoint);
    assert!(words(&config["service"]["extensions"]).contains("health_check"));
    let variables = container["env"].as_array().unwrap();
    let address = variables.iter().find(|variable| variable["name"] == "POD_IP").unwrap();
    assert_eq!(address["valueFrom"]["fieldRef"]["fieldPath"], "status.podIP");
}

/// *Scenario*: the services of the compose file, the files that they mount, and what they connect to.
/// *Guarantees*: every file exists. Prometheus scrapes both pages of Longwave, loads the rules, and receives OTLP where the Collector sends
/// it. The Collector listens where Longwave sends access logs. Grafana provisions the folder of the dashboards, and its home is one of them.
fn the_services_of_compose_find_each_other() {
    let compose = &yaml("compose.yaml")[0];
    let services = compose["services"].as_object().unwrap();
    let mut mounts = BTreeSet::new();
    for (name, service) in services {
        for volume in service["volumes"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if let Some(path) = volume.split(':').next().filter(|path| path.starts_with("./")) {
                assert!(docker().join(path).exists(), "{name}: {path}");
                mounts.insert(volume.split(':').take(2).collect::<Vec<_>>().join(":"));
            }
        }
        // All listen on the loopback of the host.
        assert_eq!(service["network_mode"], "host", "{name}");
    }
    let flags = words(&services["prometheus"]["command"]);
    assert!(
        flags.contains("--web.enable-otlp-receiver") && flags.contains("--web.listen-address=localhost:9090")
    );
    let collector = &yaml("compose/collector.yaml")[0];
    assert_eq!(
        collector["exporters"]["otlphttp/prometheus"]["endpoint"],
        "http://localhost:9090/api/v1/otlp"
    );
    let longwave = &yaml("compose/longwave.yaml")[0];
    let endpoint = &collector["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"];
    assert_eq!(&longwave["exporters"]["otlp_grpc"]["endpoint"], endpoint);

    let prometheus = &yaml("compose/prometheus.yaml")[0];
    let jobs = prometheus["scrape_configs"].as_array().unwrap().iter();
    let targets: Vec<&Value> = jobs.map(|job| &job["static_configs"][0]["targets"][0]).collect();
    // The default endpoints of the exporter and of the self-telemetry.
    assert_eq!(targets, ["localhost:9464", "localhost:8888"]);
    assert!(longwave["exporters"].as_object().unwrap()["prometheus"].is_null());
    assert_eq!(prometheus["rule_files"][0], "/etc/prometheus/rules/*.rules.yaml");
    assert!(mounts.contains("./prometheus:/etc/prometheus/rules"));

    let source = &yaml("compose/grafana/datasource.yaml")[0]["datasources"][0];
    assert_eq!(source["url"], "http://localhost:9090");
    let folder = yaml("compose/grafana/dashboards.yaml")[0]["providers"][0]["options"]["path"].clone();
    let folder = folder.as_str().unwrap();
    assert!(mounts.contains(&format!("./dashboards:{folder}")));
    let home = &services["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"];
    let home = home.as_str().unwrap().strip_prefix(folder).unwrap();
    assert!(docker().join(format!("dashboards{home}")).is_file(), "{home}");
}

/// Returns the expressions of all panels of all dashboards.
fn expressions() -> Vec<String> {
    let mut expressions = Vec::new();
    for entry in std::fs::read_dir(docker().join("dashboards")).unwrap() {
        let dashboard: Value =
            serde_json::from_slice(&std::fs::read(entry.unwrap().path()).unwrap()).unwrap();
        let panels = dashboard["panels"].as_array().unwrap().iter();
        let targets = panels.flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
        expressions.extend(targets.map(|target| target["expr"].as_str().unwrap().to_owned()));
    }
    expressions
}

/// *Scenario*: the metrics of traffic and their labels in the queries of the dashboards, and the series that the binary exports from a
/// recording, and those of the golden window.
/// *Guarantees*: every metric and label of a query exists (with the names that Prometheus derives from OTLP).
fn the_dashboards_query_only_what_is_exported() {
    let recording = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/connections.lwr");
    let config = serde_json::json!({
        "receivers": {"replay": {"path": recording}},
        "processors": {"window": {"levels": ["service", "workload", "connection"]}},
        "exporters": {"stdout": {"format": "json"}},
        "service": {
            "telemetry": {"metrics": {"level": "none"}},
            "pipelines": {"metrics": {"receivers": ["replay"], "processors": ["window"], "exporters": ["stdout"]}},
        },
    });
    let output =
        Command::new(binary::longwave()).arg("--config").arg(format!("yaml:{config}")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // The recording is older than the metrics of what limits a connection.
    let printed = String::from_utf8_lossy(&output.stdout);
    let mut keys: BTreeSet<String> = printed
        .lines()
        .chain(golden::METRICS.lines())
        .flat_map(|line| serde_json::from_str::<serde_json::Map<String, Value>>(line).unwrap())
        .map(|(key, _)| key.replace('.', "_"))
        .collect();
    // Attributes of one measure. In JSON, their values are a part of the key.
    keys.extend(["longwave_close_reason", "error_type"].map(str::to_owned));

    let mut metrics = BTreeSet::new();
    for expression in expressions().iter().filter(|expression| expression.contains("longwave_tcp_")) {
        let names = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        for name in names.filter(|name| name.contains('_') && !name.starts_with("__")) {
            let levels = ["workload", "service", "connection"].map(|level| format!("longwave_tcp_{level}_"));
            let Some(metric) = levels.iter().find_map(|level| name.strip_prefix(level)) else {
                let is_function = ["rate_interval", "histogram_quantile", "label_replace"].contains(&name);
                // Labels that the queries set for their legends.
                let is_set = ["source_prefix", "destination_prefix"].contains(&name);
                assert!(is_function || is_set || keys.contains(name), "label {name} in {expression}");
                continue;
            };
            let suffixes = ["_seconds_total", "_total", "_seconds_bucket", "_seconds"];
            let measure = suffixes.iter().find_map(|suffix| metric.strip_suffix(suffix)).unwrap_or(metric);
            assert!(keys.contains(measure), "{measure} in {expression}; there are {keys:?}");
            metrics.insert(measure.to_owned());
        }
    }
    assert!(metrics.len() >= 12, "{metrics:?}");
}

/// *Scenario*: the Collector of the compose file, of `cargo xtask peers`, of the tests and of the documentation.
/// *Guarantees*: all are of one version, so that what is tested is what runs and what is documented.
fn the_collector_has_one_version() {
    let image = &yaml("compose.yaml")[0]["services"]["collector"]["image"];
    assert_eq!(*image, format!("otel/opentelemetry-collector:{}", collector::VERSION));
    let (short, _) = collector::VERSION.rsplit_once('.').unwrap();
    let page = text("../docs/CONFIGURATION.md");
    assert!(page.contains(&format!("The Collector is version {short},")));
    let built = text("../xtask/src/peers/collector.rs");
    assert!(built.contains(&format!("const VERSION: &str = {:?};", collector::VERSION)));
}

/// *Scenario*: `promtool` validates the configuration of Prometheus in the compose file and the expressions of the dashboards.
/// *Guarantees*: all are valid.
fn prometheus_accepts_configuration_and_expressions() {
    prometheus::require();
    promtool(&["check", "config", &docker().join("compose/prometheus.yaml").display().to_string()]);
    let rules: Vec<Value> = expressions()
        .iter()
        .enumerate()
        .map(|(index, expression)| {
            let expression = expression.replace("$__rate_interval", "1m");
            serde_json::json!({"record": format!("panel:{index}"), "expr": expression})
        })
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rules.json");
    let groups = serde_json::json!({"groups": [{"name": "dashboard", "rules": rules}]});
    std::fs::write(&path, groups.to_string()).unwrap();
    promtool(&["check", "rules", &path.display().to_string()]);
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// *Scenario*: `cargo xtask package` packages the binary under test. The package and the tarball are unpacked into empty folders.
/// *Guarantees*: both have the same files. The binary runs from there and accepts the configuration, the unit starts what is there, and the
/// man page and the completions are those of the binary. The rules and dashboards are there. The package has its version and keeps the
/// user's configuration at an upgrade, and its scripts are valid.
fn the_package_has_what_the_unit_starts() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let longwave = binary::longwave();
    let xtask = longwave.with_file_name("xtask");
    assert!(xtask.is_file(), "{}: build it first with `cargo build --workspace --bins`", xtask.display());
    let printed =
        run(Command::new(xtask).args(["package", "--binary"]).arg(&longwave).arg("--output").arg(at("out")));
    let [tarball, package] = printed.lines().collect::<Vec<_>>()[..] else { panic!("{printed}") };

    run(Command::new("dpkg-deb").args(["--extract", package]).arg(at("root")));
    std::fs::create_dir(at("tar")).unwrap();
    run(Command::new("tar")
        .args(["--extract", "--strip-components=1", "--file", tarball, "--directory"])
        .arg(at("tar")));
    let files = |root: &str| {
        let list = run(Command::new("find")
            .args([".", "-type", "f", "-printf", "%P %m %s\n"])
            .current_dir(at(root)));
        list.lines().map(str::to_owned).collect::<BTreeSet<_>>()
    };
    assert_eq!(files("root"), files("tar"));

    let read = |path: &str| std::fs::read_to_string(at("root").join(path)).unwrap();
    let unit = read("usr/lib/systemd/system/longwave.service");
    let start: Vec<_> =
        unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap().split(' ').collect();
    let ["longwave", "--config", config] = start[..] else { panic!("{start:?}") };
    let installed = at("root").join("usr/bin/longwave");
    let config = at("root").join(config.trim_start_matches('/'));
    run(Command::new(&installed).args(["validate", "--config"]).arg(config));
    assert_eq!(
        run(Command::new("gzip")
            .args(["--decompress", "--stdout"])
            .arg(at("root").join("usr/share/man/man1/longwave.1.gz"))),
        run(Command::new(&installed).arg("man"))
    );
    let bash = run(Command::new(&installed).args(["completions", "bash"]));
    assert_eq!(read("usr/share/bash-completion/completions/longwave"), bash);
    assert!(read("usr/share/doc/longwave/copyright").contains("Apache License"));
    for (folder, file) in [("prometheus", "alerts.rules.yaml"), ("dashboards", "workloads.json")] {
        assert!(read(&format!("usr/share/doc/longwave/docker/{folder}/{file}")).contains("longwave"));
    }

    let field = |name: &str| run(Command::new("dpkg-deb").args(["--field", package, name])).trim().to_owned();
    assert_eq!(format!("longwave {}", field("Version")), run(Command::new(&installed).arg("version")).trim());
    run(Command::new("dpkg-deb").args(["--control", package]).arg(at("control")));
    assert_eq!(std::fs::read_to_string(at("control/conffiles")).unwrap(), "/etc/longwave/config.yaml\n");
    for script in ["postinst", "prerm", "postrm"] {
        run(Command::new("sh").arg("-n").arg(at("control").join(script)));
    }
}

fn main() -> ExitCode {
    harness::run(tests![
        all_grant_the_same_capabilities,
        the_service_account_may_list_and_watch_three_things,
        the_kustomization_lists_every_file,
        the_pipelines_are_valid,
        the_collector_accepts_its_configuration,
        the_probes_query_the_health_check,
        the_services_of_compose_find_each_other,
        the_collector_has_one_version,
        the_dashboards_query_only_what_is_exported,
        prometheus_accepts_configuration_and_expressions,
        the_package_has_what_the_unit_starts,
    ])
}
