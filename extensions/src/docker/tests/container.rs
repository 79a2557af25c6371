use bollard::models::{ContainerInspectResponse, ContainerSummary};
use longwave_pipeline::model::UnixNanos;

use super::super::address::{DaemonAddress, InvalidAddress};
use super::super::container::{Container, ContainerId, ContainerState};
use super::{end, id};

/// *Scenario*: one running container, as Docker 20.10 lists and inspects it.
/// *Guarantees*: both decode to the same: name without slash and link, addresses of both families with their networks, TCP ports published
/// on all addresses and on one, Compose labels.
#[test]
fn a_list_and_an_inspection_decode_to_the_same() {
    let networks = r#"{"bridge": {"Gateway": "172.17.0.1", "IPAddress": "172.17.0.2", "IPPrefixLen": 16,
        "IPv6Gateway": "fd00::1", "GlobalIPv6Address": "fd00::2", "GlobalIPv6PrefixLen": 64},
        "none": {"IPAddress": "", "IPPrefixLen": 0, "GlobalIPv6Address": ""}}"#;
    let labels = r#"{"com.docker.compose.project": "shop", "com.docker.compose.service": "web"}"#;
    let listed = format!(
        r#"{{"Id": "{}", "Names": ["/db/alias", "/web"], "Image": "lwbox", "Created": 5, "State": "running", "Labels": {labels},
        "Ports": [{{"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"}}, {{"IP": "::", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"}},
        {{"IP": "192.0.2.1", "PrivatePort": 81, "PublicPort": 8081, "Type": "tcp"}}, {{"IP": "0.0.0.0", "PrivatePort": 53, "PublicPort": 53, "Type": "udp"}}, {{"PrivatePort": 90, "Type": "tcp"}}],
        "HostConfig": {{"NetworkMode": "default"}}, "NetworkSettings": {{"Networks": {networks}}}, "Mounts": []}}"#,
        id('a')
    );
    let inspected = format!(
        r#"{{"Id": "{}", "Name": "/web", "Config": {{"Image": "lwbox", "Labels": {labels}}},
        "State": {{"Status": "running", "Running": true, "StartedAt": "2026-11-21T11:53:52.5Z", "FinishedAt": "0001-01-01T00:00:00Z"}},
        "NetworkSettings": {{"Networks": {networks}, "Ports": {{"90/tcp": null, "53/udp": [{{"HostIp": "0.0.0.0", "HostPort": "53"}}],
        "80/tcp": [{{"HostIp": "::", "HostPort": "8080"}}, {{"HostIp": "0.0.0.0", "HostPort": "8080"}}], "81/tcp": [{{"HostIp": "192.0.2.1", "HostPort": "8081"}}]}}}}}}"#,
        id('a')
    );
    let listed = Container::from_summary(serde_json::from_str::<ContainerSummary>(&listed).unwrap()).unwrap();
    let mut inspected =
        Container::from_inspection(serde_json::from_str::<ContainerInspectResponse>(&inspected).unwrap())
            .unwrap();
    assert_eq!(
        inspected.state,
        ContainerState::Running { since: Some(UnixNanos(1_795_262_032_500_000_000)) }
    );
    assert_eq!(listed.state, ContainerState::Running { since: Some(UnixNanos(5_000_000_000)) });
    inspected.state = listed.state;
    assert_eq!(listed, inspected);
    assert_eq!((listed.name.as_str(), listed.compose()), ("web", Some(("shop", "web"))));
    let addresses: Vec<String> =
        listed.attached.iter().map(|attached| attached.address.to_string()).collect();
    assert_eq!(addresses, ["172.17.0.2", "fd00::2"]);
    assert_eq!(listed.attached[0].subnet.unwrap().to_string(), "172.17.0.0/16");
    assert_eq!(listed.published, [end("0.0.0.0", 8080), end("192.0.2.1", 8081), end("::", 8080)]);
}

/// *Scenario*: containers that were created and that ended, one in the host's network, and empty responses.
/// *Guarantees*: each has its state, and nothing is invented for an empty response.
#[test]
fn each_state_is_decoded() {
    let container = |state: &str| {
        let text = format!(
            r#"{{"Id": "{}", "Name": "/a", "State": {state}, "NetworkSettings": {{"Networks": {{"host": {{"IPAddress": ""}}}}}}}}"#,
            id('a')
        );
        Container::from_inspection(serde_json::from_str(&text).unwrap()).unwrap()
    };
    let none = "0001-01-01T00:00:00Z";
    let made = container(&format!(r#"{{"Running": false, "StartedAt": "{none}", "FinishedAt": "{none}"}}"#));
    assert_eq!((made.state, made.attached.len()), (ContainerState::Created, 0));
    let ended = container(
        r#"{"Running": false, "StartedAt": "1970-01-01T00:00:01Z", "FinishedAt": "1970-01-01T00:00:02Z"}"#,
    );
    assert_eq!(ended.state, ContainerState::Ended { at: Some(UnixNanos(2_000_000_000)) });
    assert_eq!(Container::from_inspection(ContainerInspectResponse::default()), None);
    assert_eq!(Container::from_summary(ContainerSummary::default()), None);
}

/// *Scenario*: times of Docker and Podman, and texts that are not times.
/// *Guarantees*: nanoseconds and offsets are read. The year 1 is no time.
#[test]
fn times_are_parsed_as_daemons_write_them() {
    for (text, nanos) in [
        ("1970-01-01T00:00:00Z", Some(0)),
        ("2026-11-21T11:53:52.123456789Z", Some(1_795_262_032_123_456_789)),
        ("2026-11-21T13:53:52.1+02:00", Some(1_795_262_032_100_000_000)),
        ("2026-11-21 04:53:52-07:00", Some(1_795_262_032_000_000_000)),
        ("2024-02-29T00:00:00Z", Some(1_709_164_800_000_000_000)),
        ("0001-01-01T00:00:00Z", None),
        ("2026-13-01T00:00:00Z", None),
        ("2026-11-21T11:53Z", None),
        ("now", None),
        ("", None),
    ] {
        assert_eq!(crate::rfc3339::parse(text), nanos.map(UnixNanos), "{text}");
    }
}

/// *Scenario*: endpoints of every kind, and container ids.
/// *Guarantees*: an unsupported endpoint is refused with a remedy. A container id has 64 hex digits.
#[test]
fn endpoints_and_ids_are_checked() {
    let unix = DaemonAddress::Unix("/var/run/docker.sock".to_owned());
    assert_eq!("unix:///var/run/docker.sock".parse(), Ok(unix));
    assert_eq!("tcp://[::1]:2375/".parse(), Ok(DaemonAddress::Tcp("[::1]:2375".to_owned())));
    assert_eq!("ssh://host".parse::<DaemonAddress>(), Err(InvalidAddress::Scheme("ssh".to_owned())));
    for text in
        ["unix://docker.sock", "/var/run/docker.sock", "tcp://host", "http://:80", "http://host:0", ""]
    {
        assert_eq!(text.parse::<DaemonAddress>(), Err(InvalidAddress::Malformed(text.to_owned())), "{text}");
    }
    assert_eq!(ContainerId::parse(&id('e')).unwrap().to_string(), id('e'));
    assert_eq!(ContainerId::parse("eee"), None);
    assert_eq!(ContainerId::parse(&id('g')), None);
}
