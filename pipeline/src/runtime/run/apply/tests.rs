use std::sync::atomic::Ordering;
use std::time::Duration;

use opentelemetry::metrics::MeterProvider;
use opentelemetry_sdk::metrics::SdkMeterProvider;

use super::*;
use crate::component::{Health, HealthStatus, Signal, with_causes};
use crate::runtime::testing::{World, document};

/// A running graph whose configuration changes.
struct Bench {
    world: World,
    environment: RuntimeEnvironment,
    runtime: Runtime,
}

/// A receiver that sends what it is fed to two pipelines. The exporters deliver the cookies of the records.
const BASE: &str = "
receivers: {gen: {fail: feed}}
processors: {pass: , pass/2: }
exporters: {keep: {fail: cookies}, keep/second: {fail: cookies}}
service:
  pipelines:
    logs: {receivers: [gen], processors: [pass, pass/2], exporters: [keep]}
    logs/plain: {receivers: [gen], exporters: [keep/second]}
";

/// The second pipeline of [`BASE`].
const PLAIN: &str = "    logs/plain: {receivers: [gen], exporters: [keep/second]}\n";

impl Bench {
    async fn start(yaml: &str) -> Self {
        let meter = SdkMeterProvider::default().meter("test");
        let (accounting, health) = (Accounting::default(), Health::default());
        let environment = RuntimeEnvironment { accounting, meter, resource: Arc::default(), health };
        let world = World::default();
        let runtime = Runtime::start(&plan(&world, yaml), &environment).await.unwrap();
        Self { world, environment, runtime }
    }

    async fn apply(&mut self, yaml: &str) -> Changes {
        self.runtime.apply(&plan(&self.world, yaml), &self.environment).await.unwrap()
    }

    /// Applies a plan that cannot start. Returns the error.
    async fn refuse(&mut self, yaml: &str) -> String {
        let refused = self.runtime.apply(&plan(&self.world, yaml), &self.environment).await;
        with_causes(&refused.unwrap_err())
    }

    /// Lets the receivers send records, and waits until these exporters have delivered them.
    async fn feed(&self, records: u64, exporters: &[&str]) {
        self.world.fed.send_modify(|fed| *fed += records);
        for exporter in exporters {
            self.await_cookie(exporter, *self.world.fed.borrow() - 1).await;
        }
    }

    async fn await_cookie(&self, exporter: &str, cookie: u64) {
        self.until(|world| world.cookies(exporter).contains(&cookie)).await;
    }

    /// Waits until a condition is met.
    async fn until(&self, is_met: impl Fn(&World) -> bool) {
        for _ in 0..100_000 {
            if is_met(&self.world) {
                return;
            }
            // Lets time pass if every task waits.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("not met: {:?} {:?}", self.world.logged(), self.environment.accounting.imbalances());
    }

    /// Stops, and checks that nothing was lost: each exporter has delivered each record of its range once and in order, and the counters balance.
    async fn finish(mut self, delivered: &[(&str, std::ops::Range<u64>)]) -> World {
        self.runtime.stop();
        self.runtime.join().await.unwrap();
        assert_eq!(self.environment.accounting.imbalances(), []);
        for node in self.environment.accounting.nodes() {
            assert_eq!(node.dropped(), [], "{node:?}");
            assert_eq!((node.held(), node.queue_size(), node.queue_capacity()), (0, 0, 0), "{node:?}");
        }
        for (exporter, range) in delivered {
            let (cookies, expected) = (self.world.cookies(exporter), range.clone().collect::<Vec<_>>());
            let first = cookies.iter().zip(&expected).position(|(cookie, expected)| cookie != expected);
            let around = first.map(|at| &cookies[at.saturating_sub(5)..cookies.len().min(at + 30)]);
            assert!(cookies == expected, "{exporter}: {} of {}, {around:?}", cookies.len(), expected.len());
        }
        self.world
    }

    fn node(&self, kind: NodeKind, id: &str, pipeline: &str) -> Arc<Node> {
        self.environment.accounting.node(kind, id, pipeline, Signal::Logs, false)
    }

    fn count(&self, line: &str) -> usize {
        self.world.logged().iter().filter(|logged| *logged == line).count()
    }
}

fn plan(world: &World, yaml: &str) -> Plan {
    Plan::new(&document(yaml), &world.registry()).unwrap_or_else(|errors| panic!("{errors}"))
}

/// Replaces a part of a configuration.
fn with(from: &str, to: &str) -> String {
    assert!(BASE.contains(from), "{from}");
    BASE.replace(from, to)
}

/// *Scenario*: the configuration is applied again without a change, and with the keys in another order.
/// *Guarantees*: nothing starts or stops.
#[tokio::test(start_paused = true)]
async fn an_equal_plan_changes_nothing() {
    let mut bench = Bench::start(BASE).await;
    bench.feed(5, &["keep", "keep/second"]).await;
    let before = bench.world.logged();
    let swapped = with(
        "{keep: {fail: cookies}, keep/second: {fail: cookies}}",
        "{keep/second: {fail: cookies}, keep: {fail: cookies}}",
    );
    for yaml in [BASE, &swapped] {
        let Changes { kept, started, stopped, failed } = bench.apply(yaml).await;
        assert_eq!((kept, started.len(), stopped.len(), failed.len()), (5, 0, 0, 0));
    }
    assert_eq!(bench.world.logged(), before);
    bench.feed(5, &["keep", "keep/second"]).await;
    bench.finish(&[("keep", 0..10), ("keep/second", 0..10)]).await;
}

/// *Scenario*: an exporter and the second processor of the other pipeline change, while records arrive.
/// *Guarantees*: the receiver and the other exporter are the same instances; every record is delivered once and in order; counters
/// continue, those of the changed components included.
#[tokio::test(start_paused = true)]
async fn what_has_not_changed_runs_on() {
    let mut bench = Bench::start(BASE).await;
    bench.feed(10, &["keep", "keep/second"]).await;
    // These are on their way during the change.
    bench.world.fed.send_modify(|fed| *fed += 40);
    let yaml = with("keep/second: {fail: cookies}", "keep/second: {fail: cookies, every: 7s}");
    let changes = bench.apply(&yaml).await;
    assert_eq!(
        (changes.started, changes.stopped),
        (vec!["exporters::keep/second".to_owned()], vec!["exporters::keep/second".to_owned()])
    );
    bench.world.fed.send_modify(|fed| *fed += 40);
    let yaml = yaml.replace("pass/2: }", "pass/2: {every: 7s}}");
    let changes = bench.apply(&yaml).await;
    let processors =
        ["processors::pass of service::pipelines::logs", "processors::pass/2 of service::pipelines::logs"];
    assert_eq!(
        (changes.started, changes.stopped),
        (processors.map(str::to_owned).to_vec(), vec!["service::pipelines::logs".to_owned()])
    );
    bench.feed(10, &["keep", "keep/second"]).await;
    assert_eq!(
        (bench.count("start gen"), bench.count("start keep"), bench.count("start keep/second")),
        (1, 1, 2)
    );
    assert_eq!((bench.count("create pass"), bench.count("end gen")), (2, 0));
    for (kind, id, pipeline) in [
        (NodeKind::Receiver, "gen", "logs"),
        (NodeKind::Receiver, "gen", "logs/plain"),
        (NodeKind::Processor, "pass", "logs"),
        (NodeKind::Exporter, "keep", ""),
        (NodeKind::Exporter, "keep/second", ""),
    ] {
        assert_eq!(bench.node(kind, id, pipeline).outgoing(), 100, "{id}");
    }
    bench.finish(&[("keep", 0..100), ("keep/second", 0..100)]).await;
}

/// *Scenario*: the server is down; another exporter, and then a processor before it, change; the server is back.
/// *Guarantees*: what the exporter has queued is delivered later, once and in order.
#[tokio::test(start_paused = true)]
async fn an_unchanged_exporter_keeps_its_queue() {
    let mut bench = Bench::start(BASE).await;
    bench.world.is_down.store(true, Ordering::SeqCst);
    bench.world.fed.send_modify(|fed| *fed += 50);
    let keep = bench.node(NodeKind::Exporter, "keep", "");
    bench.until(|_| keep.held() == 50).await;
    // No longer in a pipeline, so that only the queue of the other exporter is left during the outage.
    let yaml = BASE.replace(PLAIN, "");
    let second = bench.node(NodeKind::Exporter, "keep/second", "");
    bench.world.is_down.store(false, Ordering::SeqCst);
    bench.until(|_| second.held() == 0 && keep.held() == 0).await;
    bench.world.is_down.store(true, Ordering::SeqCst);
    bench.apply(&yaml).await;
    bench.world.fed.send_modify(|fed| *fed += 50);
    bench.until(|_| keep.held() == 50).await;
    bench.apply(&yaml.replace("pass/2: }", "pass/2: {every: 7s}}")).await;
    bench.world.fed.send_modify(|fed| *fed += 50);
    bench.until(|_| keep.held() == 100).await;
    bench.world.is_down.store(false, Ordering::SeqCst);
    bench.await_cookie("keep", 149).await;
    assert_eq!(bench.count("start keep"), 1);
    bench.finish(&[("keep", 0..150), ("keep/second", 0..50)]).await;
}

/// *Scenario*: plans of which one new part, each kind once, cannot be created or started.
/// *Guarantees*: the error names the part. The running graph is the same as before and delivers everything; what had started of the refused plan
/// has ended.
#[tokio::test(start_paused = true)]
async fn a_failing_part_changes_nothing() {
    let mut bench = Bench::start(BASE).await;
    let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let more = |section: &str, part: &str, id: &str| {
        let yaml = BASE.replace(&format!("{section}: {{"), &format!("{section}: {{{part}, "));
        match section {
            "receivers" => {
                yaml.replace("{receivers: [gen], exporters", &format!("{{receivers: [gen, {id}], exporters"))
            }
            "exporters" => {
                yaml.replace("exporters: [keep/second]", &format!("exporters: [keep/second, {id}]"))
            }
            _ => yaml.replace("processors: [pass, pass/2]", &format!("processors: [pass, pass/2, {id}]")),
        }
    };
    let extension = format!(
        "{}  extensions: [who, who/bad]\n",
        BASE.replace("service:", "extensions: {who: , who/bad: {fail: start}}\nservice:")
    );
    for (yaml, expected) in [
        (
            more("exporters", "keep/bad: {fail: create}", "keep/bad"),
            "failed to start exporters::keep/bad: configured to fail",
        ),
        (
            more("exporters", "keep/bad: {fail: 'cookies, start'}", "keep/bad"),
            "failed to start exporters::keep/bad: configured to fail",
        ),
        (
            more("processors", "pass/bad: {fail: create}", "pass/bad"),
            "failed to start processors::pass/bad: configured to fail",
        ),
        (extension, "failed to start extensions::who/bad: configured to fail"),
    ] {
        assert_eq!(bench.refuse(&yaml).await, expected);
        bench.feed(5, &["keep", "keep/second"]).await;
    }
    // Other parts have started when the receiver fails.
    let yaml = more("receivers", "gen/good: {batches: 0}, gen/bad: {fail: start}", "gen/good, gen/bad")
        .replace("exporters: {", "exporters: {keep/new: {fail: cookies}, ")
        .replace("exporters: [keep/second]", "exporters: [keep/new]")
        .replace("pass/2: }", "pass/2: {every: 7s}}");
    assert_eq!(bench.refuse(&yaml).await, "failed to start receivers::gen/bad: configured to fail");
    for new in ["gen/good", "keep/new"] {
        assert_eq!(bench.count(&format!("start {new}")), 1);
    }
    assert_eq!((bench.count("end gen/good"), bench.count("shutdown keep/new")), (1, 1));
    bench.feed(5, &["keep", "keep/second"]).await;
    assert_eq!((bench.count("start gen"), bench.count("start keep"), bench.count("end gen")), (1, 1, 0));
    assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), tasks);
    bench.finish(&[("keep", 0..25), ("keep/second", 0..25)]).await;
}

/// *Scenario*: a pipeline is removed, later added again; a pipeline gets a second exporter, which is then removed.
/// *Guarantees*: what is removed delivers what it had; what is added delivers what arrives from then on; the rest delivers everything.
#[tokio::test(start_paused = true)]
async fn pipelines_and_exporters_come_and_go() {
    let mut bench = Bench::start(BASE).await;
    bench.feed(10, &["keep", "keep/second"]).await;
    let without = BASE.replace(PLAIN, "");
    assert_eq!(
        bench.apply(&without).await.stopped,
        ["service::pipelines::logs/plain", "exporters::keep/second"]
    );
    bench.feed(10, &["keep"]).await;
    assert_eq!(bench.apply(BASE).await.started, ["exporters::keep/second"]);
    bench.feed(10, &["keep", "keep/second"]).await;
    let both = with("exporters: [keep]", "exporters: [keep, keep/third]")
        .replace("exporters: {", "exporters: {keep/third: {fail: cookies}, ");
    assert_eq!(bench.apply(&both).await.started, ["exporters::keep/third"]);
    bench.feed(10, &["keep", "keep/second", "keep/third"]).await;
    assert_eq!(bench.apply(BASE).await.stopped, ["exporters::keep/third"]);
    bench.feed(10, &["keep", "keep/second"]).await;
    assert_eq!((bench.count("start gen"), bench.count("start keep"), bench.count("create pass")), (1, 1, 1));
    let second: Vec<u64> = (0..10).chain(20..50).collect();
    assert_eq!(bench.world.cookies("keep/second"), second);
    bench.finish(&[("keep", 0..50), ("keep/third", 30..40)]).await;
}

/// *Scenario*: the settings of an extension change, on which one processor depends.
/// *Guarantees*: the extension and the pipeline restart, the rest does not. The old extension stops after the old pipeline.
#[tokio::test(start_paused = true)]
async fn what_uses_a_changed_part_restarts() {
    let yaml = with("service:", "extensions: {who: , key: }\nservice:\n  extensions: [who, key]")
        .replace("keep: {fail: cookies}", "keep: {fail: cookies, source: key}");
    let mut bench = Bench::start(&yaml).await;
    bench.feed(10, &["keep", "keep/second"]).await;
    let changes = bench.apply(&yaml.replace("key: }", "key: {every: 7s}}")).await;
    assert_eq!(changes.started, ["extensions::key", "exporters::keep"]);
    assert_eq!(changes.stopped, ["exporters::keep", "extensions::key"]);
    bench.feed(10, &["keep", "keep/second"]).await;
    bench.finish(&[("keep", 0..20), ("keep/second", 0..20)]).await;
}

/// *Scenario*: an exporter and a receiver that have something exclusively change, together with records on their way.
/// *Guarantees*: the former ones end before the new ones start; nothing is lost; the pipelines do not take the receiver's last watermark for the
/// last one, and the graph is healthy again.
#[tokio::test(start_paused = true)]
async fn what_is_exclusive_stops_first() {
    let yaml = with("{fail: feed}", "{fail: feed, exclusive: program}")
        .replace("keep: {fail: cookies}", "keep: {fail: cookies, exclusive: port 1}");
    let mut bench = Bench::start(&yaml).await;
    bench.feed(10, &["keep", "keep/second"]).await;
    bench.world.fed.send_modify(|fed| *fed += 40);
    let changes = bench.apply(&yaml.replace("exclusive: ", "every: 7s, exclusive: ")).await;
    assert_eq!(changes.failed.len(), 0);
    bench.feed(10, &["keep", "keep/second"]).await;
    assert!(matches!(bench.environment.health.status(), HealthStatus::Healthy { .. }));
    let logged = bench.world.logged();
    let all = |text: &str| {
        logged.iter().enumerate().filter(|(_, line)| *line == text).map(|(at, _)| at).collect::<Vec<_>>()
    };
    let (starts, ends) = (all("start gen"), all("end gen"));
    assert!(starts.len() == 2 && ends.len() == 1 && ends[0] < starts[1], "{logged:?}");
    let (starts, ends) = (all("start keep"), all("shutdown keep"));
    assert!(starts.len() == 2 && ends.len() == 1 && ends[0] < starts[1], "{logged:?}");
    assert_eq!(bench.count("keep watermark, last: true"), 0);
    let world = bench.finish(&[("keep", 0..60), ("keep/second", 0..60)]).await;
    assert!(world.logged().contains(&"keep watermark, last: true".to_owned()));
}

/// *Scenario*: an exporter and a receiver that have something exclusively get settings with which they do not start; later they get good ones.
/// *Guarantees*: the former ones run again, and nothing is lost. The errors name the components. The same plan is tried again.
#[tokio::test(start_paused = true)]
async fn the_former_component_starts_again() {
    let yaml = with("{fail: feed}", "{fail: feed, exclusive: program}")
        .replace("keep: {fail: cookies}", "keep: {fail: cookies, exclusive: port 1}");
    let mut bench = Bench::start(&yaml).await;
    bench.feed(10, &["keep", "keep/second"]).await;
    let bad = yaml
        .replace("{fail: feed, exclusive", "{fail: start, exclusive")
        .replace("{fail: cookies, exclusive", "{fail: 'cookies, start', exclusive");
    for _ in 0..2 {
        let changes = bench.apply(&bad).await;
        let mut failed: Vec<String> = changes.failed.iter().map(|error| with_causes(error)).collect();
        failed.sort();
        assert_eq!(
            failed,
            [
                "failed to start exporters::keep: configured to fail",
                "failed to start receivers::gen: configured to fail"
            ]
        );
        bench.feed(10, &["keep", "keep/second"]).await;
    }
    let changes = bench.apply(&yaml).await;
    assert_eq!((changes.started.len(), changes.failed.len()), (0, 0));
    bench.finish(&[("keep", 0..30), ("keep/second", 0..30)]).await;
}

/// *Scenario*: a removed exporter cannot close its output.
/// *Guarantees*: it has delivered what it had, and the graph runs on.
#[tokio::test(start_paused = true)]
async fn a_failure_of_what_was_removed_stops_nothing() {
    let yaml = with("keep/second: {fail: cookies}", "keep/second: {fail: 'cookies, shutdown'}");
    let mut bench = Bench::start(&yaml).await;
    bench.feed(5, &["keep", "keep/second"]).await;
    bench.apply(&BASE.replace(PLAIN, "")).await;
    bench.until(|world| world.logged().contains(&"shutdown keep/second".to_owned())).await;
    bench.feed(5, &["keep"]).await;
    bench.finish(&[("keep", 0..10), ("keep/second", 0..5)]).await;
}

/// *Scenario*: one receiver's input has ended; the configuration changes elsewhere, and where this receiver sends to.
/// *Guarantees*: the receiver does not start again, and its pipeline and exporter neither.
#[tokio::test(start_paused = true)]
async fn a_receiver_whose_input_has_ended_does_not_start_again() {
    let yaml = BASE
        .replace("{gen: {fail: feed}}", "{gen: {fail: feed}, gen/file: {fail: end}}")
        .replace(
            "{receivers: [gen], exporters: [keep/second]}",
            "{receivers: [gen/file], exporters: [keep/second]}",
        )
        .replace("keep/second: {fail: cookies}", "keep/second: ");
    let mut bench = Bench::start(&yaml).await;
    bench.until(|world| world.logged().contains(&"shutdown keep/second".to_owned())).await;
    bench.feed(5, &["keep"]).await;
    for yaml in [
        yaml.replace("pass/2: }", "pass/2: {every: 7s}}"),
        yaml.replace("keep/second: ", "keep/second: {every: 7s}"),
    ] {
        bench.apply(&yaml).await;
        bench.feed(5, &["keep"]).await;
    }
    assert_eq!((bench.count("start gen/file"), bench.count("start keep/second")), (1, 1));
    bench.finish(&[("keep", 0..15)]).await;
}

/// *Scenario*: the resource is another one.
/// *Guarantees*: every exporter starts again before its predecessor has stopped, and no other component; nothing is lost, and the counters
/// continue.
#[tokio::test(start_paused = true)]
async fn another_resource_replaces_the_exporters() {
    let mut bench = Bench::start(BASE).await;
    bench.feed(10, &["keep", "keep/second"]).await;
    bench.environment.resource = Arc::new(vec![("service.name".to_owned(), "other".to_owned())]);
    let exporters = ["exporters::keep", "exporters::keep/second"];
    let Changes { kept, started, stopped, .. } = bench.apply(BASE).await;
    assert_eq!(kept, 3);
    assert!(started == exporters && stopped == exporters, "{started:?} {stopped:?}");
    assert_eq!(bench.apply(BASE).await.kept, 5);
    bench.feed(10, &["keep", "keep/second"]).await;
    assert_eq!((bench.count("start gen"), bench.count("start keep"), bench.count("end gen")), (1, 2, 0));
    assert_eq!(bench.node(NodeKind::Exporter, "keep", "").outgoing(), 20);
    bench.finish(&[("keep", 0..20), ("keep/second", 0..20)]).await;
}

/// *Scenario*: a stop while a new receiver does not finish its start.
/// *Guarantees*: the graph drains as always, and the counters balance.
#[tokio::test(start_paused = true)]
async fn a_stop_during_a_reload() {
    let mut bench = Bench::start(BASE).await;
    bench.feed(10, &["keep", "keep/second"]).await;
    let yaml = with("{gen: {fail: feed}}", "{gen: {fail: feed}, gen/slow: {fail: never start}}")
        .replace("{receivers: [gen], exporters", "{receivers: [gen, gen/slow], exporters")
        .replace("pass/2: }", "pass/2: {every: 7s}}");
    let applied = tokio::time::timeout(
        Duration::from_secs(60),
        bench.runtime.apply(&plan(&bench.world, &yaml), &bench.environment),
    )
    .await;
    assert!(applied.is_err());
    bench.finish(&[("keep", 0..10), ("keep/second", 0..10)]).await;
}

/// *Scenario*: 1,000 reloads under load, which change a processor, an exporter, an extension, the exporters of a pipeline, or the pipelines. Two
/// threads run the stages.
/// *Guarantees*: what is in all configurations delivers every record once and in order; a changed exporter, too, in any order; tasks and counters do
/// not grow in number.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_reloads_under_load() {
    const RELOADS: usize = 1000;
    let base = with("service:", "extensions: {who: }\nservice:\n  extensions: [who]")
        .replace("exporters: {", "exporters: {keep/third: {fail: cookies}, ");
    let variants = [
        base.clone(),
        base.replace("pass/2: }", "pass/2: {every: 7s}}"),
        base.replace("keep/second: {fail: cookies}", "keep/second: {fail: cookies, every: 7s}"),
        base.replace("who: }", "who: {every: 7s}}"),
        base.replace("exporters: [keep]", "exporters: [keep, keep/third]"),
        format!("{base}    logs/third: {{receivers: [gen], processors: [pass], exporters: [keep/third]}}\n"),
    ];
    let mut bench = Bench::start(&base).await;
    let plans: Vec<Plan> = variants.iter().map(|yaml| plan(&bench.world, yaml)).collect();
    // One round makes the counters of all components.
    for plan in plans.iter().chain([&plans[0]]) {
        bench.runtime.apply(plan, &bench.environment).await.unwrap();
    }
    let alive = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    bench.feed(1, &["keep", "keep/second"]).await;
    let nodes = bench.environment.accounting.nodes().len();
    let tasks = alive();
    for reload in 0..RELOADS {
        bench.world.fed.send_modify(|fed| *fed += 20);
        let changes = bench
            .runtime
            .apply(&plans[(reload * 7 + reload / 11) % plans.len()], &bench.environment)
            .await
            .unwrap();
        assert_eq!(changes.failed.len(), 0);
    }
    bench.runtime.apply(&plans[0], &bench.environment).await.unwrap();
    bench.feed(1, &["keep", "keep/second"]).await;
    // The components that were removed last may not have ended yet.
    bench.until(|_| alive() <= tasks).await;
    assert_eq!(bench.environment.accounting.nodes().len(), nodes);
    assert_eq!(bench.count("start gen"), 1);
    let all: Vec<u64> = (0..*bench.world.fed.borrow()).collect();
    let mut second = bench.world.cookies("keep/second");
    second.sort_unstable();
    assert!(second == all, "keep/second has {} of {}", second.len(), all.len());
    let end = all.len() as u64;
    bench.finish(&[("keep", 0..end)]).await;
}
