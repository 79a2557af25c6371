use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use longwave_config::{Network, PortRange};
use longwave_pipeline::component::Directory;
use longwave_pipeline::model::UnixNanos;
use proptest::prelude::*;

use super::super::networks::{NetworkEntry, Networks};
use super::{directory, end, name_at, rules, service, workload_at};

const FILE: &str = r#"
rules:
  - {cidrs: [10.0.0.0/8], workload: {name: wide}}
  - {cidrs: [10.1.0.0/16, "fd00::/8"], workload: {name: narrow, kind: Machine, namespace: lab}}
  - {cidrs: 10.1.2.3, ports: "8000-8999", workload: {name: range}}
  - {cidrs: 10.1.2.3, ports: [8080, 9090], workload: {name: port}}
  - {cidrs: 10.1.2.3, ports: "8080-8090", workload: {name: narrow range}}
  - {cidrs: 10.1.0.0/16, service: {name: lab-api, namespace: lab}}
  - {ports: [5432], workload: {name: some database}, service: {name: database}}
"#;

/// *Scenario*: rules whose networks and ports contain each other, in any order in the file.
/// *Guarantees*: the longest prefix wins. If the prefixes are equal, the rule with ports wins, and among those the one with fewer ports. A
/// client's port 0 matches only rules without ports. A rule that has only ports applies to all addresses and wins over no rule with
/// networks. Kind and namespace are those of the rule. The default kind is `External`.
#[test]
fn the_most_specific_rule_wins() {
    let directory = directory(FILE);
    for (address, port, name) in [
        ("10.9.9.9", 80, "wide"),
        ("10.1.9.9", 80, "narrow"),
        ("10.1.2.3", 0, "narrow"),
        ("10.1.2.3", 8500, "range"),
        ("10.1.2.3", 8081, "narrow range"),
        ("10.1.2.3", 8080, "port"),
        ("10.1.2.3", 9090, "port"),
        ("10.1.2.3", 5432, "narrow"),
        ("192.0.2.1", 5432, "some database"),
        ("2001:db8::1", 5432, "some database"),
        ("192.0.2.1", 80, "-"),
        ("fd12::1", 443, "narrow"),
        ("::ffff:10.1.9.9", 80, "narrow"),
        ("9.255.255.255", 80, "-"),
        ("11.0.0.0", 80, "-"),
    ] {
        assert_eq!(name_at(&directory, address, port), name, "{address}:{port}");
    }
    let narrow = workload_at(&directory, "10.1.9.9", 1).unwrap();
    assert_eq!((&*narrow.kind, &*narrow.namespace), ("Machine", "lab"));
    assert_eq!(&*workload_at(&directory, "10.9.9.9", 1).unwrap().kind, "External");
}

/// *Scenario*: a rule with a service and one with a workload, for nested networks.
/// *Guarantees*: services and workloads are found separately. A service is found by its own address and by that of a backend. No result is
/// pending, and no address is translated.
#[test]
fn services_are_found_separately() {
    let directory = directory(FILE);
    let at = UnixNanos(1);
    assert_eq!(service(directory.service_of_address(end("10.1.2.3", 8080), at)), "lab/lab-api");
    assert_eq!(service(directory.service_of_backend(end("10.1.2.3", 5432), at)), "lab/lab-api");
    assert_eq!(service(directory.service_of_backend(end("10.2.0.1", 5432), at)), "/database");
    assert_eq!(service(directory.service_of_address(end("10.2.0.1", 80), at)), "-");
    assert!(!directory.is_translated("10.1.2.3".parse().unwrap()));
}

/// *Scenario*: two rules name the same network and ports.
/// *Guarantees*: the first wins, and a warning names the second.
#[test]
fn the_first_of_equals_wins_and_a_warning_names_the_other() {
    let text = "rules:\n- {cidrs: [192.0.2.1, 192.0.2.2], workload: {name: a}}\n- {cidrs: 192.0.2.1/32, workload: {name: b}}\n";
    let directory = directory(text);
    assert_eq!(name_at(&directory, "192.0.2.1", 1), "a");
    assert_eq!(
        rules(text).warnings(),
        [
            "rules::1: its names are not used for anything that rules::0 also matches, because the first match wins"
        ]
    );
}

fn networks() -> impl Strategy<Value = Network> {
    // Few addresses, so that networks are nested, adjacent, and at both ends of the address space.
    let v4 = (prop_oneof![0_u32..16, (u32::MAX - 16)..=u32::MAX], 26_u8..=32)
        .prop_map(|(address, prefix)| (IpAddr::V4(Ipv4Addr::from(address)), prefix));
    let v6 = (prop_oneof![0_u128..16, (u128::MAX - 16)..=u128::MAX], 122_u8..=128)
        .prop_map(|(address, prefix)| (IpAddr::V6(Ipv6Addr::from(address)), prefix));
    let wide = prop_oneof![
        Just((IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0_u8)),
        Just((IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0_u8))
    ];
    prop_oneof![8 => v4, 8 => v6, 1 => wide].prop_map(|(address, prefix)| {
        let network = ipnet_text(address, prefix);
        network.parse().unwrap()
    })
}

fn ipnet_text(address: IpAddr, prefix: u8) -> String {
    let masked = match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from(u32::from(address) & mask))
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from(u128::from(address) & mask))
        }
    };
    format!("{masked}/{prefix}")
}

fn ports() -> impl Strategy<Value = Option<PortRange>> {
    let range = (1_u16..6, 0_u16..3).prop_map(|(first, more)| {
        let text = if more == 0 { format!("{first}") } else { format!("{first}-{}", first + more) };
        text.parse().ok()
    });
    prop_oneof![Just(None), range]
}

fn naive(entries: &[(Network, Option<PortRange>)], address: IpAddr, port: u16) -> Option<usize> {
    let width = |ports: &PortRange| u32::from(ports.last() - ports.first());
    entries
        .iter()
        .enumerate()
        .filter(|(_, (network, ports))| {
            network.contains(&address) && ports.is_none_or(|ports| ports.contains(port))
        })
        .min_by_key(|(index, (network, ports))| {
            let prefix = u32::from(network.prefix().prefix_len());
            (u32::MAX - prefix, ports.as_ref().map_or(u32::MAX, width), ports.map(PortRange::first), *index)
        })
        .map(|(index, _)| index)
}

proptest! {
    /// *Scenario*: any rules, nested, disjoint, adjacent, at both ends of the address space, of both families, with and without ports.
    /// *Guarantees*: the table finds the same rule as a walk over all rules.
    #[test]
    fn the_table_finds_what_a_walk_over_all_rules_finds(
        entries in prop::collection::vec((networks(), ports()), 0..40),
        lookups in prop::collection::vec((0_u32..80, any::<bool>(), any::<bool>(), 0_u16..9), 40),
    ) {
        let list = entries.iter().enumerate();
        let (table, _) = Networks::new(
            list.map(|(rule, (network, ports))| NetworkEntry { network: *network, ports: *ports, value: rule, rule }).collect(),
        );
        for (offset, high, v6, port) in lookups {
            let address = match (v6, high) {
                (false, false) => IpAddr::V4(Ipv4Addr::from(offset)),
                (false, true) => IpAddr::V4(Ipv4Addr::from(u32::MAX - offset)),
                (true, false) => IpAddr::V6(Ipv6Addr::from(u128::from(offset))),
                (true, true) => IpAddr::V6(Ipv6Addr::from(u128::MAX - u128::from(offset))),
            };
            prop_assert_eq!(table.find(address, port).copied(), naive(&entries, address, port), "{} {}", address, port);
        }
    }
}
