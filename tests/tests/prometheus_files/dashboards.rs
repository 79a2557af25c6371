//! The dashboards as files: variables, panels, units.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::files::docker;

/// A dashboard.
pub struct Dashboard {
    /// Name of the file without `.json`.
    pub name: String,
    pub json: Value,
}

/// An expression of a panel.
pub struct PanelQuery {
    /// Dashboard, panel and number of the query, for messages.
    pub place: String,
    pub expression: String,
    /// Name of each series in the legend, with labels as `{{label}}`. `None` for tables.
    pub legend: Option<String>,
}

/// Units of Grafana that the panels have.
const UNITS: [&str; 8] = ["Bps", "bytes", "s", "percentunit", "short", "none", "cps", "pps"];

/// Current version of Grafana's dashboard schema (Grafana 12).
const SCHEMA: u64 = 41;

/// Returns all dashboards, by name.
pub fn all() -> Vec<Dashboard> {
    let folder = std::fs::read_dir(docker().join("dashboards")).unwrap();
    let mut dashboards: Vec<Dashboard> = folder
        .map(|entry| {
            let path = entry.unwrap().path();
            let json = serde_json::from_str(&std::fs::read_to_string(&path).unwrap());
            let json = json.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            Dashboard { name: path.file_stem().unwrap().to_string_lossy().into_owned(), json }
        })
        .collect();
    dashboards.sort_by(|a, b| a.name.cmp(&b.name));
    dashboards
}

// === impl Dashboard ===

impl Dashboard {
    fn panels(&self) -> &[Value] {
        self.json["panels"].as_array().unwrap()
    }

    pub fn variables(&self) -> &[Value] {
        self.json["templating"]["list"].as_array().unwrap()
    }

    /// Returns the expressions of all panels.
    pub fn queries(&self) -> Vec<PanelQuery> {
        let mut queries = Vec::new();
        for panel in self.panels() {
            for target in panel["targets"].as_array().into_iter().flatten() {
                let title = panel["title"].as_str().unwrap();
                queries.push(PanelQuery {
                    place: format!("{}: {title}: {}", self.name, target["refId"].as_str().unwrap()),
                    expression: target["expr"].as_str().unwrap().to_owned(),
                    legend: target["legendFormat"].as_str().map(str::to_owned),
                });
            }
        }
        queries
    }
}

/// *Scenario*: all dashboards.
/// *Guarantees*: each has the variables for the data source, the cluster and the node, and those about traffic also for namespace and
/// workload. Each has a row on Longwave's own health. Every panel has the data source of the variable, a description and a unit that Grafana
/// has. Every variable of a query exists. No legend has a `/` after a label, which is empty for a workload without a namespace.
pub fn are_complete() {
    let dashboards = all();
    let names: Vec<&str> = dashboards.iter().map(|dashboard| dashboard.name.as_str()).collect();
    assert_eq!(names, ["connections", "longwave", "nodes", "services", "workloads"]);
    for dashboard in &dashboards {
        let name = &dashboard.name;
        assert_eq!(dashboard.json["schemaVersion"], SCHEMA, "{name}");
        assert!(dashboard.json["uid"].as_str().unwrap().starts_with("longwave-"), "{name}");
        let variables: BTreeSet<&str> =
            dashboard.variables().iter().map(|variable| variable["name"].as_str().unwrap()).collect();
        let mut wanted = vec!["datasource", "cluster", "node"];
        if name != "longwave" {
            wanted.extend(["namespace", "workload"]);
            let has_row =
                dashboard.panels().iter().any(|panel| panel["type"] == "row" && panel["title"] == "Longwave");
            assert!(has_row, "{name}: no row on Longwave");
        }
        let missing: Vec<_> = wanted.into_iter().filter(|wanted| !variables.contains(wanted)).collect();
        assert!(missing.is_empty(), "{name}: variables {missing:?}");
        for panel in dashboard.panels().iter().filter(|panel| panel["type"] != "row") {
            assert_is_complete(name, panel);
        }
        for query in dashboard.queries() {
            for variable in query.expression.split('$').skip(1) {
                let end =
                    variable.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(variable.len());
                let variable = &variable[..end];
                // The group of a regular expression in `label_replace`.
                let is_group = variable == "1";
                assert!(
                    is_group || variable == "__rate_interval" || variables.contains(variable),
                    "{}: ${variable}",
                    query.place
                );
            }
            let legend = query.legend.unwrap_or_default();
            assert!(!legend.contains("}}/"), "{}: {legend}", query.place);
        }
    }
}

fn assert_is_complete(dashboard: &str, panel: &Value) {
    let place = format!("{dashboard}: {}", panel["title"]);
    assert_eq!(panel["datasource"]["uid"], "${datasource}", "{place}");
    assert!(panel["description"].as_str().is_some_and(|text| text.len() > 10), "{place}: no description");
    assert!(panel["targets"].as_array().is_some_and(|targets| !targets.is_empty()), "{place}: no query");
    let fields = &panel["fieldConfig"];
    let mut units: Vec<&str> = fields["defaults"]["unit"].as_str().into_iter().collect();
    for overridden in fields["overrides"].as_array().unwrap() {
        let properties = overridden["properties"].as_array().unwrap();
        units.extend(
            properties
                .iter()
                .filter(|property| property["id"] == "unit")
                .filter_map(|unit| unit["value"].as_str()),
        );
    }
    assert!(!units.is_empty(), "{place}: no unit");
    assert!(units.iter().all(|unit| UNITS.contains(unit)), "{place}: {units:?}");
}

/// *Scenario*: all panels of each dashboard.
/// *Guarantees*: ids are unique. Panels are within the 24 columns and do not overlap.
pub fn have_panels_that_do_not_overlap() {
    for dashboard in all() {
        let mut ids = BTreeSet::new();
        let mut cells = BTreeSet::new();
        for panel in dashboard.panels() {
            let place = format!("{}: {}", dashboard.name, panel["title"]);
            assert!(ids.insert(panel["id"].as_u64().unwrap()), "{place}: id");
            let [x, y, w, h] = ["x", "y", "w", "h"].map(|key| panel["gridPos"][key].as_u64().unwrap());
            assert!(w > 0 && h > 0 && x + w <= 24, "{place}: {}", panel["gridPos"]);
            for cell in (x..x + w).flat_map(|column| (y..y + h).map(move |row| (column, row))) {
                assert!(cells.insert(cell), "{place}: overlaps another panel");
            }
        }
    }
}
