//! A Longwave that has something to report on every panel: traffic between named workloads and a service, refused connections, access logs
//! that a filter drops, an exporter whose endpoint is down, and the directory of a real API server.

use std::net::SocketAddr;

use longwave_tests::cgroup::Cgroup;
use longwave_tests::control_plane::ControlPlane;
use longwave_tests::end::End;
use longwave_tests::longwave::{Longwave, free_address};
use longwave_tests::network::Listener;
use longwave_tests::{Family, Network};
use serde_json::json;
use socket2::Socket;
use tempfile::TempDir;

/// The running Longwave, and its traffic.
pub struct Source {
    network: Network,
    web: Cgroup,
    tool: Cgroup,
    listener: Listener,
    /// Bound but not listening, so that connections to it are refused.
    closed: (Socket, SocketAddr),
    long: (End, End),
    longwave: Longwave,
    /// Address of the exporter `prometheus`.
    pub exporter: SocketAddr,
    _folder: TempDir,
    _plane: ControlPlane,
}

// === impl Source ===

impl Source {
    /// Starts everything. `web` in namespace `shop` is a client of the service `db`, whose workload is `db`. `tool`
    /// is a client without a namespace.
    pub fn start() -> Self {
        let plane = ControlPlane::start();
        let folder = TempDir::new().unwrap();
        let kubeconfig = plane.kubeconfig();

        let network = Network::loopback(Family::V4);
        let (web, db, tool) = (Cgroup::new("web"), Cgroup::new("db"), Cgroup::new("tool"));
        let listener = db.within(|| network.listen(16).unwrap());
        let closed = network.bind().unwrap();
        let workload = |name: &str| json!({"name": name, "namespace": "shop", "kind": "Deployment"});
        let service = json!({"name": "db", "namespace": "shop"});
        let ports = [listener.address.port(), closed.1.port()];
        let names = json!({"rules": [
            {"cgroups": [format!("/{}", web.name())], "workload": workload("web")},
            {"cgroups": [format!("/{}", tool.name())], "workload": {"name": "tool", "kind": "Process"}},
            {"cidrs": ["127.0.0.0/8"], "ports": ports, "workload": workload("db"), "service": service},
            {"cgroups": [format!("/{}", db.name())], "workload": workload("db")},
        ]});
        let names_file = folder.path().join("names.yaml");
        std::fs::write(&names_file, names.to_string()).unwrap();

        let exporter = free_address();
        let longwave = Longwave::start(json!({
            "extensions": {
                "kubernetes": {"kubeconfig": kubeconfig, "node": "node-1"},
                "static": {"file": names_file},
            },
            "receivers": {"bpf": {"interval": "1s", "ports": ports}},
            "processors": {
                "workload": {"sources": ["static", "kubernetes", "cgroup"]},
                "service": {"sources": ["static", "kubernetes"]},
                "window": {"interval": "1s", "levels": ["service", "workload", "connection"], "min_age": "1s"},
                "filter/ends": {"include": {"events": ["close", "fail", "vanished"]}},
            },
            "exporters": {
                "prometheus": {"endpoint": exporter.to_string()},
                // No process listens on this port.
                "otlp_grpc": {
                    "endpoint": "127.0.0.1:9",
                    "tls": {"insecure": true},
                    "retry_on_failure": {"initial_interval": "100ms", "max_interval": "200ms", "max_elapsed_time": "1s"},
                },
            },
            "service": {
                "extensions": ["kubernetes", "static"],
                "pipelines": {
                    "metrics": {
                        "receivers": ["bpf"],
                        "processors": ["workload", "service", "window"],
                        "exporters": ["prometheus", "otlp_grpc"],
                    },
                    "logs": {
                        "receivers": ["bpf"],
                        "processors": ["filter/ends", "workload", "service"],
                        "exporters": ["otlp_grpc"],
                    },
                },
            },
        }));
        let client = web.within(|| network.connect(listener.address).unwrap());
        let long = (client, listener.accept().unwrap());
        let (_folder, _plane) = (folder, plane);
        Self { network, web, tool, listener, closed, long, longwave, exporter, _folder, _plane }
    }

    /// Address of the self-telemetry.
    pub fn telemetry(&self) -> String {
        self.longwave.config()["service"]["telemetry"]["metrics"]["address"].as_str().unwrap().to_owned()
    }

    /// Exchanges bytes on the long connection and on new ones of both clients, which are closed, and opens one that is refused.
    pub fn exchange(&mut self) {
        let (client, server) = &mut self.long;
        request(client, server);
        let connect = |cgroup: &Cgroup, address| cgroup.within(|| self.network.connect(address));
        for cgroup in [&self.web, &self.tool] {
            let mut client = connect(cgroup, self.listener.address).unwrap();
            let mut server = self.listener.accept().unwrap();
            request(&mut client, &mut server);
        }
        assert!(connect(&self.web, self.closed.1).is_err(), "not refused");
    }

    /// Warnings of Longwave.
    pub fn warnings(&self) -> Vec<String> {
        let is_warning = |line: &&str| line.contains(" WARN ") || line.contains(" ERROR ");
        self.longwave.stderr().lines().filter(is_warning).map(str::to_owned).collect()
    }
}

fn request(client: &mut End, server: &mut End) {
    client.write(10_000).unwrap();
    server.read(10_000).unwrap();
    server.write(99).unwrap();
    client.read(99).unwrap();
}
