//! The scenarios themselves, without Longwave: what the other tests stand on.
#![allow(clippy::unwrap_used)]

use std::time::Instant;

use longwave_testing::gate;
use longwave_testing::netns::{Netns, VethPair};
use longwave_tests::churn::Churn;
use longwave_tests::nft::{self, Hook};
use longwave_tests::scenario::{self, ANYWHERE, Scenario, UNDER_LOSS, play};
use longwave_tests::{Family, Place, Story, peer};

/// *Scenario*: not a test: this process is a peer of another test, where it was started as one.
/// *Guarantees*: nothing.
#[test]
fn peer_main() {
    peer::run_if_asked();
}

/// Where all data arrived, one end read what the other wrote (the rest was unread: no more than that).
fn assert_told(stories: &[Story]) {
    for story in stories.iter().filter(|story| story.arrived) {
        let [client, server] = story.ends.as_slice() else { panic!("{}: one end", story.name) };
        assert!(server.read <= client.written && client.read <= server.written, "{story:?}");
        assert_ne!(client.cookie, server.cookie, "{}", story.name);
    }
}

fn played(scenarios: &[Scenario], place: &Place) {
    for scenario in scenarios {
        let start = Instant::now();
        assert_told(&play(&[*scenario], place));
        eprintln!("{}: {} in {:?}", place.name, scenario.0, start.elapsed());
    }
}

/// *Scenario*: every life on loopback, each family; needs no privilege.
/// *Guarantees*: each can be played.
#[test]
fn anywhere() {
    let _turn = gate::alone();
    for family in Family::ALL {
        played(ANYWHERE, &Place::loopback(family));
    }
    assert_told(
        &scenario::self_connect(&Place::loopback(Family::V4))
            .unwrap()
            .into_iter()
            .skip(1)
            .collect::<Vec<_>>(),
    );
}

/// *Scenario*: the churn, for a moment.
/// *Guarantees*: two cookies for each connection, all different.
#[test]
fn churn() {
    let _turn = gate::alone();
    let happened = Churn::new(2).run(2_000, None);
    let held = Churn::new(1).run_held(20, 2);
    let mut cookies = [happened.ends, held.ends].concat().iter().map(|end| end.cookie).collect::<Vec<_>>();
    cookies.sort_unstable();
    cookies.dedup();
    assert_eq!(cookies.len(), 2 * (2_000 + 40));
}

/// *Scenario*: every life in a namespace and across two, with loss, fast open, and a network that goes away.
/// *Guarantees*: each can be played.
#[test]
fn in_namespaces() {
    let Some(_turn) = gate::privileged("in_namespaces") else { return };
    let netns = Netns::new();
    played(ANYWHERE, &Place::inside(&netns, Family::V4));
    assert_told(&scenario::fast_open(&Place::inside(&netns, Family::V6), &[&netns]).unwrap());
    let veth = VethPair::new();
    for family in Family::ALL {
        let place = Place::across(&veth, family);
        played(ANYWHERE, &place);
        for stories in [
            scenario::fast_open(&place, &[&veth.a, &veth.b]),
            scenario::simultaneous_close_forced(&place, &veth),
            scenario::lost_for_good(&place, &veth),
        ] {
            assert_told(&stories.unwrap());
        }
    }
    for hook in [Hook::Input, Hook::Output] {
        nft::drop_some(&veth.a, hook, 3);
        nft::drop_some(&veth.b, hook, 3);
        played(UNDER_LOSS, &Place::across(&veth, Family::V6));
    }
}
