//! Rights of the service account: with the shipped rules, and with one of them missing.

use std::collections::BTreeSet;

use longwave_tests::Longwave;
use longwave_tests::api_server::ApiServer;
use longwave_tests::cluster::Cluster;
use longwave_tests::faulty_proxy::{FaultyProxy, Request};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::greeter::{deployment, pod_spec};
use crate::running::{cluster, release, seen, start, until, word};
use crate::{LIMIT, PODS, SERVICES, SLICES, WATCHED};

const RBAC: &str = include_str!("../../../docker/kubernetes/rbac.yaml");
const PORT: u16 = 8080;
const SERVICE_PORT: u16 = 8081;
const RULES: &str = "/apis/rbac.authorization.k8s.io/v1";
const DEFAULT: &str = "/api/v1/namespaces/default";
const APPS: &str = "/apis/apps/v1/namespaces/default/deployments";

/// A service account with some of the shipped rules.
struct Account {
    name: String,
    token: String,
    role: Value,
}

/// *Scenario*: a service account with the shipped ClusterRole and ClusterRoleBinding in the real API server, with streamed listings and
/// with pages.
/// *Guarantees*: no request is refused. Both ends and the service are named. The requests need exactly the verbs that the rules allow.
///
/// *Scenario*: the same with one rule missing, for each rule. In one case the rule is added later.
/// *Guarantees*: the log names only the missing rule. Names that do not need it are still reported. The added rule takes effect without a
/// restart.
pub fn the_rules_are_exactly_those_that_are_needed() {
    let cluster = cluster();
    traffic(&cluster);
    let rules = shipped("ClusterRole")["rules"].as_array().unwrap().clone();
    assert_eq!(rules.len(), WATCHED.len());

    let whole = Account::new(&cluster, "whole", rules.clone());
    let mut used = BTreeSet::new();
    for pages_only in [false, true] {
        used.extend(nothing_is_refused(&cluster, &whole, pages_only));
    }
    let allowed: BTreeSet<_> = rules.iter().flat_map(verbs).collect();
    assert_eq!(used, allowed, "the verbs of the requests (left) are not those that the rules allow (right)");

    for missing in 0..rules.len() {
        let mut fewer = rules.clone();
        let removed = fewer.remove(missing);
        let name = words(&removed["resources"])[0].clone();
        let account = Account::new(&cluster, &format!("no-{name}"), fewer);
        without(&cluster, &account, &removed, (name == "pods").then_some(&rules));
    }
    release(cluster);
}

/// Returns group, resource and verb of all requests.
fn nothing_is_refused(
    cluster: &Cluster,
    account: &Account,
    pages_only: bool,
) -> BTreeSet<(String, String, String)> {
    let (proxy, longwave, _folder) = run(cluster, account);
    proxy.set(|behaviour| behaviour.pages_only = pages_only);
    proxy.listen();
    longwave.await_lines("both ends and the service", seen(&longwave), LIMIT, |line| {
        names_workload(line) && names_service(line)
    });
    // After the last page, Longwave sends a watch.
    for (resource, path) in WATCHED {
        proxy.await_requests(resource, 0, LIMIT, |requests| {
            let mut own = requests.iter().filter(|request| request.path == path && request.status == 200);
            own.any(|request| request.verb() == "watch")
        });
    }
    let requests = proxy.requests(0);
    let refused: Vec<_> =
        requests.iter().filter(|request| matches!(request.status, 401 | 403 | 404)).collect();
    assert!(refused.is_empty(), "{refused:#?}");
    let finished = longwave.stop();
    assert!(!finished.stderr.contains("may not"), "{}", finished.stderr);
    requests.iter().filter(|request| request.status == 200).map(needed_right).collect()
}

/// Runs with the rules of `account`, and then, if `all` is given, with all rules.
fn without(cluster: &Cluster, account: &Account, removed: &Value, all: Option<&Vec<Value>>) {
    let (proxy, longwave, _folder) = run(cluster, account);
    proxy.listen();
    let (group, resource) = (&words(&removed["apiGroups"])[0], &words(&removed["resources"])[0]);
    let remedy = format!(
        "add the rule `apiGroups: [\"{group}\"], resources: [\"{resource}\"], verbs: [\"list\", \"watch\"]` to the ClusterRole"
    );
    // The log escapes quotes.
    until(&longwave, &remedy, LIMIT, || longwave.stderr().replace('\\', "").contains(&remedy));
    let path = WATCHED.iter().find(|(name, _)| name == resource).unwrap().1;
    match path {
        PODS => longwave.await_lines("the service, without pods", seen(&longwave), LIMIT, names_service),
        SERVICES => longwave.await_lines("pods, without services", seen(&longwave), LIMIT, names_workload),
        _ => {
            longwave.await_lines("pods and the service, without endpoints", seen(&longwave), LIMIT, |line| {
                names_workload(line) && names_service(line)
            })
        }
    }
    let requests = proxy.requests(0);
    let mut others = requests.iter().filter(|request| request.path != path);
    assert!(others.all(|request| request.status == 200), "{requests:#?}");
    if let Some(all) = all {
        account.set(cluster, all);
        let from = seen(&longwave);
        longwave.await_lines("all, with the rule added", from, LIMIT, |line| {
            names_workload(line) && names_service(line)
        });
        assert!(longwave.stderr().contains(&format!("{resource} are watched again")));
    }
    let finished = longwave.stop();
    let errors = finished.stderr.lines().filter(|line| line.contains("may not list and watch"));
    assert!(
        errors.clone().all(|line| line.contains(&format!("list and watch {resource}:"))),
        "{}",
        finished.stderr
    );
    // The error is logged once, and not at every attempt.
    assert_eq!(errors.count(), 1, "{}", finished.stderr);
}

/// Starts Longwave with the token of `account`, and a proxy that does not listen yet.
fn run(cluster: &Cluster, account: &Account) -> (FaultyProxy, Longwave, tempfile::TempDir) {
    let proxy = FaultyProxy::new(ApiServer::of(&cluster.info));
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = proxy.kubeconfig(folder.path(), &account.token);
    let longwave = start(&kubeconfig, &cluster.info.node, &[PORT, SERVICE_PORT], json!({}));
    (proxy, longwave, folder)
}

/// Creates a Deployment whose pod connects to a Deployment of two pods through its Service.
fn traffic(cluster: &Cluster) {
    let web = format!("mkdir /www && hostname > /www/index.html && exec httpd -f -p {PORT} -h /www");
    cluster.create(APPS, &deployment("web", 2, pod_spec(&web)));
    let service = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web"},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": SERVICE_PORT, "targetPort": PORT}]},
    });
    let service = cluster.create(&format!("{DEFAULT}/services"), &service.to_string());
    let address = service["spec"]["clusterIP"].as_str().unwrap();
    let client = format!("while true; do wget -q -O- http://{address}:{SERVICE_PORT}; sleep 0.3; done");
    cluster.create(APPS, &deployment("client", 1, pod_spec(&client)));
    let pods = cluster.wait(&format!("{DEFAULT}/pods"), |pods| pods.contains("\"client-"));
    let pods: Value = serde_json::from_str(&pods).unwrap();
    let names = pods["items"].as_array().unwrap().iter().map(|pod| pod["metadata"]["name"].as_str().unwrap());
    let client = names.into_iter().find(|name| name.starts_with("client-")).unwrap();
    cluster.wait_for(&format!("{DEFAULT}/pods/{client}/log"), LIMIT, |log| log.contains("web-"));
}

fn names_workload(line: &Map<String, Value>) -> bool {
    word(line, "reporter") == "source"
        && word(line, "source.workload.name") == "client"
        && word(line, "source.workload.kind") == "Deployment"
        && word(line, "destination.workload.name") == "web"
        && word(line, "destination.k8s.namespace.name") == "default"
}

fn names_service(line: &Map<String, Value>) -> bool {
    word(line, "reporter") == "source"
        && word(line, "destination.service.name") == "web"
        && word(line, "destination.service.namespace") == "default"
}

/// Returns group, resource and verb of a request.
fn needed_right(request: &Request) -> (String, String, String) {
    let (group, resource) = match request.path.as_str() {
        PODS => ("", "pods"),
        SERVICES => ("", "services"),
        SLICES => ("discovery.k8s.io", "endpointslices"),
        other => ("", other),
    };
    (group.to_owned(), resource.to_owned(), request.verb())
}

/// Returns group, resource and verbs of a rule.
fn verbs(rule: &Value) -> Vec<(String, String, String)> {
    let mut all = Vec::new();
    for group in words(&rule["apiGroups"]) {
        for resource in words(&rule["resources"]) {
            for verb in words(&rule["verbs"]) {
                all.push((group.clone(), resource.clone(), verb));
            }
        }
    }
    all
}

fn words(list: &Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|word| word.as_str().unwrap().to_owned()).collect()
}

fn shipped(kind: &str) -> Value {
    let documents =
        serde_yaml::Deserializer::from_str(RBAC).map(|document| Value::deserialize(document).unwrap());
    documents.into_iter().find(|document| document["kind"] == kind).unwrap()
}

// === impl Account ===

impl Account {
    /// Creates the shipped objects under another name and with these rules, and waits until the API server applies them.
    fn new(cluster: &Cluster, name: &str, rules: Vec<Value>) -> Self {
        let mut account = shipped("ServiceAccount");
        account["metadata"]["name"] = json!(name);
        cluster.create(&format!("{DEFAULT}/serviceaccounts"), &account.to_string());
        let mut role = shipped("ClusterRole");
        role["metadata"]["name"] = json!(name);
        role["rules"] = json!(rules);
        let role = cluster.create(&format!("{RULES}/clusterroles"), &role.to_string());
        let mut binding = shipped("ClusterRoleBinding");
        binding["metadata"]["name"] = json!(name);
        binding["roleRef"]["name"] = json!(name);
        binding["subjects"][0]["name"] = json!(name);
        binding["subjects"][0]["namespace"] = json!("default");
        cluster.create(&format!("{RULES}/clusterrolebindings"), &binding.to_string());
        let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
        let token = cluster.create(&format!("{DEFAULT}/serviceaccounts/{name}/token"), &request.to_string());
        let token = token["status"]["token"].as_str().unwrap().to_owned();
        let account = Self { name: name.to_owned(), token, role };
        account.await_rules(cluster, &rules);
        account
    }

    /// Changes its rules.
    fn set(&self, cluster: &Cluster, rules: &[Value]) {
        let mut session = ApiServer::of(&cluster.info).session(&crate::running::admin(cluster));
        let path = format!("{RULES}/clusterroles/{}", self.name);
        assert_eq!(self.role["metadata"]["name"], json!(self.name));
        session.write("PATCH", &path, &json!({"rules": rules}));
    }

    /// Waits until the authorizer applies the rules, which it watches.
    fn await_rules(&self, cluster: &Cluster, rules: &[Value]) {
        let mut session = ApiServer::of(&cluster.info).session(&self.token);
        let allowed: BTreeSet<_> = rules.iter().flat_map(|rule| words(&rule["resources"])).collect();
        let end = std::time::Instant::now() + LIMIT;
        for (resource, path) in WATCHED {
            let wanted = if allowed.contains(resource) { 200 } else { 403 };
            while session.request("GET", &format!("{path}?limit=1"), "application/json", "").0 != wanted {
                assert!(std::time::Instant::now() < end, "{}: {resource}: not {wanted}", self.name);
                std::thread::sleep(std::time::Duration::from_millis(100));
            }
        }
    }
}
