//! Installs the rules of the cluster. Removes them, and the rules that kube-proxy and the kubelet have left.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::layout::{POD_CIDR, TABLE};
use crate::sh;

/// An nftables table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Table {
    family: String,
    name: String,
}

/// Returns all tables of the machine.
pub fn tables() -> Result<Vec<Table>> {
    let ruleset = ruleset()?;
    Ok(ruleset.iter().filter_map(|object| table(object.get("table")?, "name")).collect())
}

/// Accepts the packets of pods, and masquerades those that leave the node. Docker sets the policy of the chain FORWARD to DROP. A packet
/// that this chain drops is dropped even if another table accepts it, so the rules that accept are in this chain.
pub fn install() -> Result<()> {
    for rule in forward_rules() {
        sh::run(Command::new("iptables").args(["-w", "30", "-I", "FORWARD"]).args(rule))?;
    }
    let hook = "type nat hook postrouting priority 100;";
    let leaving = format!("ip saddr {POD_CIDR} ip daddr != {POD_CIDR}");
    nft(&format!(
        "add table ip {TABLE}\nadd chain ip {TABLE} postrouting {{ {hook} }}\n\
         add rule ip {TABLE} postrouting {leaving} masquerade\n"
    ))
}

fn forward_rules() -> [Vec<&'static str>; 2] {
    let comment = ["-m", "comment", "--comment", TABLE, "-j", "ACCEPT"];
    ["-s", "-d"].map(|end| [end, POD_CIDR].into_iter().chain(comment).collect())
}

/// Removes the rules of the cluster and of kube-proxy, and then the tables that are not in `before` and are empty.
pub fn remove(before: &[Table]) -> Result<()> {
    for rule in forward_rules() {
        // Fails if the rule does not exist, as after an `up` that failed early.
        let _ = sh::output_silent(Command::new("iptables").args(["-w", "30", "-D", "FORWARD"]).args(rule));
    }
    nft(&removal(&ruleset()?))?;
    let now = ruleset()?;
    nft(&empty_tables(&now, before))
}

/// Lists the rules of the cluster that still exist.
pub fn leftovers() -> Result<Vec<String>> {
    Ok(removal(&ruleset()?).lines().map(|line| format!("nftables: still to be removed: {line}")).collect())
}

/// Returns the `nft` commands that remove the jumps to Kubernetes' chains, these chains, and the tables of the cluster.
fn removal(ruleset: &[Value]) -> String {
    let mut commands = String::new();
    let ours = |table: &Table| table.name == "kube-proxy" || table.name == TABLE;
    for object in ruleset {
        let Some(rule) = object.get("rule") else { continue };
        let Some(table) = table(rule, "table").filter(|table| !ours(table)) else { continue };
        let chain = rule["chain"].as_str().unwrap_or_default();
        if !kubernetes_chain(chain) && jumps_to_kubernetes(&rule["expr"]) {
            commands.push_str(&format!("delete rule {table} {chain} handle {}\n", rule["handle"]));
        }
    }
    // All chains are flushed before the first is deleted, because they refer to each other.
    let chains: Vec<(Table, &str)> = ruleset
        .iter()
        .filter_map(|object| Some((table(object.get("chain")?, "table")?, object["chain"]["name"].as_str()?)))
        .filter(|(table, name)| !ours(table) && kubernetes_chain(name))
        .collect();
    for verb in ["flush", "delete"] {
        for (table, name) in &chains {
            commands.push_str(&format!("{verb} chain {table} {name}\n"));
        }
    }
    for table in ruleset.iter().filter_map(|object| table(object.get("table")?, "name")).filter(ours) {
        commands.push_str(&format!("delete table {table}\n"));
    }
    commands
}

/// Returns the `nft` commands that remove new tables without rules, if all their chains accept everything.
fn empty_tables(ruleset: &[Value], before: &[Table]) -> String {
    let mut used: BTreeSet<Table> = before.iter().cloned().collect();
    for object in ruleset {
        let Some((kind, value)) = object.as_object().and_then(|object| object.iter().next()) else {
            continue;
        };
        // A chain without a hook is the target of another program's jump. A set belongs to another program's rule.
        let harmless = kind == "table"
            || kind == "metainfo"
            || (kind == "chain" && value["policy"].as_str().is_some_and(|policy| policy == "accept"));
        if !harmless {
            used.extend(table(value, "table"));
        }
    }
    let tables = ruleset.iter().filter_map(|object| table(object.get("table")?, "name"));
    tables.filter(|table| !used.contains(table)).map(|table| format!("delete table {table}\n")).collect()
}

fn table(object: &Value, key: &str) -> Option<Table> {
    let text = |key: &str| object[key].as_str().map(str::to_owned);
    Some(Table { family: text("family")?, name: text(key)? })
}

fn kubernetes_chain(name: &str) -> bool {
    name.starts_with("KUBE-")
}

fn jumps_to_kubernetes(expressions: &Value) -> bool {
    let target = |expression: &Value| {
        let verdict = expression.get("jump").or_else(|| expression.get("goto"))?;
        Some(kubernetes_chain(verdict["target"].as_str()?))
    };
    expressions.as_array().is_some_and(|all| all.iter().any(|expression| target(expression) == Some(true)))
}

fn ruleset() -> Result<Vec<Value>> {
    let text = sh::output(Command::new("nft").args(["--json", "--handle", "list", "ruleset"]))?;
    let mut parsed: Value = serde_json::from_str(&text).context("cluster: the output of nft")?;
    match parsed["nftables"].take() {
        Value::Array(objects) => Ok(objects),
        _ => bail!("cluster: the output of nft has no list `nftables`"),
    }
}

/// Runs `nft` commands in one transaction.
fn nft(commands: &str) -> Result<()> {
    if commands.is_empty() {
        return Ok(());
    }
    let mut child = Command::new("nft")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .context("cluster: nft could not be started: install nftables")?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(commands.as_bytes()).context("cluster: write to nft")?;
    }
    let status = child.wait().context("cluster: wait for nft")?;
    if !status.success() {
        bail!("cluster: nft: {status}: {commands}");
    }
    Ok(())
}

// === impl Table ===

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.family, self.name)
    }
}

#[cfg(test)]
mod tests;
