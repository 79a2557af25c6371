//! Faults of the connection to the API server.

use std::time::Instant;

use longwave_tests::Longwave;
use longwave_tests::api_server::ApiServer;
use longwave_tests::cluster::Cluster;
use longwave_tests::faulty_proxy::{Fault, FaultyProxy, Request};
use serde_json::{Value, json};

use crate::greeter::{Greeter, caller, deployment, pod, stayer};
use crate::running::{
    admin, cluster, errors, gauge, is_from, release, seen, staleness, start, timed, until, word,
};
use crate::{DEFAULT_PODS, LIMIT, PODS, WATCHED};

const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";
const RETRY_AFTER: u64 = 4;
/// Minimum duration of an outage in seconds.
const OUTAGE: f64 = 120.0;
/// Minimum time between attempts after the first six, in seconds.
const MIN_WAIT: u64 = 15;

/// *Scenario*: Longwave reaches the real API server through a proxy. The proxy is unreachable at the start and for several attempts, and
/// then forwards. It breaks watches in the middle of an event and is down for minutes, while a Deployment is created and a pod deleted. It
/// responds with 410 instead of resuming watches, as the status of the response and as an event in the watch. It responds with 429 and
/// Retry-After. Finally it responds with 410 again, and listings are slow and have pages of two objects.
/// *Guarantees*: records are exported all the time, with the names that Longwave has, and never with wrong ones. A connection that is older
/// than its names gets them later. Staleness is exported and grows during an outage. After each fault all names are available again without
/// a restart. A broken watch resumes without a listing. Attempts become rare. A 410 causes one listing of each resource. No request is sent
/// before Retry-After is over.
pub fn names_outlive_a_failing_api_server() {
    let cluster = cluster();
    let greeter = Greeter::start(&cluster.info.node_ip);
    cluster.create(DEPLOYMENTS, &deployment("caller", 2, caller(greeter.address, None)));
    cluster.create(DEFAULT_PODS, &pod("stayer", stayer(greeter.address)));
    cluster.create(DEFAULT_PODS, &pod("leaver", caller(greeter.address, Some(1))));
    for name in ["caller", "stayer", "leaver"] {
        greeter.await_call(name, LIMIT);
    }

    let proxy = FaultyProxy::new(ApiServer::of(&cluster.info));
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = proxy.kubeconfig(folder.path(), &admin(&cluster));
    let longwave = start(&kubeconfig, &cluster.info.node, &[greeter.address.port()], json!({}));

    let stale = timed("unreachable from the start", || unreachable_from_the_start(&longwave));
    proxy.listen();
    timed("named", || everything_is_named(&longwave, &cluster, &proxy, stale));
    timed("cut off", || cut_off(&longwave, &cluster, &proxy, &greeter));
    timed("gone", || gone(&longwave, &cluster, &proxy));
    timed("throttled", || throttled(&longwave, &proxy));
    timed("slow pages", || slow_pages(&longwave, &cluster, &proxy));

    let finished = longwave.stop();
    assert!(greeter.assert_right_names(&finished.lines) > 100, "too few records have a name");
    assert!(finished.stderr.contains("cannot reach the API server"), "{}", finished.stderr);
    assert!(finished.stderr.contains("are watched again"), "{}", finished.stderr);
    release(cluster);
}

/// Waits for failed attempts. Returns the last staleness of `pods`, in seconds.
fn unreachable_from_the_start(longwave: &Longwave) -> f64 {
    let failed = |times: u64| {
        until(longwave, "attempts that fail", LIMIT, || {
            WATCHED.iter().all(|(resource, _)| errors(longwave, resource, "unreachable") >= times)
        });
    };
    failed(2);
    let before = WATCHED.map(|(resource, _)| staleness(longwave, resource));
    failed(4);
    let after = WATCHED.map(|(resource, _)| staleness(longwave, resource));
    assert!(before.iter().zip(after).all(|(before, after)| after > *before), "{before:?}, then {after:?}");
    assert_eq!(gauge(longwave, "longwave_extension_kubernetes_synced", "pods") as u64, 0);
    for reporter in ["source", "destination"] {
        longwave.await_lines("records without names", seen(longwave), LIMIT, |line| {
            word(line, "reporter") == reporter
        });
    }
    longwave
        .lines(|lines| assert!(lines.iter().all(|line| word(line, "source.workload.kind") != "Deployment")));
    after[0]
}

fn everything_is_named(longwave: &Longwave, cluster: &Cluster, proxy: &FaultyProxy, stale: f64) {
    let from = seen(longwave);
    await_callers(longwave, from);
    longwave.await_lines("the connection that is older than its name", from, LIMIT, |line| {
        is_from(line, "destination", "Pod", "stayer") && word(line, "event_name").ends_with("update")
    });
    until(longwave, "less staleness", LIMIT, || staleness(longwave, "pods") < stale);
    await_all_objects(longwave, cluster);
    let requests = proxy.requests(0);
    for (resource, path) in WATCHED {
        assert_eq!(listings(&requests, path), 1, "{resource}: {requests:#?}");
    }
    // Per resource: one streamed listing, or a refused stream, a listing and a watch.
    assert!(requests.len() <= 9, "{requests:#?}");
}

/// Watches break in the middle of an event, and objects change during an outage. Then all watches resume.
fn cut_off(longwave: &Longwave, cluster: &Cluster, proxy: &FaultyProxy, greeter: &Greeter) {
    let before = proxy.request_count();
    proxy.cut_inside(PODS);
    cluster.create(DEPLOYMENTS, &deployment("late", 1, caller(greeter.address, None)));
    assert!(proxy.await_cut(LIMIT), "the watch of pods had no event");
    proxy.cut();
    let (unanswered, began) = (proxy.unanswered(), Instant::now());
    cluster.delete(&format!("{DEFAULT_PODS}/leaver"));
    greeter.await_call("late", LIMIT);
    until(longwave, "attempts during the outage", LIMIT, || proxy.unanswered() >= unanswered + 4);
    let stale = staleness(longwave, "services");
    await_callers(longwave, seen(longwave));
    until(longwave, "more staleness", LIMIT, || staleness(longwave, "services") > stale + OUTAGE);
    await_callers(longwave, seen(longwave));
    let attempts = (proxy.unanswered() - unanswered) as u64;
    let most = WATCHED.len() as u64 * (6 + began.elapsed().as_secs() / MIN_WAIT);
    assert!(attempts <= most, "{attempts} attempts in {:?}", began.elapsed());

    proxy.set(|behaviour| behaviour.down = false);
    for reporter in ["source", "destination"] {
        longwave.await_lines("the Deployment that was created meanwhile", seen(longwave), LIMIT, |line| {
            is_from(line, reporter, "Deployment", "late")
        });
    }
    until(longwave, "less staleness", LIMIT, || staleness(longwave, "services") < stale);
    await_all_objects(longwave, cluster);
    for (resource, path) in WATCHED {
        proxy.await_requests(resource, before, LIMIT, |requests| {
            let mut own = requests.iter().filter(|request| request.path == path && request.status == 200);
            own.any(Request::resumes)
        });
    }
    let requests = proxy.requests(before);
    assert!(!requests.iter().any(Request::lists), "a watch that was cut lists again: {requests:#?}");
}

fn gone(longwave: &Longwave, cluster: &Cluster, proxy: &FaultyProxy) {
    let before = proxy.request_count();
    for ((_, path), fault) in
        WATCHED.iter().zip([Fault::GoneInside, Fault::Status(410, 0), Fault::GoneInside])
    {
        proxy.fail(path, fault);
    }
    proxy.cut();
    let from = seen(longwave);
    await_listings(proxy, before);
    await_callers(longwave, from);
    await_all_objects(longwave, cluster);
    // The watch resumes from the version of the listing, so after another break nothing is listed again.
    proxy.cut();
    for (resource, path) in WATCHED {
        proxy.await_requests(resource, before, LIMIT, |requests| {
            let after = requests.iter().skip_while(|request| !(request.path == path && request.lists()));
            after.filter(|request| request.path == path).any(Request::resumes)
        });
    }
    await_callers(longwave, seen(longwave));
    let requests = proxy.requests(before);
    for (resource, path) in WATCHED {
        assert_eq!(listings(&requests, path), 1, "{resource}: {requests:#?}");
    }
}

fn throttled(longwave: &Longwave, proxy: &FaultyProxy) {
    let before = proxy.request_count();
    WATCHED.iter().for_each(|(_, path)| proxy.fail(path, Fault::Status(429, RETRY_AFTER)));
    proxy.cut();
    for (resource, path) in WATCHED {
        proxy.await_requests(resource, before, LIMIT, |requests| {
            requests.iter().any(|request| request.path == path && request.status == 200)
        });
    }
    let requests = proxy.requests(before);
    for (resource, path) in WATCHED {
        let own: Vec<_> = requests.iter().filter(|request| request.path == path).collect();
        let refused = own.iter().position(|request| request.status == 429).unwrap();
        let waited = own[refused + 1].at - own[refused].at;
        assert!(waited.as_secs() >= RETRY_AFTER, "{resource}: requested again after {waited:?}");
        assert!(!own.iter().any(|request| request.lists()), "{resource}: {requests:#?}");
        assert_eq!(errors(longwave, resource, "throttled"), 1);
    }
    await_callers(longwave, seen(longwave));
}

/// Simulates a server before 1.32 with slow pages of two objects.
fn slow_pages(longwave: &Longwave, cluster: &Cluster, proxy: &FaultyProxy) {
    let before = proxy.request_count();
    proxy.set(|behaviour| {
        behaviour.pages_only = true;
        behaviour.page = Some(2);
        behaviour.page_delay = std::time::Duration::from_millis(500);
    });
    WATCHED.iter().for_each(|(_, path)| proxy.fail(path, Fault::Status(410, 0)));
    proxy.cut();
    // When the second page is requested, the first has arrived and the last has not.
    proxy.await_requests("a second page", before, LIMIT, |requests| {
        requests.iter().any(|request| request.path == PODS && request.query.contains_key("continue"))
    });
    await_callers(longwave, seen(longwave));
    for (resource, path) in WATCHED {
        proxy.await_requests(resource, before, LIMIT, |requests| {
            let mut own = requests.iter().filter(|request| request.path == path);
            own.any(|request| request.verb() == "list") && own.any(|request| request.resumes())
        });
    }
    await_callers(longwave, seen(longwave));
    await_all_objects(longwave, cluster);
    let requests = proxy.requests(before);
    for (resource, path) in WATCHED {
        let own = || requests.iter().filter(|request| request.path == path);
        let paged = own().filter(|request| request.verb() == "list" && request.lists()).count();
        assert_eq!(paged, 1, "{resource}: {requests:#?}");
        let streamed = own().filter(|request| request.verb() == "watch" && request.lists());
        assert!(streamed.clone().all(|request| request.status == 422) && streamed.count() <= 1, "{resource}");
    }
}

/// Waits until both reporters have reported named records.
fn await_callers(longwave: &Longwave, from: usize) {
    for reporter in ["source", "destination"] {
        longwave.await_lines("records of the Deployment `caller`", from, LIMIT, |line| {
            is_from(line, reporter, "Deployment", "caller")
        });
    }
}

fn await_listings(proxy: &FaultyProxy, before: usize) {
    for (resource, path) in WATCHED {
        proxy.await_requests(resource, before, LIMIT, |requests| listings(requests, path) == 1);
    }
}

/// Returns the number of listings that were not refused. Counts only the first page of a listing. Does not count an attempt to stream that
/// was followed by pages: a store that cannot stream reports this in a response with status 200.
fn listings(requests: &[Request], path: &str) -> usize {
    let lists =
        requests.iter().filter(|request| request.path == path && request.lists() && request.status == 200);
    let (paged, streamed): (Vec<_>, Vec<_>) = lists.partition(|request| request.verb() == "list");
    if paged.is_empty() { streamed.len() } else { paged.len() }
}

/// Waits until Longwave has as many objects as the cluster.
fn await_all_objects(longwave: &Longwave, cluster: &Cluster) {
    for (resource, path) in WATCHED {
        until(longwave, resource, LIMIT, || {
            let objects = cluster.get(path)["items"].as_array().map_or(0, |items| {
                let ended =
                    |item: &&Value| !matches!(item["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
                items.iter().filter(ended).count()
            });
            gauge(longwave, "longwave_extension_kubernetes_objects", resource) as usize == objects
        });
    }
}
