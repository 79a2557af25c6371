//! Look-ups among 10,000 pods and 1,000 services: CPU time of each, and memory for all of them.
//!
//! The extension runs as in the product, against a server in another process that writes objects as large as real ones (8 KB a pod).
//! Look-ups are measured in CPU time, because machines that build are rarely idle.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

use std::hint::black_box;
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::Query;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use criterion::Criterion;
use longwave_config::{ConfigPath, Value};
use longwave_pipeline::component::{Answer, CgroupName, Directory, ExtensionContext, Health};
use longwave_pipeline::model::{Endpoint, UnixNanos};
use tokio_util::sync::CancellationToken;

use longwave_testing::cpu_time::CpuTime;

const PODS: u32 = 10_000;
const SERVICES: u32 = 1_000;
const PER_NODE: u32 = 50;
const ROLE: &str = "LONGWAVE_LOOKUPS_ROLE";

fn main() {
    match std::env::var(ROLE).ok().as_deref() {
        Some("server") => serve(),
        Some(mode) => measure(mode),
        None => {
            for mode in ["streamed", "paged"] {
                let status = Command::new(std::env::current_exe().unwrap()).env(ROLE, mode).status().unwrap();
                assert!(status.success());
            }
            lookups();
        }
    }
}

// The server.

fn uid(kind: u32, number: u32) -> String {
    format!("{kind:08x}-8b1d-4c57-9a50-{number:012x}")
}

fn container_id(number: u32) -> String {
    format!("{number:08x}").repeat(8)
}

fn pod_address(number: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 128, 0, 2)) + number / PER_NODE * 256 + number % PER_NODE)
}

fn service_address(number: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 96, 0, 10)) + number)
}

fn pod(number: u32) -> String {
    let (owner, node, address) = (number / 10, number / PER_NODE, pod_address(number));
    let (main, sidecar) = (container_id(number), container_id(number + (1 << 24)));
    let managed = r#"{"manager":"kubelet","operation":"Update","apiVersion":"v1","time":"2026-11-21T09:00:05Z","fieldsType":"FieldsV1","fieldsV1":{"f:status":{"f:conditions":{"k:{\"type\":\"Ready\"}":{".":{},"f:lastProbeTime":{},"f:status":{},"f:type":{}}}}}}"#;
    let env: Vec<String> = (0..25).map(|n| format!(r#"{{"name":"SETTING_NUMBER_{n}","value":"some value of a length that is usual, number {n}"}}"#)).collect();
    format!(
        r#"{{"metadata":{{"name":"deployment-{owner}-7d4b9c6f5d-{number:05}","generateName":"deployment-{owner}-7d4b9c6f5d-","namespace":"namespace-{}","uid":"{}","resourceVersion":"{number}","creationTimestamp":"2026-11-21T09:00:00Z","labels":{{"app":"deployment-{owner}","app.kubernetes.io/version":"1.2.3","pod-template-hash":"7d4b9c6f5d"}},"annotations":{{"checksum/config":"{}"}},"ownerReferences":[{{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"deployment-{owner}-7d4b9c6f5d","uid":"{}","controller":true}}],"managedFields":[{}]}},"spec":{{"nodeName":"node-{node}","containers":[{{"name":"main","image":"registry.example/image:{owner}","env":[{}],"ports":[{{"containerPort":8080,"protocol":"TCP"}}]}},{{"name":"sidecar","image":"registry.example/sidecar","env":[{}]}}]}},"status":{{"phase":"Running","hostIP":"192.168.{}.{}","podIP":"{address}","podIPs":[{{"ip":"{address}"}}],"containerStatuses":[{{"name":"main","containerID":"containerd://{main}","state":{{"running":{{"startedAt":"2026-11-21T09:00:02Z"}}}}}},{{"name":"sidecar","containerID":"containerd://{sidecar}","state":{{"running":{{"startedAt":"2026-11-21T09:00:02Z"}}}}}}]}}}}"#,
        owner % 40,
        uid(1, number),
        "c".repeat(64),
        uid(9, owner),
        [managed; 8].join(","),
        env.join(","),
        env.join(","),
        node / 250,
        node % 250 + 1,
    )
}

fn service(number: u32) -> String {
    let address = service_address(number);
    format!(
        r#"{{"metadata":{{"name":"service-{number}","namespace":"namespace-{}","uid":"{}","resourceVersion":"{number}","creationTimestamp":"2026-11-21T09:00:00Z"}},"spec":{{"type":"ClusterIP","clusterIP":"{address}","clusterIPs":["{address}"],"ports":[{{"name":"http","port":80,"targetPort":8080,"protocol":"TCP"}},{{"name":"metrics","port":9090,"protocol":"TCP"}}],"selector":{{"app":"deployment-{number}"}}}},"status":{{"loadBalancer":{{}}}}}}"#,
        number % 40,
        uid(2, number),
    )
}

fn slice(number: u32) -> String {
    let endpoint = |pod: u32| {
        format!(
            r#"{{"addresses":["{}"],"conditions":{{"ready":true,"serving":true,"terminating":false}},"targetRef":{{"kind":"Pod","namespace":"n","name":"p","uid":"{}"}},"nodeName":"node-{}"}}"#,
            pod_address(pod),
            uid(1, pod),
            pod / PER_NODE
        )
    };
    let endpoints: Vec<String> = (number * 10..number * 10 + 10).map(endpoint).collect();
    format!(
        r#"{{"metadata":{{"name":"service-{number}-abcde","namespace":"namespace-{}","uid":"{}","resourceVersion":"{number}","labels":{{"kubernetes.io/service-name":"service-{number}"}}}},"addressType":"IPv4","endpoints":[{}],"ports":[{{"name":"http","port":8080,"protocol":"TCP"}},{{"name":"metrics","port":9090,"protocol":"TCP"}}]}}"#,
        number % 40,
        uid(3, number),
        endpoints.join(","),
    )
}

async fn respond(uri: Uri, Query(query): Query<std::collections::HashMap<String, String>>) -> Response {
    let (count, object): (u32, fn(u32) -> String) = match uri.path() {
        "/api/v1/pods" => (PODS, pod),
        "/api/v1/services" => (SERVICES, service),
        _ => (SERVICES, slice),
    };
    if query.contains_key("watch") {
        let streams = std::env::var("LONGWAVE_LOOKUPS_STREAMS").is_ok();
        if query.contains_key("sendInitialEvents") && !streams {
            return StatusCode::UNPROCESSABLE_ENTITY.into_response();
        }
        let first = if query.contains_key("sendInitialEvents") { 0 } else { count + 1 };
        let stream = futures_util::stream::unfold(first, move |number| async move {
            let line = match number {
                n if n < count => format!("{{\"type\":\"ADDED\",\"object\":{}}}\n", object(n)),
                n if n == count => "{\"type\":\"BOOKMARK\",\"object\":{\"metadata\":{\"resourceVersion\":\"1\",\"annotations\":{\"k8s.io/initial-events-end\":\"true\"}}}}\n".to_owned(),
                _ => std::future::pending().await,
            };
            Some((Ok::<_, std::convert::Infallible>(line), number + 1))
        });
        return axum::body::Body::from_stream(stream).into_response();
    }
    let from: u32 = query.get("continue").map_or(0, |from| from.parse().unwrap());
    let until = (from + query["limit"].parse::<u32>().unwrap()).min(count);
    let items: Vec<String> = (from..until).map(object).collect();
    let next = if until < count { until.to_string() } else { String::new() };
    format!(r#"{{"metadata":{{"resourceVersion":"1","continue":"{next}"}},"items":[{}]}}"#, items.join(","))
        .into_response()
}

fn serve() {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("{}", listener.local_addr().unwrap());
        axum::serve(listener, axum::Router::new().fallback(respond)).await.unwrap();
    });
}

struct Server {
    child: Child,
    kubeconfig: tempfile::NamedTempFile,
}

impl Server {
    fn start(streams: bool) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.env(ROLE, "server").stdout(Stdio::piped());
        if streams {
            command.env("LONGWAVE_LOOKUPS_STREAMS", "1");
        }
        let mut child = command.spawn().unwrap();
        let mut address = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut address).unwrap();
        let kubeconfig = tempfile::NamedTempFile::new().unwrap();
        let text = format!(
            "{{apiVersion: v1, kind: Config, current-context: c, clusters: [{{name: c, cluster: {{server: \"http://{}\"}}}}], users: [{{name: u, user: {{}}}}], contexts: [{{name: c, context: {{cluster: c, user: u}}}}]}}",
            address.trim()
        );
        std::fs::write(kubeconfig.path(), text).unwrap();
        Self { child, kubeconfig }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

// The extension.

fn end(address: Ipv4Addr, port: u16) -> Endpoint {
    Endpoint { address: IpAddr::V4(address), port }
}

async fn fill_directory(server: &Server) -> (Arc<dyn Directory>, CancellationToken) {
    let yaml = format!("{{kubeconfig: {:?}, node: node-7}}", server.kubeconfig.path().to_str().unwrap());
    let section = Value::from_serialize(&serde_yaml::from_str::<serde_yaml::Value>(&yaml).unwrap()).unwrap();
    let prepared = longwave_extensions::kubernetes::factory()
        .prepare(&section, &ConfigPath::root())
        .map_err(|e| e.to_string())
        .unwrap();
    let meter = opentelemetry::global::meter("bench");
    let extension =
        (prepared.create)(ExtensionContext { id: "kubernetes".to_owned(), meter, health: Health::default() })
            .unwrap();
    let directory = extension.directory().unwrap();
    let stop = CancellationToken::new();
    tokio::spawn(extension.start(stop.clone()).await.unwrap());
    let begun = Instant::now();
    let complete = || {
        let last = [PODS - 1, PODS / 2].iter().all(|n| {
            matches!(
                directory.workload_of_address(end(pod_address(*n), 0), UnixNanos::now()),
                Answer::Known(_)
            )
        });
        last && matches!(
            directory.service_of_address(end(service_address(SERVICES - 1), 80), UnixNanos::now()),
            Answer::Known(_)
        ) && matches!(
            directory.service_of_backend(end(pod_address(PODS - 1), 8080), UnixNanos::now()),
            Answer::Known(_)
        )
    };
    while !complete() {
        assert!(begun.elapsed() < Duration::from_secs(120), "the tables are incomplete after two minutes");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    (directory, stop)
}

fn status(key: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(key)).unwrap();
    line.trim_matches([':', ' ', '\t', 'k', 'B']).parse().unwrap()
}

/// Prints by how much the process grows until everything is known.
fn measure(mode: &str) {
    let server = Server::start(mode == "streamed");
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(async {
        let before = status("VmRSS");
        let begun = Instant::now();
        let (_directory, stop) = fill_directory(&server).await;
        let elapsed = begun.elapsed();
        tokio::time::sleep(Duration::from_millis(200)).await;
        let (after, peak) = (status("VmRSS"), status("VmHWM"));
        println!(
            "memory, listing {mode}: {:.1} MiB for {PODS} pods and {SERVICES} services (peak {:.1} MiB), complete after {:.2} s; a pod is {} bytes of JSON",
            (after - before) as f64 / 1024.0,
            (peak - before) as f64 / 1024.0,
            elapsed.as_secs_f64(),
            pod(1234).len()
        );
        stop.cancel();
    });
}

fn lookups() {
    let server = Server::start(true);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (directory, stop) = runtime.block_on(fill_directory(&server));
    let at = UnixNanos::now();
    let mut criterion = Criterion::default()
        .with_measurement(CpuTime)
        .configure_from_args()
        .measurement_time(Duration::from_secs(2))
        .warm_up_time(Duration::from_millis(500));
    let mut number = 0u32;
    let mut next = move |most: u32| {
        number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (number >> 8) % most
    };
    let ids: Vec<(String, String)> =
        (7 * PER_NODE..8 * PER_NODE).map(|n| (container_id(n), uid(1, n))).collect();
    let absent: Vec<(String, String)> = (0..50).map(|n| (container_id(PODS + n), uid(5, n))).collect();
    let d = &*directory;
    criterion.bench_function("workload_of_address, a pod's", |b| {
        b.iter(|| black_box(d.workload_of_address(end(pod_address(next(PODS)), 8080), at)))
    });
    criterion.bench_function("workload_of_address, unknown", |b| {
        b.iter(|| {
            black_box(d.workload_of_address(end(Ipv4Addr::from(next(u32::MAX) | 0x5000_0000), 443), at))
        })
    });
    criterion.bench_function("workload_of_address, a node's", |b| {
        b.iter(|| {
            black_box(d.workload_of_address(end(Ipv4Addr::new(192, 168, 0, next(200) as u8 + 1), 22), at))
        })
    });
    criterion.bench_function("workload_of_cgroup, a container's", |b| {
        b.iter(|| {
            let (container_id, pod_uid) = &ids[next(50) as usize];
            black_box(d.workload_of_cgroup(&CgroupName { path: "/", container_id, pod_uid }, at))
        })
    });
    criterion.bench_function("workload_of_cgroup, unknown", |b| {
        b.iter(|| {
            let (container_id, pod_uid) = &absent[next(50) as usize];
            black_box(d.workload_of_cgroup(&CgroupName { path: "/", container_id, pod_uid }, at))
        })
    });
    criterion.bench_function("service_of_address, a service's", |b| {
        b.iter(|| black_box(d.service_of_address(end(service_address(next(SERVICES)), 80), at)))
    });
    criterion.bench_function("service_of_address, unknown", |b| {
        b.iter(|| black_box(d.service_of_address(end(pod_address(next(PODS)), 80), at)))
    });
    criterion.bench_function("service_of_backend, a backend", |b| {
        b.iter(|| black_box(d.service_of_backend(end(pod_address(next(PODS)), 8080), at)))
    });
    criterion.bench_function("service_of_backend, unknown", |b| {
        b.iter(|| black_box(d.service_of_backend(end(pod_address(next(PODS)), 8081), at)))
    });
    criterion.bench_function("is_translated", |b| {
        b.iter(|| black_box(d.is_translated(IpAddr::V4(pod_address(next(PODS))))))
    });
    criterion.final_summary();
    stop.cancel();
}
