//! An address that two pods have, one after the other, in one interval.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use longwave_tests::api_server::ApiServer;
use longwave_tests::cgroup::Cgroup;
use longwave_tests::cluster::Cluster;
use longwave_tests::faulty_proxy::FaultyProxy;
use serde_json::json;

use crate::greeter::{Call, Greeter, caller, pod, pod_spec, source};
use crate::running::{admin, cluster, is_from, release, start, word};
use crate::{DEFAULT_PODS, LIMIT};

/// Interval in seconds.
const INTERVAL: u64 = 60;
/// Number of calls of each pod.
const CALLS: u32 = 3;
/// Maximum number of rounds. One round with late and one with immediate updates must be within one interval.
const ROUNDS: u32 = 8;

/// *Scenario*: a pod calls and is deleted. The next pod gets the same address from the network plugin and calls, in the same interval. In
/// every second round, Longwave receives the updates of both pods only after both have called. Longwave reports only the sockets of the
/// test. So it looks up the pods by their addresses, like pods of other nodes.
/// *Guarantees*: every connection has the name of the pod that opened it.
pub fn a_reused_address_names_the_pod_of_its_time() {
    let cluster = cluster();
    let own = Cgroup::new("recycled");
    // An accepted connection belongs to the cgroup of its listener.
    let greeter = own.within(|| Greeter::start(&cluster.info.node_ip));
    // Longwave waits for a name only if the address is near the addresses of pods. So one pod must exist before.
    cluster.create(DEFAULT_PODS, &pod("neighbour", pod_spec("exec sleep 10000")));
    cluster.wait(&format!("{DEFAULT_PODS}/neighbour"), |pod| pod.contains("podIP"));
    let proxy = FaultyProxy::new(ApiServer::of(&cluster.info));
    proxy.listen();
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = proxy.kubeconfig(folder.path(), &admin(&cluster));
    let extra = json!({
        "receivers": {"bpf": {"interval": format!("{INTERVAL}s"), "cgroup": own.path()}},
        "processors": {"workload": {"hold": format!("{INTERVAL}s")}},
    });
    let longwave = start(&kubeconfig, &cluster.info.node, &[greeter.address.port()], extra);

    let (mut immediate, mut late) = (0, 0);
    for round in 0..ROUNDS {
        let is_late = round % 2 == 1;
        proxy.set(|behaviour| behaviour.stalled = is_late);
        let names = [format!("first-{round}"), format!("second-{round}")];
        let calls = names.each_ref().map(|name| calls_of_new_pod(name, &cluster, &greeter));
        proxy.set(|behaviour| behaviour.stalled = false);
        // The address is free for the next round.
        remove(&names[1], &cluster);
        let all = calls.concat();
        let same_address = all.iter().all(|call| call.from.ip() == all[0].from.ip());
        let same_interval = all.iter().all(|call| call.at / INTERVAL == all[0].at / INTERVAL);
        if same_address && same_interval {
            *(if is_late { &mut late } else { &mut immediate }) += 1;
        }
        if immediate > 0 && late > 0 {
            break;
        }
    }
    assert!(immediate > 0 && late > 0, "no address was reused in an interval: {:?}", greeter.calls());

    // When Longwave names this pod, it has all earlier updates.
    cluster.create(DEFAULT_PODS, &pod("last", caller(greeter.address, Some(CALLS))));
    greeter.await_call("last", LIMIT);
    longwave.await_lines("the last pod", 0, LIMIT, |line| is_from(line, "destination", "Pod", "last"));
    let finished = longwave.stop();
    greeter.assert_right_names(&finished.lines);
    for call in greeter.calls() {
        let mut lines = finished.lines.iter().filter(|line| source(line) == Some(call.from));
        let named = lines.clone().any(|line| word(line, "source.k8s.pod.name") == call.pod);
        assert!(named, "{call:?}: {:?}", lines.next());
    }
    release(cluster);
}

/// Starts a pod, and returns its calls. If it is the first of a round, also removes it and makes its address the next one.
fn calls_of_new_pod(name: &str, cluster: &Cluster, greeter: &Greeter) -> Vec<Call> {
    cluster.create(DEFAULT_PODS, &pod(name, caller(greeter.address, Some(CALLS))));
    let of_pod = |calls: &[Call]| calls.iter().filter(|call| call.pod == name).count();
    greeter.wait(name, LIMIT, |calls| of_pod(calls) == CALLS as usize);
    let calls: Vec<Call> = greeter.calls().into_iter().filter(|call| call.pod == name).collect();
    if name.starts_with("first") {
        remove(name, cluster);
        assign_next(calls[0].from.ip(), cluster);
    }
    calls
}

fn remove(name: &str, cluster: &Cluster) {
    cluster.delete(&format!("{DEFAULT_PODS}/{name}"));
    cluster.wait(DEFAULT_PODS, |pods| !pods.contains(&format!("\"{name}\"")));
}

/// Makes the network plugin assign this address next: stores the previous address as the last that it assigned.
fn assign_next(address: IpAddr, cluster: &Cluster) {
    let IpAddr::V4(address) = address else { panic!("{address}: not IPv4") };
    let before = std::net::Ipv4Addr::from_bits(address.to_bits() - 1);
    let folder: PathBuf = cluster.folder().join("cni-addresses/longwave-cluster");
    let until = Instant::now() + LIMIT;
    while folder.join(address.to_string()).exists() {
        assert!(Instant::now() < until, "{address} is not released");
        // There is no event to wait for.
        std::thread::sleep(Duration::from_millis(20));
    }
    std::fs::write(folder.join("last_reserved_ip.0"), before.to_string()).unwrap();
}
