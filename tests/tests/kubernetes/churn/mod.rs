//! Names while the cluster changes under traffic. Longwave is restarted. Deployments are scaled, restarted, deleted and replaced.

mod series;
pub mod talk;
mod truth;
mod verify;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use longwave_tests::cluster::Cluster;
use longwave_tests::otlp_json::FlatLog;
use serde_json::Value;

use crate::deployed::{Deployed, attribute};
use crate::manifests::{self, Talker};
use crate::steps::Steps;
use crate::{APPS, LIMIT, PODS, SERVICES};
use truth::{End, Truth};
use verify::{Moment, Service, Setting};

/// Address of a service, in the part of the range from which Kubernetes assigns no addresses.
const SHOP: &str = "10.96.0.201";
const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
/// Address of two services, of which the second is created after the first was deleted.
const TURN: &str = "10.96.0.202";

/// The workloads of the test.
struct Churn<'a> {
    cluster: &'a Cluster,
    /// Folder of the reports of the pods.
    folder: PathBuf,
}

/// *Scenario*: clients exchange data all the time, on long and short connections. They connect to two Deployments by the addresses of their
/// services, and to the pod of a StatefulSet by the address of the pod. Longwave is restarted. One Deployment is scaled up, scaled down and
/// restarted. The clients are restarted. The other Deployment is killed, and a third one gets the address of its pod and the address of its
/// service. Finally the clients are deleted.
/// *Guarantees*: every open, update, close and failure has the workload, pod and service of its time, as the pods reported them. This
/// applies to both reporters, to connections older than Longwave and to new ones. An unknown name is allowed, and counted, in three cases: for
/// the pod of a service if no server responded, for a service whose address is being reused, and for names whose look-up is pending when
/// Longwave stops. Each connection has one open and one close, with the bytes that its ends counted. The series of a deleted workload are
/// exported once with zeros, and then not again.
pub fn names_stay_true(cluster: &Cluster, deployed: &mut Deployed) {
    let temporary = tempfile::tempdir().unwrap();
    let churn = Churn { cluster, folder: temporary.path().to_owned() };
    let steps = Steps::new("churn");
    let step = |what: &str| steps.done(what);

    let shop_made = moment(|| churn.serve("shop", "Deployment", 2, 7300, Some(SHOP), false));
    churn.serve("store", "StatefulSet", 1, 7400, None, false);
    let first_made = moment(|| churn.serve("first", "Deployment", 1, 7500, Some(TURN), true));
    for (workload, pods) in [("shop", 2), ("store", 1), ("first", 1)] {
        churn.pods(workload, pods);
    }
    // For a connection to the address of a pod, Longwave finds the service by its backends, so the backend must exist before.
    cluster.wait(&format!("{SLICES}?labelSelector=kubernetes.io%2Fservice-name%3Dstore"), |slices| {
        let slices: Value = serde_json::from_str(slices).unwrap();
        slices["items"][0]["endpoints"][0]["conditions"]["ready"] == true
    });
    let store = churn.truth().of("store").map(|pod| pod.address).next().unwrap();
    let targets = format!("shop={SHOP}:80,store={store}:7400,turn={TURN}:80");
    churn.run(&Talker { targets: &targets, ..churn.talker("talker", "Deployment", 2) });
    churn.until("the clients talk", |truth| open_long_connections(truth, "talker").len() == 6);
    step("the clients talk");

    let from = talk::now();
    deployed.report_all_events(cluster);
    let downtime = Moment { from, to: talk::now() };
    step("Longwave was restarted");
    let older: Vec<[String; 2]> =
        open_long_connections(&churn.truth(), "talker").iter().map(|end| addresses(end)).collect();
    let named = deployed.wait(LIMIT, |logs, _| {
        older.iter().all(|ends| ["source", "destination"].iter().all(|end| is_reported(logs, end, ends)))
    });
    assert!(named, "older connections without an update; log of Longwave:\n{}", deployed.log(cluster));
    step("older connections are reported");

    cluster.kubectl(&["scale", "deployment/shop", "--replicas=4"]);
    churn.until("the new pods answer", |truth| responding(truth, "shop") == 4);
    cluster.kubectl(&["scale", "deployment/shop", "--replicas=1"]);
    churn.pods("shop", 1);
    step("scaled up and down");

    cluster.kubectl(&["scale", "deployment/shop", "--replicas=2"]);
    churn.pods("shop", 2);
    let before = churn.truth().pods.len();
    cluster.kubectl(&["rollout", "restart", "deployment/shop", "deployment/talker"]);
    churn.until("the new pods talk", |truth| truth.pods.len() == before + 4);
    churn.pods("shop", 2);
    churn.pods("talker", 2);
    churn.until("all talk again", |truth| open_long_connections(truth, "talker").len() == 6);
    step("restarted");

    let first = churn.truth().of("first").next().unwrap().address;
    cluster.delete(&format!("{APPS}/deployments/first"));
    churn.pods("first", 0);
    let first_deleted = moment(|| cluster.delete(&format!("{SERVICES}/first")));
    churn.assign_next(first);
    let second_made = moment(|| churn.serve("second", "Deployment", 1, 7500, Some(TURN), false));
    churn.until("the third answers", |truth| responding(truth, "second") == 1);
    churn.until("all talk to it", |truth| open_long_connections(truth, "talker").len() == 6);
    let second = churn.truth().of("second").next().unwrap().address;
    assert_eq!(second, first, "the address of the pod was not reused");
    step("replaced");

    cluster.delete(&format!("{APPS}/deployments/talker"));
    churn.pods("talker", 0);
    let truth = churn.truth();
    step("the clients are gone");

    let setting = Setting {
        truth: &truth,
        kinds: &BTreeMap::from([
            ("shop", "Deployment"),
            ("store", "StatefulSet"),
            ("first", "Deployment"),
            ("second", "Deployment"),
            ("talker", "Deployment"),
        ]),
        services: &BTreeMap::from([
            (address(SHOP), vec![Service { name: "shop", made: shop_made, deleted: None }]),
            (
                address(TURN),
                vec![
                    Service { name: "first", made: first_made, deleted: Some(first_deleted) },
                    Service { name: "second", made: second_made, deleted: None },
                ],
            ),
        ]),
        downtime,
    };
    let over = deployed.wait(LIMIT, |logs, points| {
        setting.all_closed(logs)
            && series::is_followed(points, "talker")
            && series::is_followed(points, "first")
    });
    step("all is reported");
    let (logs, points) = deployed.arrived();
    let seen = setting.verify(&logs);
    seen.print();
    assert!(
        over,
        "series that do not end, or no window after them: {:#?}",
        series::window_ends(&points, "talker")
    );
    for gone in ["talker", "first"] {
        series::assert_ended(&points, gone, downtime.to);
    }
    series::assert_sums(&points, &truth, "talker", "second");
    seen.assert_enough();
}

/// Returns the long connections of the workload's clients that are open: one for each pair of pod and target.
fn open_long_connections<'t>(truth: &'t Truth, workload: &'t str) -> Vec<&'t End> {
    let of = |end: &&End| truth.pods[&end.talk.pod].workload == workload;
    truth.ends().filter(of).filter(|end| end.talk.long && end.closed.is_none()).collect()
}

/// Returns the number of pods of the workload that have responded to a client.
fn responding(truth: &Truth, workload: &str) -> usize {
    let has = |pod: &str| truth.ends().any(|end| end.talk.pod == pod && end.met.is_some());
    truth.of(workload).filter(|pod| has(&pod.name)).count()
}

/// Returns address and port of the client, as records write them.
fn addresses(end: &End) -> [String; 2] {
    [end.talk.local.ip().to_string(), end.talk.local.port().to_string()]
}

/// Returns whether `reporter` has reported an update of this client's connection as older than Longwave.
fn is_reported(logs: &[FlatLog], reporter: &str, [ip, port]: &[String; 2]) -> bool {
    logs.iter().any(|(_, event, attributes)| {
        event == "longwave.tcp.connection.update"
            && attribute(attributes, "longwave.start_known") == "false"
            && attribute(attributes, "reporter") == reporter
            && attribute(attributes, "source.address") == ip
            && attribute(attributes, "source.port") == port
    })
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Runs `act`, and returns the times before and after it.
fn moment<T>(act: impl FnOnce() -> T) -> Moment {
    let from = talk::now();
    act();
    Moment { from, to: talk::now() }
}

// === impl Churn ===

impl Churn<'_> {
    fn truth(&self) -> Truth {
        Truth::read(&self.folder)
    }

    fn talker<'n>(&'n self, name: &'n str, kind: &'n str, replicas: u32) -> Talker<'n> {
        Talker { name, kind, replicas, targets: "", port: None, stubborn: false, folder: &self.folder }
    }

    fn run(&self, talker: &Talker<'_>) {
        let collection = if talker.kind == "Deployment" { "deployments" } else { "statefulsets" };
        self.cluster.create(&format!("{APPS}/{collection}"), &manifests::talker(talker).to_string());
    }

    /// Starts a workload that serves on `port`, and its service. Without `address` the service is headless.
    fn serve(&self, name: &str, kind: &str, replicas: u32, port: u16, address: Option<&str>, stubborn: bool) {
        let mut service =
            manifests::service(name, if address.is_some() { 80 } else { port }, port, address.is_none());
        if let Some(address) = address {
            service["spec"]["clusterIP"] = address.into();
        }
        self.cluster.create(SERVICES, &service.to_string());
        self.run(&Talker { port: Some(port), stubborn, ..self.talker(name, kind, replicas) });
    }

    /// Waits until the workload has exactly this number of pods, all running.
    fn pods(&self, workload: &str, count: usize) {
        self.cluster.wait(&format!("{PODS}?labelSelector=app%3D{workload}"), |pods| {
            let pods: Value = serde_json::from_str(pods).unwrap();
            let pods = pods["items"].as_array().unwrap();
            pods.len() == count
                && pods.iter().all(|pod| {
                    pod["status"]["phase"] == "Running" && pod["metadata"]["deletionTimestamp"].is_null()
                })
        });
        if count > 0 {
            self.until("the pods run", |truth| truth.of(workload).count() >= count);
        }
    }

    /// Waits until the reports of the pods satisfy `done`.
    fn until(&self, what: &str, done: impl Fn(&Truth) -> bool) {
        let limit = Instant::now() + Duration::from_secs(60);
        loop {
            let truth = self.truth();
            if done(&truth) {
                return;
            }
            assert!(Instant::now() < limit, "not within a minute: {what}; pods: {:#?}", truth.pods);
            std::thread::sleep(Duration::from_millis(200)); // there is no event for a changed file
        }
    }

    /// Makes the network plugin assign this unused address to the next pod. It assigns addresses in order.
    fn assign_next(&self, address: IpAddr) {
        let IpAddr::V4(address) = address else { panic!("{address}: not of this cluster") };
        let last = std::net::Ipv4Addr::from_bits(address.to_bits() - 1).to_string();
        let folder = self.cluster.folder().join("cni-addresses");
        let network = std::fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
        overwrite(&network.join("last_reserved_ip.0"), &last);
    }
}

fn overwrite(path: &Path, text: &str) {
    assert!(path.exists(), "{}: the network plugin has another format", path.display());
    std::fs::write(path, text).unwrap();
}
