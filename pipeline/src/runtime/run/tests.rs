use std::sync::Arc;
use std::time::Duration;

use opentelemetry::metrics::MeterProvider;

use super::*;
use crate::component::{HealthStatus, NodeKind, PushError, Signal, with_causes};
use crate::runtime::testing::{World, document};

fn environment() -> RuntimeEnvironment {
    let meter = opentelemetry_sdk::metrics::SdkMeterProvider::default().meter("test");
    let (accounting, health) = (Accounting::default(), Health::default());
    RuntimeEnvironment { accounting, meter, resource: Arc::default(), health }
}

fn plan(world: &World, yaml: &str) -> Plan {
    Plan::new(&document(yaml), &world.registry()).unwrap_or_else(|errors| panic!("{errors}"))
}

const TWO_PIPELINES: &str = "
receivers: {gen: {records: 7}}
processors: {pass: , window: }
exporters: {keep: , keep/second: }
service:
  pipelines:
    metrics: {receivers: [gen], processors: [pass, window], exporters: [keep]}
    logs: {receivers: [gen], exporters: [keep, keep/second]}
";

/// *Scenario*: one receiver feeds a metrics and a logs pipeline with a shared exporter id; it is stopped twice.
/// *Guarantees*: exporters start before receivers; everything that was received is exported or folded; exporters end last; every
/// stage and edge balances; the second stop has no effect.
#[tokio::test(start_paused = true)]
async fn drains_in_the_direction_of_the_flow() {
    let (world, environment) = (World::default(), environment());
    let mut runtime = Runtime::start(&plan(&world, TWO_PIPELINES), &environment).await.unwrap();
    runtime.stop();
    runtime.stop();
    runtime.join().await.unwrap();
    let logged = world.logged();
    let at = |text: &str| {
        logged.iter().position(|s| s == text).unwrap_or_else(|| panic!("{text} not in {logged:?}"))
    };
    assert!(at("start keep") < at("start gen") && at("start keep/second") < at("start gen"), "{logged:?}");
    assert!(at("end gen") < at("finish window") && at("finish window") < at("shutdown keep"), "{logged:?}");
    let logs = environment.accounting.nodes();
    let exported = |id: &str, signal| {
        let node =
            logs.iter().find(|n| n.kind == NodeKind::Exporter && n.id == id && n.signal == signal).unwrap();
        node.outgoing()
    };
    assert_eq!(exported("keep", Signal::Logs), 7);
    assert_eq!(exported("keep/second", Signal::Logs), 7);
    assert_eq!(environment.accounting.imbalances(), []);
}

/// *Scenario*: a graph with an extension is stopped.
/// *Guarantees*: the extension starts before anything else and ends after everything else.
#[tokio::test(start_paused = true)]
async fn extensions_start_first_and_end_last() {
    let (world, environment) = (World::default(), environment());
    let mut runtime = Runtime::start(&plan(&world, &with_extension("")), &environment).await.unwrap();
    runtime.stop();
    runtime.join().await.unwrap();
    let logged = world.logged();
    let first_start = logged.iter().find(|line| line.starts_with("start"));
    assert_eq!(first_start.map(String::as_str), Some("start who"), "{logged:?}");
    assert_eq!(logged.last().map(String::as_str), Some("end who"), "{logged:?}");
}

/// *Scenario*: an extension that ends by itself, one that never ends, one that fails to start, and one that fails while it runs.
/// *Guarantees*: the first two neither stop the graph nor prevent it from ending; a failure stops the graph and is reported.
#[tokio::test(start_paused = true)]
async fn extensions_that_go_wrong() {
    for fail in ["end", "hang"] {
        let (world, environment) = (World::default(), environment());
        let mut runtime = Runtime::start(&plan(&world, &with_extension(fail)), &environment).await.unwrap();
        runtime.stop();
        runtime.join().await.unwrap();
        assert!(world.logged().contains(&"end gen".to_owned()), "{fail}");
        assert_eq!(environment.accounting.imbalances(), []);
    }
    for (fail, expected) in [
        ("start", "failed to start extensions::who: configured to fail"),
        ("run", "extensions::who failed: configured to fail"),
    ] {
        let (world, environment) = (World::default(), environment());
        let error = match Runtime::start(&plan(&world, &with_extension(fail)), &environment).await {
            Ok(mut runtime) => runtime.join().await.unwrap_err(),
            Err(error) => error,
        };
        assert_eq!(with_causes(&error), expected);
    }
}

/// *Scenario*: a processor uses an extension that does not resolve names.
/// *Guarantees*: the processor is not created, and the error names the cause.
#[tokio::test(start_paused = true)]
async fn an_extension_without_names() {
    let world = World::default();
    let yaml = with_extension("").replace("pass: ,", "pass: {source: who},");
    let error = Runtime::dry_run(&plan(&world, &yaml), &Arc::default()).unwrap_err();
    let expected =
        "failed to start processors::pass: extensions::who does not resolve names: remove it from `sources`";
    assert_eq!(with_causes(&error), expected);
}

/// *Scenario*: an exporter uses an extension that authenticates requests, and one that does not.
/// *Guarantees*: the exporter receives the authenticator of the former. With the latter it is not created, and the error names the cause.
#[tokio::test(start_paused = true)]
async fn extensions_authenticate_exporters() {
    let world = World::default();
    let yaml = with_extension("")
        .replace("extensions: {who: ", "extensions: {key: , who: ")
        .replace("extensions: [who]", "extensions: [key, who]");
    let with = |id: &str| yaml.replace("keep: ,", &format!("keep: {{source: {id}}},"));
    Runtime::dry_run(&plan(&world, &with("key")), &Arc::default()).unwrap();
    // One instance for each signal.
    assert_eq!(world.logged().iter().filter(|line| *line == "keep has x-key").count(), 2);
    let error = Runtime::dry_run(&plan(&world, &with("who")), &Arc::default()).unwrap_err();
    let error = with_causes(&error);
    let expected = "failed to start exporters::keep: requested authenticator is not a client authenticator: extensions::who";
    assert!(error.starts_with(expected), "{error}");
}

fn with_extension(fail: &str) -> String {
    TWO_PIPELINES.replace(
        "service:\n",
        &format!("extensions: {{who: {{fail: '{fail}'}}}}\nservice:\n  extensions: [who]\n"),
    )
}

/// *Scenario*: the input of the only receiver ends.
/// *Guarantees*: the graph drains and ends without a stop.
#[tokio::test(start_paused = true)]
async fn ends_with_its_input() {
    let (world, environment) = (World::default(), environment());
    let yaml = TWO_PIPELINES.replace("records: 7", "fail: end");
    Runtime::start(&plan(&world, &yaml), &environment).await.unwrap().join().await.unwrap();
    assert_eq!(environment.accounting.imbalances(), []);
}

/// *Scenario*: a component fails to be created, fails to start, fails while running, or panics.
/// *Guarantees*: the graph ends with an error that names the component; the other stages end; lost items are counted, so that every
/// stage and edge balances.
#[tokio::test(start_paused = true)]
async fn a_failure_stops_the_graph() {
    let cases = [
        ("records: 7", "fail: start", "failed to start receivers::gen: configured to fail"),
        ("keep: ,", "keep: {fail: create},", "failed to start exporters::keep: configured to fail"),
        ("records: 7", "fail: run", "receivers::gen failed: configured to fail"),
        (
            "pass: ,",
            "pass: {fail: run},",
            "processors::pass of service::pipelines::metrics failed: configured to fail",
        ),
        (
            "pass: ,",
            "pass: {fail: panic},",
            "processors::pass of service::pipelines::metrics failed: it panicked (configured to panic): this is a bug in Longwave",
        ),
    ];
    for (from, to, expected) in cases {
        let (world, environment) = (World::default(), environment());
        let plan = plan(&world, &TWO_PIPELINES.replace(from, to));
        let error = match Runtime::start(&plan, &environment).await {
            Err(error) => error,
            Ok(mut runtime) => runtime.join().await.unwrap_err(),
        };
        let error = with_causes(&error);
        assert!(error.starts_with(expected), "{to}: {error}");
        assert_eq!(environment.accounting.imbalances(), [], "{to}");
        let held: u64 = environment.accounting.nodes().iter().map(|node| node.held()).sum();
        assert_eq!(held, 0, "{to}");
    }
}

const BLOCKING: &str = "
receivers: {gen: {records: 3, batches: 500}}
processors: {pass: }
exporters: {keep: {block: true}}
service: {pipelines: {logs: {receivers: [gen], processors: [pass], exporters: [keep]}}}";

fn unavailable() -> Result<crate::component::Pushed, PushError> {
    Err(PushError::Retryable { message: "unavailable".into(), after: None, may_have_arrived: false })
}

/// *Scenario*: the output is closed while every channel before it is full and every stage waits for room.
/// *Guarantees*: the graph ends promptly with the exporter's error; items in channels are counted by the stage that should receive them.
#[tokio::test(start_paused = true)]
async fn a_fatal_delivery_unblocks_stages_that_wait_for_room() {
    let (world, environment) = (World::default(), environment());
    world.results.lock().unwrap().extend([unavailable(), Err(PushError::fatal("closed"))]);
    let mut runtime = Runtime::start(&plan(&world, BLOCKING), &environment).await.unwrap();
    let error = tokio::time::timeout(Duration::from_secs(60), runtime.join()).await.unwrap().unwrap_err();
    assert_eq!(with_causes(&error), "exporters::keep failed: closed");
    assert_eq!(environment.accounting.imbalances(), []);
    let nodes = environment.accounting.nodes();
    assert_eq!(nodes.iter().map(|node| node.held() + node.queue_size()).sum::<u64>(), 0);
    let given_up: u64 = nodes.iter().flat_map(|node| node.dropped()).map(|(_, count)| count.items).sum();
    assert_eq!(given_up, 1500);
    assert!(world.logged().contains(&"shutdown keep".to_owned()), "{:?}", world.logged());
}

/// *Scenario*: a stop while the server is down or does not reply, and the pipeline waits for room in the sending queue.
/// *Guarantees*: the stop ends within the time limit of a shutdown; undelivered items are counted.
#[tokio::test(start_paused = true)]
async fn a_stop_does_not_wait_for_a_server_that_is_down() {
    for message in ["unavailable", "hang"] {
        let (world, environment) = (World::default(), environment());
        let result =
            Err(PushError::Retryable { message: message.into(), after: None, may_have_arrived: false });
        world.results.lock().unwrap().extend(vec![result; 5_000]);
        let mut runtime = Runtime::start(&plan(&world, BLOCKING), &environment).await.unwrap();
        tokio::time::sleep(Duration::from_secs(2)).await;
        runtime.stop();
        let limit = SHUTDOWN_LIMIT + Duration::from_secs(1);
        tokio::time::timeout(limit, runtime.join()).await.unwrap_or_else(|_| panic!("{message}")).unwrap();
        assert_eq!(environment.accounting.imbalances(), [], "{message}");
        let given_up: u64 = environment
            .accounting
            .nodes()
            .iter()
            .flat_map(|n| n.dropped())
            .map(|(_, count)| count.items)
            .sum();
        assert_eq!(given_up, 1500, "{message}");
    }
}

/// *Scenario*: a receiver fails to start after exporters and another receiver have started.
/// *Guarantees*: these have ended before the error is returned, so that files are closed and threads have ended.
#[tokio::test(start_paused = true)]
async fn a_failed_start_ends_what_was_started() {
    let (world, environment) = (World::default(), environment());
    let yaml = "
receivers: {gen: , gen/bad: {fail: start}}
exporters: {keep: }
service: {pipelines: {logs: {receivers: [gen, gen/bad], exporters: [keep]}}}";
    let error = Runtime::start(&plan(&world, yaml), &environment).await.err().unwrap();
    assert_eq!(with_causes(&error), "failed to start receivers::gen/bad: configured to fail");
    let logged = world.logged();
    assert!(
        logged.contains(&"end gen".to_owned()) && logged.contains(&"shutdown keep".to_owned()),
        "{logged:?}"
    );
    assert_eq!(environment.accounting.imbalances(), []);
}

/// *Scenario*: the exporter's output is closed while the graph runs.
/// *Guarantees*: the graph ends with an error that names the exporter.
#[tokio::test(start_paused = true)]
async fn a_fatal_delivery_stops_the_graph() {
    let (world, environment) = (World::default(), environment());
    world.results.lock().unwrap().push_back(Err(PushError::fatal("stdout was closed")));
    let yaml = "
receivers: {gen: }
exporters: {keep: }
service: {pipelines: {logs: {receivers: [gen], exporters: [keep]}}}";
    let error = Runtime::start(&plan(&world, yaml), &environment).await.unwrap().join().await.unwrap_err();
    assert_eq!(with_causes(&error), "exporters::keep failed: stdout was closed");
}

fn reasons(health: &Health) -> Vec<String> {
    match health.status() {
        HealthStatus::Healthy { .. } => Vec::new(),
        HealthStatus::Unhealthy { reasons } => reasons,
    }
}

/// *Scenario*: a graph starts, its receiver has no passes, and it stops.
/// *Guarantees*: it is unhealthy before the start and after the stop; the receiver is stalled after three intervals.
#[tokio::test(start_paused = true)]
async fn health_follows_the_graph() {
    let (world, environment) = (World::default(), environment());
    assert_eq!(reasons(&environment.health), ["not all components have started"]);
    let yaml = TWO_PIPELINES.replace("records: 7", "fail: silent");
    let mut runtime = Runtime::start(&plan(&world, &yaml), &environment).await.unwrap();
    assert_eq!(reasons(&environment.health), [""; 0]);
    tokio::time::advance(Duration::from_secs(16)).await;
    let stalled = ["receivers::gen: stalled: no pass has ended for 16s (interval 5s)"];
    assert_eq!(reasons(&environment.health), stalled);
    runtime.stop();
    assert_eq!(reasons(&environment.health), ["the pipelines are stopping"]);
    runtime.join().await.unwrap();
}

/// *Scenario*: a processor fails while the graph runs.
/// *Guarantees*: the graph is unhealthy while the rest drains, and the reason is the failure.
#[tokio::test(start_paused = true)]
async fn a_failed_graph_is_unhealthy() {
    let (world, environment) = (World::default(), environment());
    let plan = plan(&world, &TWO_PIPELINES.replace("pass: ,", "pass: {fail: run},"));
    let mut runtime = Runtime::start(&plan, &environment).await.unwrap();
    runtime.join().await.unwrap_err();
    let failed = ["processors::pass of service::pipelines::metrics failed: configured to fail"];
    assert_eq!(reasons(&environment.health), failed);
}

/// *Scenario*: for an hour the server is down or does not reply, and every stage waits for room.
/// *Guarantees*: the graph is healthy all the time: a restart would not repair the server.
#[tokio::test(start_paused = true)]
async fn a_server_that_is_down_is_no_stall() {
    for message in ["unavailable", "hang"] {
        let (world, environment) = (World::default(), environment());
        let result =
            Err(PushError::Retryable { message: message.into(), after: None, may_have_arrived: false });
        world.results.lock().unwrap().extend(vec![result; 50_000]);
        let mut runtime = Runtime::start(&plan(&world, BLOCKING), &environment).await.unwrap();
        for _ in 0..360 {
            tokio::time::sleep(Duration::from_secs(10)).await;
            assert_eq!(reasons(&environment.health), [""; 0], "{message}");
        }
        runtime.stop();
        runtime.join().await.unwrap();
    }
}

/// *Scenario*: a processor does not return from a batch, and later it does.
/// *Guarantees*: the graph is unhealthy with this processor as the reason, and recovers. Stages that wait for it are not reported.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_processor_that_does_not_return_is_a_stall() {
    let (world, environment) = (World::default(), environment());
    let yaml = BLOCKING.replace("block: true", "").replace("pass: }", "pass: {fail: wait}}");
    // The receiver has an interval, so that the limit is the minimum.
    let yaml = yaml.replace("batches: 500", "batches: 500, fail: silent, every: 100ms");
    let is_processor =
        |reason: &String| reason.starts_with("processors::pass of service::pipelines::logs: stalled: busy");
    let plan = plan(&world, &yaml);
    let await_processor = |stalled: bool| {
        for _ in 0..3_000 {
            let found = reasons(&environment.health);
            if found.iter().any(is_processor) == stalled {
                return found;
            }
            // Health is a snapshot: there is no event to wait for.
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("{:?}", environment.health.status());
    };
    let executor = tokio::runtime::Handle::current();
    let mut runtime = tokio::task::block_in_place(|| {
        let closed = world.gate.lock().unwrap();
        let runtime = executor.block_on(Runtime::start(&plan, &environment)).unwrap();
        let found = await_processor(true);
        assert!(
            found.iter().all(|reason| is_processor(reason) || reason.starts_with("receiver")),
            "{found:?}"
        );
        drop(closed);
        await_processor(false);
        runtime
    });
    runtime.stop();
    runtime.join().await.unwrap();
}
