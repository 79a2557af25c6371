use std::net::IpAddr;

use longwave_pipeline::component::Directory;
use longwave_pipeline::model::UnixNanos;

use super::super::config::DockerConfig;
use super::super::container::{AttachedAddress, Container, ContainerId, ContainerState};
use super::super::container_table::UpdateSource;
use super::super::directory::{DaemonStatus, DockerDirectory};
use super::{end, id, name_at_address, name_of_id, service};

fn following() -> DockerDirectory {
    let directory = DockerDirectory::new(&DockerConfig::default());
    directory.set_status(DaemonStatus::Following);
    directory
}

fn container(digit: char, name: &str, addresses: &[&str]) -> Container {
    let attached = |address: &&str| AttachedAddress {
        address: address.parse().unwrap(),
        subnet: "172.17.0.0/16".parse().ok(),
        gateway: "172.17.0.1".parse().ok(),
    };
    Container {
        id: ContainerId::parse(&id(digit)).unwrap(),
        name: name.to_owned(),
        image: String::new(),
        labels: Default::default(),
        state: ContainerState::Running { since: Some(UnixNanos(1)) },
        attached: addresses.iter().map(attached).collect(),
        published: Vec::new(),
    }
}

fn event(at: u64, begun: bool) -> UpdateSource {
    UpdateSource::Event { at: UnixNanos(at), begun }
}

/// *Scenario*: a container is renamed and ends, and another one gets its address.
/// *Guarantees*: a record gets the name that was valid at its time. An id keeps its last name, an address does not.
#[test]
fn names_are_those_of_the_records_time() {
    let directory = following();
    directory.apply(&container('a', "one", &["172.17.0.2"]), event(100, true));
    directory.apply(&container('a', "two", &["172.17.0.2"]), event(200, false));
    let ended =
        Container { state: ContainerState::Ended { at: Some(UnixNanos(290)) }, ..container('a', "two", &[]) };
    directory.apply(&ended, event(300, false));
    directory.apply(&container('b', "three", &["172.17.0.2"]), event(400, true));
    for (at, by_id, by_address) in [
        (50, "one", "unknown"),
        (100, "one", "one"),
        (199, "one", "one"),
        (200, "two", "two"),
        (299, "two", "two"),
        (300, "two", "unknown"),
        (399, "two", "unknown"),
        (400, "two", "three"),
    ] {
        assert_eq!(
            (
                name_of_id(&directory, &id('a'), at).as_str(),
                name_at_address(&directory, "172.17.0.2", at).as_str()
            ),
            (by_id, by_address),
            "{at}"
        );
    }
}

/// *Scenario*: a container leaves one network for another while it runs.
/// *Guarantees*: each address is the container's while it is in that network.
#[test]
fn each_network_has_its_own_address() {
    let directory = following();
    directory.apply(&container('a', "web", &["172.17.0.2"]), event(100, true));
    directory.apply(&container('a', "web", &["172.17.0.2", "172.18.0.2"]), event(200, true));
    directory.apply(&container('a', "web", &["172.18.0.2"]), event(300, false));
    assert_eq!(name_at_address(&directory, "172.18.0.2", 199), "unknown");
    assert_eq!(name_at_address(&directory, "172.18.0.2", 200), "web");
    assert_eq!(name_at_address(&directory, "172.17.0.2", 299), "web");
    assert_eq!(name_at_address(&directory, "172.17.0.2", 300), "unknown");
}

/// *Scenario*: a container is found running by a list, long after it was started.
/// *Guarantees*: records since its start have its name.
#[test]
fn a_listed_container_has_its_name_since_its_start() {
    let directory = following();
    let source = UpdateSource::Poll { now: UnixNanos(1000), lost: UnixNanos(900) };
    directory.apply(&container('a', "web", &["172.17.0.2"]), source);
    assert_eq!(name_at_address(&directory, "172.17.0.2", 1), "web");
}

/// *Scenario*: a Compose service and a container outside Compose publish ports, on all addresses and on one.
/// *Guarantees*: a published port resolves to the service only at this host's addresses. The backend's address resolves to it too. The
/// addresses whose connections may be translated are known.
#[test]
fn published_ports_and_backends_resolve_to_the_service() {
    let directory = following();
    let own: IpAddr = "10.0.0.9".parse().unwrap();
    directory.refresh([own].into_iter().collect(), UnixNanos(1));
    let mut web = container('a', "shop-web-1", &["172.17.0.2"]);
    web.labels.insert("com.docker.compose.project".to_owned(), "shop".to_owned());
    web.labels.insert("com.docker.compose.service".to_owned(), "web".to_owned());
    web.published = vec![end("0.0.0.0", 8080)];
    let mut lone = container('b', "lone", &["172.17.0.3"]);
    lone.published = vec![end("192.0.2.1", 8081)];
    directory.apply(&web, event(100, true));
    directory.apply(&lone, event(100, true));
    directory.apply(&container('c', "inner", &["172.17.0.4"]), event(100, true));
    let resolved =
        |address, port, at| service(directory.service_of_address(end(address, port), UnixNanos(at)));
    assert_eq!(resolved("10.0.0.9", 8080, 100), "shop/web");
    assert_eq!(resolved("10.0.0.9", 8080, 99), "unknown");
    assert_eq!(resolved("198.51.100.1", 8080, 100), "unknown");
    assert_eq!(resolved("10.0.0.9", 8081, 100), "unknown");
    assert_eq!(resolved("192.0.2.1", 8081, 100), "/lone");
    let backend = |address| service(directory.service_of_backend(end(address, 80), UnixNanos(100)));
    assert_eq!((backend("172.17.0.2"), backend("172.17.0.3")), ("shop/web".to_owned(), "/lone".to_owned()));
    assert_eq!(backend("172.17.0.4"), "unknown");
    let translated = |address: &str| directory.is_translated(address.parse().unwrap());
    assert!(translated("10.0.0.9") && translated("192.0.2.1"));
    assert!(!translated("172.17.0.2") && !translated("127.0.0.1") && !translated("::1"));
    directory.end(web.id, UnixNanos(500));
    assert_eq!(
        (resolved("10.0.0.9", 8080, 499), resolved("10.0.0.9", 8080, 500)),
        ("shop/web".to_owned(), "unknown".to_owned())
    );
    assert!(!translated("10.0.0.9"));
}

/// *Scenario*: a cgroup has the id of a container that the daemon has not reported, in each status. Then the daemon has no such container.
/// *Guarantees*: it is pending only while a result may arrive, and is looked up once. A foreign id is looked up again only after several
/// lists.
#[test]
fn unknown_containers_are_looked_up_once() {
    let directory = DockerDirectory::new(&DockerConfig::default());
    assert_eq!(name_of_id(&directory, &id('a'), 1), "pending");
    assert_eq!(name_at_address(&directory, "172.17.0.2", 1), "pending");
    directory.set_status(DaemonStatus::Unreachable);
    assert_eq!(name_of_id(&directory, &id('a'), 1), "unknown");
    directory.set_status(DaemonStatus::Following);
    assert!(directory.take_requested().is_empty());
    assert_eq!(name_of_id(&directory, &id('a'), 1), "pending");
    assert_eq!(name_of_id(&directory, &id('a'), 1), "pending");
    let wanted = directory.take_requested();
    assert_eq!(wanted.len(), 1);
    let version = directory.version();
    directory.mark_foreign(wanted);
    assert_ne!(directory.version(), version);
    assert_eq!(name_of_id(&directory, &id('a'), 1), "unknown");
    assert_eq!(name_of_id(&directory, "", 1), "unknown");
    (0..5).for_each(|_| directory.refresh(Default::default(), UnixNanos(1)));
    assert_eq!(name_of_id(&directory, &id('a'), 1), "pending");
}

/// *Scenario*: records of now and of a while ago, with an address in a network of containers that no container has, and with the network's
/// gateway.
/// *Guarantees*: only an address that a container may have got a moment ago is pending.
#[test]
fn an_address_in_a_network_of_containers_is_pending() {
    let directory = following();
    directory.apply(&container('a', "web", &["172.17.0.2"]), event(100, true));
    let now = UnixNanos::now().0;
    assert_eq!(name_at_address(&directory, "172.17.0.9", now), "pending");
    assert_eq!(name_at_address(&directory, "172.17.0.9", now - 3_000_000_000), "unknown");
    assert_eq!(name_at_address(&directory, "172.17.0.1", now), "unknown");
    assert_eq!(name_at_address(&directory, "10.0.0.1", now), "unknown");
}

/// *Scenario*: ten thousand containers start and end, one after the other, with the same address.
/// *Guarantees*: the number of former values stays bounded, by age.
#[test]
fn churn_does_not_grow_the_table() {
    let directory = following();
    for round in 0..10_000_u64 {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&round.to_le_bytes());
        let container = Container { id: ContainerId(id), ..container('a', "job", &["172.17.0.2"]) };
        let at = round * 1_000_000_000;
        directory.apply(&container, event(at, true));
        directory.end(container.id, UnixNanos(at + 500_000_000));
        directory.refresh(Default::default(), UnixNanos(at));
    }
    assert_eq!(directory.table().len(), 0);
    assert!(directory.table().past_len() < 2_000, "{}", directory.table().past_len());
}
