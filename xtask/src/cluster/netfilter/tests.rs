use serde_json::{Value, json};

use super::{Table, empty_tables, removal};

fn ruleset() -> Vec<Value> {
    let chain = |table: &str, name: &str, policy: Option<&str>| {
        let mut chain = json!({"family": "ip", "table": table, "name": name});
        if let Some(policy) = policy {
            chain["policy"] = policy.into();
        }
        json!({"chain": chain})
    };
    let jump = |chain: &str, target: &str, handle: u32| {
        json!({"rule": {"family": "ip", "table": "nat", "chain": chain, "handle": handle,
            "expr": [{"xt": null}, {"jump": {"target": target}}]}})
    };
    vec![
        json!({"metainfo": {"version": "1.0.6"}}),
        json!({"table": {"family": "ip", "name": "nat"}}),
        chain("nat", "PREROUTING", Some("accept")),
        chain("nat", "KUBE-SERVICES", None),
        chain("nat", "KUBE-SVC-X", None),
        chain("nat", "DOCKER", None),
        jump("PREROUTING", "KUBE-SERVICES", 7),
        jump("PREROUTING", "DOCKER", 8),
        jump("KUBE-SERVICES", "KUBE-SVC-X", 9),
        json!({"table": {"family": "ip6", "name": "kube-proxy"}}),
        json!({"table": {"family": "ip", "name": "mangle"}}),
        chain("mangle", "OUTPUT", Some("accept")),
        json!({"table": {"family": "ip", "name": "filter"}}),
        chain("filter", "FORWARD", Some("drop")),
    ]
}

/// *Scenario*: Kubernetes' chains beside Docker's in one table, and kube-proxy's own table.
/// *Guarantees*: the jumps to Kubernetes' chains, these chains and the table are removed. Docker's chains and jumps are not.
#[test]
fn only_the_rules_of_kubernetes_are_removed() {
    let expected = "delete rule ip nat PREROUTING handle 7\n\
                    flush chain ip nat KUBE-SERVICES\nflush chain ip nat KUBE-SVC-X\n\
                    delete chain ip nat KUBE-SERVICES\ndelete chain ip nat KUBE-SVC-X\n\
                    delete table ip6 kube-proxy\n";
    assert_eq!(removal(&ruleset()), expected);
}

/// *Scenario*: a table with rules of another program, one whose policy is drop, and empty ones.
/// *Guarantees*: a table is removed only if it is empty and did not exist before.
#[test]
fn only_new_and_empty_tables_are_removed() {
    assert_eq!(empty_tables(&ruleset(), &[]), "delete table ip6 kube-proxy\ndelete table ip mangle\n");
    let mangle = Table { family: "ip".into(), name: "mangle".into() };
    assert_eq!(empty_tables(&ruleset(), &[mangle]), "delete table ip6 kube-proxy\n");
}
