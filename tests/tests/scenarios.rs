//! Runs the scenarios of the other tests without Longwave.
#![allow(clippy::unwrap_used)]

use std::process::ExitCode;

use longwave_testing::netns::{Netns, VethPair};
use longwave_testing::{gate, harness, tests};
use longwave_tests::churn::Churn;
use longwave_tests::nft::{self, Hook};
use longwave_tests::scenario::{self, ANYWHERE, Scenario, UNDER_LOSS, play};
use longwave_tests::{Family, Network, PlayedConnection, peer};

/// Asserts, for connections whose data arrived, that no end read more than the other wrote, and that cookies differ.
fn assert_plausible(connections: &[PlayedConnection]) {
    for connection in connections.iter().filter(|connection| connection.arrived) {
        let [client, server] = connection.ends.as_slice() else { panic!("{}: one end", connection.name) };
        assert!(server.read <= client.written && client.read <= server.written, "{connection:?}");
        assert_ne!(client.cookie, server.cookie, "{}", connection.name);
    }
}

fn play_all(scenarios: &[Scenario], network: &Network) {
    for scenario in scenarios {
        assert_plausible(&play(&[*scenario], network));
    }
}

/// *Scenario*: every scenario on loopback, with each address family, without privileges.
/// *Guarantees*: all work.
fn anywhere() {
    let _turn = gate::alone();
    for family in Family::ALL {
        play_all(ANYWHERE, &Network::loopback(family));
    }
    assert_plausible(
        &scenario::self_connect(&Network::loopback(Family::V4))
            .unwrap()
            .into_iter()
            .skip(1)
            .collect::<Vec<_>>(),
    );
}

/// *Scenario*: 2,040 connections of [`Churn`].
/// *Guarantees*: each connection has two cookies, and all cookies are different.
fn churn() {
    let _turn = gate::alone();
    let ends = Churn::new(2).run(2_000, None);
    let together = Churn::new(1).run_together(20, 2);
    let mut cookies = [ends, together].concat().iter().map(|end| end.cookie).collect::<Vec<_>>();
    cookies.sort_unstable();
    cookies.dedup();
    assert_eq!(cookies.len(), 2 * (2_000 + 40));
}

/// *Scenario*: every scenario in a namespace and between two, fast open, a forced simultaneous close, a network failure, and lost segments.
/// *Guarantees*: all work.
fn in_namespaces() {
    let _turn = gate::privileged();
    let netns = Netns::new();
    play_all(ANYWHERE, &Network::inside(&netns, Family::V4));
    assert_plausible(&scenario::fast_open(&Network::inside(&netns, Family::V6), &[&netns]).unwrap());
    let veth = VethPair::new();
    for family in Family::ALL {
        let network = Network::across(&veth, family);
        play_all(ANYWHERE, &network);
        for connections in [
            scenario::fast_open(&network, &[&veth.a, &veth.b]),
            scenario::simultaneous_close_forced(&network, &veth),
            scenario::network_failure(&network, &veth),
        ] {
            assert_plausible(&connections.unwrap());
        }
    }
    for hook in [Hook::Input, Hook::Output] {
        nft::drop_some(&veth.a, hook, 3);
        nft::drop_some(&veth.b, hook, 3);
        play_all(UNDER_LOSS, &Network::across(&veth, Family::V6));
    }
}

fn main() -> ExitCode {
    if harness::started_as(peer::ROLE) {
        peer::main();
        return ExitCode::SUCCESS;
    }
    harness::run(tests![anywhere, churn, in_namespaces,])
}
