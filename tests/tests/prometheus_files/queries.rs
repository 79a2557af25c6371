//! The queries of dashboards and rules, against a real Prometheus that scrapes a real Longwave.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use longwave_testing::gate;
use longwave_tests::prometheus::{self, Prometheus};
use serde_json::{Value, json};

use crate::dashboards;
use crate::files;
use crate::source::Source;

/// Maximum wait until every query returns data.
const LIMIT: Duration = Duration::from_secs(120);

/// A query and what its result must have.
struct Query {
    /// Where it is, for messages.
    place: String,
    expression: String,
    /// Label that a series of the result has.
    label: Option<String>,
}

/// *Scenario*: Prometheus scrapes both pages of a Longwave that reports traffic between two workloads, refused connections, dropped records
/// and failing exports, and loads the rules. Each query of the panels and variables of all dashboards is evaluated with `All` as the value
/// of each variable, and again with the node, namespace, workload and service of the traffic.
/// *Guarantees*: each returns at least one series with a number. Legends name workloads with and without a namespace. Prometheus evaluates every rule without an error. Every recording rule has
/// a series, and every metric in an alert exists.
pub fn every_query_returns_data() {
    let _turn = gate::privileged();
    prometheus::require();
    all_return_data(Prometheus::start);
}

/// *Scenario*: the same as [`every_query_returns_data`], with a current Prometheus.
/// *Guarantees*: the same.
pub fn every_query_returns_data_from_a_current_prometheus() {
    let _turn = gate::privileged();
    all_return_data(|config| Prometheus::start_current(&[], config));
}

fn all_return_data(start: impl FnOnce(&Value) -> Prometheus) {
    let mut source = Source::start();
    let prometheus = start(&config(&source));

    let mut open: Vec<Query> = dashboards::all().iter().flat_map(of_dashboard).chain(of_rules()).collect();
    assert!(open.len() > 250, "{}", open.len());
    let end = Instant::now() + LIMIT;
    while !open.is_empty() {
        source.exchange();
        let mut errors = Vec::new();
        open.retain(|query| match query.has_data(&prometheus) {
            Ok(has_data) => !has_data,
            Err(error) => {
                errors.push(format!("{}: {error}: {}", query.place, query.expression));
                false
            }
        });
        assert!(errors.is_empty(), "{errors:#?}");
        let left: Vec<String> =
            open.iter().map(|query| format!("{}: {}", query.place, query.expression)).collect();
        assert!(
            Instant::now() < end,
            "no data after {LIMIT:?} ({}): {left:#?}\n{:#?}",
            left.len(),
            source.warnings()
        );
        // A scrape per second adds samples.
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_legends_name_workloads(&prometheus);
    assert_rules_are_healthy(&prometheus);
}

/// Asserts that a legend has the namespace of a workload if there is one.
fn assert_legends_name_workloads(prometheus: &Prometheus) {
    let all = ["cluster", "node", "namespace", "service", "workload"].map(|name| (name, ".*"));
    let mut shown = BTreeSet::new();
    for query in dashboards::all().iter().flat_map(dashboards::Dashboard::queries) {
        let Some(legend) = query.legend.filter(|legend| legend.contains("_prefix}}")) else { continue };
        let result = prometheus.query(&substitute(&query.expression, &all)).unwrap();
        shown.extend(result.iter().map(|series| rendered(&legend, &series.labels)));
    }
    let is_cut = |name: &&String| name.starts_with('/') || name.contains(" /") || name.contains("{{");
    assert_eq!(shown.iter().find(is_cut), None, "{shown:#?}");
    for name in ["shop/web → shop/db", "tool → shop/db", "shop/web", "tool", "shop/db"] {
        assert!(shown.contains(name), "{name}: {shown:#?}");
    }
}

/// Returns the legend of a series as Grafana shows it: a label that the series does not have is empty.
fn rendered(legend: &str, labels: &BTreeMap<String, String>) -> String {
    let mut parts = legend.split("{{");
    let mut text = parts.next().unwrap().to_owned();
    for part in parts {
        let (label, rest) = part.split_once("}}").unwrap();
        text += labels.get(label).map_or("", String::as_str);
        text += rest;
    }
    text
}

/// Returns the configuration of Prometheus, like that of docker/compose with a cluster.
fn config(source: &Source) -> Value {
    let job = |name: &str, target: &str| {
        let labels = json!({"instance": "node-1", "cluster": "test"});
        json!({"job_name": name, "static_configs": [{"targets": [target], "labels": labels}]})
    };
    json!({
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": files::rules(),
        "scrape_configs": [
            job("longwave", &source.exporter.to_string()),
            job("longwave-self", &source.telemetry()),
        ],
    })
}

/// Returns the queries of a dashboard: with `All`, and with one value of each variable.
fn of_dashboard(dashboard: &dashboards::Dashboard) -> Vec<Query> {
    let mut queries = Vec::new();
    let one = [("cluster", "test"), ("node", "node-1"), ("namespace", "shop"), ("service", "db")];
    let as_client = [&one[..], &[("workload", "web")]].concat();
    let as_server = [&one[..], &[("workload", "db")]].concat();
    let all = ["cluster", "node", "namespace", "service", "workload"].map(|name| (name, ".*"));
    for query in dashboard.queries() {
        // A panel on servers selects the destination by the workload.
        let is_on_servers = query.expression.contains("destination_workload_name=~");
        let one = if is_on_servers { &as_server } else { &as_client };
        for (values, named) in [(&all[..], "All"), (one, "one")] {
            queries.push(Query {
                place: format!("{} ({named})", query.place),
                expression: substitute(&query.expression, values),
                label: None,
            });
        }
    }
    for variable in dashboard.variables().iter().filter(|variable| variable["type"] == "query") {
        let text = variable["query"]["query"].as_str().unwrap();
        let name = variable["name"].as_str().unwrap();
        let (expression, label) = match text.strip_prefix("label_values(") {
            Some(rest) => rest.strip_suffix(')').unwrap().rsplit_once(", ").unwrap(),
            None => (text.strip_prefix("query_result(").unwrap().strip_suffix(')').unwrap(), name),
        };
        queries.push(Query {
            place: format!("{}: variable {name}", dashboard.name),
            expression: substitute(expression, &all),
            label: Some(label.to_owned()),
        });
    }
    queries
}

fn substitute(expression: &str, values: &[(&str, &str)]) -> String {
    let mut text = expression.replace("$__rate_interval", "1m");
    for (name, value) in values {
        text = text.replace(&format!("${name}"), value);
    }
    text
}

/// Returns a query for each recording rule, and for each metric of an alert.
fn of_rules() -> Vec<Query> {
    let mut queries = Vec::new();
    let mut names = BTreeSet::new();
    for path in files::rules() {
        let rules: Value = serde_yaml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        for rule in
            rules["groups"].as_array().unwrap().iter().flat_map(|group| group["rules"].as_array().unwrap())
        {
            match rule["record"].as_str() {
                Some(name) => names.extend([name.to_owned()]),
                None => names.extend(metrics(rule["expr"].as_str().unwrap())),
            }
        }
    }
    queries.extend(names.into_iter().map(|name| Query {
        place: format!("rule on {name}"),
        expression: name,
        label: None,
    }));
    queries
}

/// Returns the names of metrics in an expression.
fn metrics(expression: &str) -> impl Iterator<Item = String> {
    let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':');
    let is_metric = |word: &&str| word.contains("longwave_") || word.starts_with("process_") || *word == "up";
    words.filter(is_metric).map(str::to_owned)
}

fn assert_rules_are_healthy(prometheus: &Prometheus) {
    let rules = prometheus.rules();
    assert!(rules.len() > 30, "{}", rules.len());
    let sick: Vec<String> = rules
        .iter()
        .filter(|rule| rule["health"] != "ok")
        .map(|rule| format!("{}: {} {}", rule["name"], rule["health"], rule["lastError"]))
        .collect();
    assert!(sick.is_empty(), "{sick:#?}");
}

// === impl Query ===

impl Query {
    /// Returns whether the result has a series with a number, and with the label.
    fn has_data(&self, prometheus: &Prometheus) -> Result<bool, String> {
        let result = prometheus.query(&self.expression)?;
        let has_label = |labels: &BTreeMap<String, String>| {
            self.label.as_ref().is_none_or(|label| labels.get(label).is_some_and(|value| !value.is_empty()))
        };
        Ok(result.iter().any(|series| series.value.is_finite() && has_label(&series.labels)))
    }
}
