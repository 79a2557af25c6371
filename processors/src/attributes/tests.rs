//! Tests of `attributes`.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use longwave_pipeline::component::{
    ActionKind, AttributeAction, AttributeEdits, Processor, ProcessorContext,
};
use longwave_pipeline::model::{
    AttributeValue, Batch, CloseReason, ConnectionId, ConnectionKey, Endpoint, FailReason, FlowKey, Level,
    Measures, OwnedValue, Reporter, Role, Rung, Series, SeriesKey, ServiceKey, Totals, UnixNanos, Window,
    WorkloadDetails, WorkloadKey, key,
};
use proptest::prelude::*;

use super::merged_series::MergedSeries;
use super::*;
use crate::testing::{context, problems};

/// Attributes of a series that OpenTelemetry sends: an unknown name has none.
type Attributes = BTreeMap<String, OwnedValue>;

fn action(action: ActionKind, key: &str, value: Option<&str>, from: Option<&str>) -> AttributeAction {
    AttributeAction {
        key: key.to_owned(),
        value: value.map(str::to_owned),
        from_attribute: from.map(str::to_owned),
        action,
    }
}

fn delete(key: &str) -> AttributeAction {
    action(ActionKind::Delete, key, None, None)
}

fn config(actions: Vec<AttributeAction>) -> AttributesConfig {
    AttributesConfig { actions, ..AttributesConfig::default() }
}

fn workload(name: &str, pod: &str) -> WorkloadKey {
    let details = WorkloadDetails { pod: pod.into(), ..WorkloadDetails::default() };
    WorkloadKey {
        name: Some(name.into()),
        kind: Some(if name.is_empty() { "" } else { "Deployment" }.into()),
        namespace: Some("shop".into()),
        details: (!pod.is_empty()).then(|| Box::new(details)),
    }
}

/// Returns the key of a series between two workloads; an empty name is unknown.
fn flow(level: Level, source: &str, pod: &str, destination: &str) -> SeriesKey {
    let connection = ConnectionKey {
        id: Some(ConnectionId { boot: 1, netns: 1, cookie: 42, generation: 7 }),
        role: Some(Role::Client),
        source: Endpoint { address: [10, 0, 0, 1].into(), port: 40_000 }.into(),
        destination: Endpoint { address: [10, 0, 0, 2].into(), port: 443 }.into(),
        opened: Some(UnixNanos(1_000_000_000)),
    };
    SeriesKey::Flow(FlowKey {
        reporter: Reporter::Source,
        source: workload(source, pod),
        service: ServiceKey { name: Some(destination.into()), namespace: Some("".into()), ambiguous: false },
        destination: if level == Level::Service { WorkloadKey::default() } else { workload(destination, "") },
        connection: (level == Level::Connection).then(|| Box::new(connection)),
        folded: None,
    })
}

fn attributes(key: &SeriesKey) -> Attributes {
    let mut found = Attributes::new();
    key.for_each_attribute(&mut |key, value| {
        if !matches!(value, AttributeValue::Unknown) {
            let before = found.insert(key.to_owned(), OwnedValue::from(value));
            assert_eq!(before, None, "{key} occurs twice");
        }
    });
    found
}

fn text(key: &SeriesKey) -> String {
    let found = attributes(key).into_iter().map(|(key, value)| format!("{key}={value:?}"));
    found.collect::<Vec<_>>().join(" ")
}

fn window(start: u64, series: Vec<Series>) -> Window {
    Window { start: UnixNanos(start), end: UnixNanos(start + 5), series }
}

fn series(level: Level, key: &Arc<SeriesKey>, created: u64, ended: bool, measures: Measures) -> Series {
    Series { level, key: Arc::clone(key), created: UnixNanos(created), ended, measures }
}

fn sent(bytes: u64) -> Measures {
    Measures { totals: Totals { sent_bytes: bytes, ..Totals::default() }, active: 1, ..Measures::default() }
}

/// *Scenario*: two pods of a workload, whose names are removed. The older one ends first, and a third one begins.
/// *Guarantees*: they are one series with their sums. It keeps its key and its creation until the last of them ends, so that cumulative sums do not
/// start again.
#[test]
fn series_that_become_equal_are_one() {
    let edits = AttributeEdits::new(vec![delete(key::SOURCE_POD)]);
    let mut merged = MergedSeries::new(edits);
    let pods = ["a-1", "a-2", "a-3"].map(|pod| Arc::new(flow(Level::Workload, "a", pod, "b")));
    let of =
        |pod: usize, created, ended, bytes| series(Level::Workload, &pods[pod], created, ended, sent(bytes));
    let first = merged.edit(window(10, vec![of(0, 5, false, 1), of(1, 10, false, 2)]));
    let second = merged.edit(window(15, vec![of(0, 5, true, 4), of(1, 10, false, 8)]));
    let third = merged.edit(window(20, vec![of(1, 10, true, 16), of(2, 20, false, 32)]));
    let fourth = merged.edit(window(25, vec![of(2, 20, true, 64)]));
    let windows = [&first, &second, &third, &fourth];
    assert_eq!(windows.map(|window| window.series.len()), [1; 4]);
    assert_eq!(windows.map(|window| window.series[0].measures.totals.sent_bytes), [3, 12, 48, 64]);
    assert_eq!(windows.map(|window| window.series[0].created), [UnixNanos(5); 4]);
    assert_eq!(windows.map(|window| window.series[0].ended), [false, false, false, true]);
    assert!(windows.iter().all(|window| Arc::ptr_eq(&window.series[0].key, &first.series[0].key)));
    assert!(merged.is_empty());
    let again = merged.edit(window(30, vec![of(0, 30, false, 1)]));
    assert_eq!(again.series[0].created, UnixNanos(30));
}

/// *Scenario*: names are removed, replaced and copied, at level connection and in the overflow series.
/// *Guarantees*: the attributes are those that the actions make. What outputs for people show as flow has the same names. The connection is
/// shown as long as none of its attributes changes.
#[test]
fn attributes_and_flow_agree() {
    let edited = |key: SeriesKey, actions: Vec<AttributeAction>| {
        let mut merged = MergedSeries::new(AttributeEdits::new(actions));
        let window =
            merged.edit(window(0, vec![series(Level::Connection, &Arc::new(key), 0, false, sent(1))]));
        Arc::clone(&window.series[0].key)
    };
    let of_connection = || flow(Level::Connection, "a", "a-1", "b");
    let renamed = edited(
        of_connection(),
        vec![
            action(ActionKind::Upsert, "pod", None, Some(key::SOURCE_POD)),
            delete(key::SOURCE_POD),
            action(ActionKind::Upsert, key::DESTINATION_WORKLOAD_NAME, Some("other"), None),
            delete(key::SOURCE_WORKLOAD_KIND),
        ],
    );
    insta::assert_snapshot!(text(&renamed));
    let shown = renamed.flow().unwrap();
    let source = &shown.source;
    assert_eq!((source.name.as_deref(), source.kind.as_deref(), &source.details), (Some("a"), None, &None));
    assert_eq!(shown.destination.name.as_deref(), Some("other"));
    assert!(shown.connection.is_some());
    let without_port = edited(of_connection(), vec![delete(key::SOURCE_PORT)]);
    assert_eq!(without_port.flow().unwrap().connection, None);
    let overflow = edited(SeriesKey::Overflow, vec![action(ActionKind::Insert, "cluster", Some("eu"), None)]);
    assert_eq!(text(&overflow), "cluster=Str(\"eu\") otel.metric.overflow=Bool(true)");
    assert_eq!((overflow.flow(), overflow.rung()), (None, Some(Rung::Overflow)));
    let folded = of_connection().folded(Rung::Owner).unwrap();
    let folded = edited(folded, vec![delete(key::SOURCE_WORKLOAD_KIND)]);
    assert_eq!(folded.rung(), Some(Rung::Owner));
}

/// *Scenario*: records and watermarks in a logs pipeline.
/// *Guarantees*: they pass, and the exporters of the pipeline get the actions.
#[test]
fn records_pass() {
    let config = config(vec![delete("a")]);
    let (context, _) = context("attributes", "logs", false);
    let mut processor = AttributesProcessor::new(&config, &context).unwrap();
    let mut out = Vec::new();
    let records = longwave_testing::golden::records();
    processor.process(Batch::records(records.clone()), &mut out).unwrap();
    processor.process(Batch::PassEnd(longwave_testing::golden::pass_end()), &mut out).unwrap();
    let [Batch::Records(passed), Batch::PassEnd(_)] = out.as_slice() else { panic!("{out:?}") };
    assert_eq!(**passed, records);
    use longwave_pipeline::component::ComponentConfig;
    assert_eq!(config.exporter_changes().log_attributes, config.actions);
}

/// *Scenario*: valid settings, settings of the Collector that Longwave does not have, and attributes that must not change.
/// *Guarantees*: each is refused with its path, the reason and the remedy.
#[test]
fn bad_settings_are_refused() {
    let of = |yaml: &str| problems(&factory(), "attributes", yaml);
    let valid = "{actions: [{key: a, value: b, action: upsert}, {key: c, from_attribute: a, action: insert}, {key: a, action: delete}]}";
    assert_eq!(of(valid), "valid");
    let created = |pipeline: &str, key: &str| {
        let context: ProcessorContext = context("attributes", pipeline, false).0;
        let config = config(vec![delete("a"), delete(key)]);
        AttributesProcessor::new(&config, &context).err().map(|error| error.to_string()).unwrap_or_default()
    };
    insta::assert_snapshot!(
        [
            of("{}"),
            of("{actions: [{key: a, action: hash}]}"),
            of("{actions: [{key: a, pattern: '(?P<b>.*)', action: extract}]}"),
            of("{actions: [{key: a, converted_type: int, action: convert}]}"),
            of("{actions: [{key: a, value: 5, action: insert}]}"),
            of("{actions: [{key: a, action: delete}], include: {match_type: strict}, exclude: {}}"),
            created("metrics", key::REPORTER),
            created("metrics", key::OVERFLOW),
            created("metrics", key::CLOSE_REASON),
            created("metrics", key::ERROR_TYPE),
            created("logs", key::LOG_RECORD_UID),
        ]
        .join("\n")
    );
    assert_eq!(created("logs", key::REPORTER) + &created("logs", key::CLOSE_REASON), "");
}

/// Names of the input's series. Some become equal by almost any action.
const NAMES: [&str; 3] = ["", "a", "b"];

/// What happens to one of the input's series in one window: nothing, or measures, and whether it ends.
#[derive(Clone, Copy, Debug)]
struct Step {
    sent: u64,
    rtt: u8,
    failed: u64,
    ends: bool,
}

/// The input's series: level, source, pod, destination. One of each level has folded series.
fn inputs() -> Vec<(Level, SeriesKey)> {
    let mut inputs = Vec::new();
    for level in [Level::Service, Level::Workload] {
        for source in NAMES {
            for pod in ["", "p"] {
                inputs.extend(NAMES.map(|destination| (level, flow(level, source, pod, destination))));
            }
        }
        inputs.push((level, SeriesKey::Overflow));
        inputs.extend([(level, flow(level, "a", "p", "b").folded(Rung::Namespace).unwrap())]);
    }
    inputs
}

fn actions() -> impl Strategy<Value = Vec<AttributeAction>> {
    let keys = [
        key::SOURCE_WORKLOAD_NAME,
        key::SOURCE_WORKLOAD_KIND,
        key::SOURCE_POD,
        key::DESTINATION_SERVICE_NAME,
        key::DESTINATION_WORKLOAD_NAME,
        "team",
        "cluster",
    ];
    let kinds = [ActionKind::Insert, ActionKind::Update, ActionKind::Upsert, ActionKind::Delete];
    let one = (0..keys.len(), 0..keys.len(), 0..4_usize, any::<bool>());
    let one = one.prop_map(move |(to, from, kind, copies)| match kinds[kind] {
        ActionKind::Delete => delete(keys[to]),
        kind if copies => action(kind, keys[to], None, Some(keys[from])),
        kind => action(kind, keys[to], Some(NAMES[1 + from % 2]), None),
    });
    prop::collection::vec(one, 1..6)
}

fn steps() -> impl Strategy<Value = Vec<Vec<Option<Step>>>> {
    let step = (0..1000_u64, 0..4_u8, 0..3_u64, any::<bool>());
    let step = step.prop_map(|(sent, rtt, failed, ends)| Step { sent, rtt, failed, ends });
    let of_window = prop::collection::vec(prop::option::of(step), inputs().len());
    prop::collection::vec(of_window, 1..6)
}

fn measures(step: Step) -> Measures {
    let mut measures = sent(step.sent);
    measures.opened = step.sent % 7;
    measures.active = u64::from(!step.ends);
    // Quarters have exact sums.
    (0..step.rtt).for_each(|n| measures.rtt.record(f64::from(n) * 0.25));
    measures.offer_min_rtt((step.rtt > 0).then(|| f64::from(step.rtt) * 0.25));
    measures.count_closed(CloseReason::Fin);
    measures.count_failed(FailReason::Refused, step.failed);
    measures.failed.retain(|(_, count)| *count > 0);
    measures
}

/// The series of a level by attributes.
type ByAttributes = HashMap<(Level, Attributes), Measures>;

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    /// *Scenario*: any actions, on any windows of 40 series that begin, pause, end and return.
    /// *Guarantees*: no two series of a window have the same attributes. Each has the sums, the samples and the minimum of those series of the input
    /// that have its attributes, so that nothing is lost or counted twice. A series has one creation while it lives, and ends exactly with the last
    /// of its series. The accounting balances, and nothing is kept of series that have ended.
    #[test]
    fn totals_are_conserved(actions in actions(), steps in steps()) {
        let (context, accounting) = context("attributes", "metrics", false);
        let mut processor = AttributesProcessor::new(&config(actions.clone()), &context).unwrap();
        let edits = AttributeEdits::new(actions);
        let inputs = inputs();
        let expected_key = |key: &SeriesKey| {
            let mut found = Attributes::new();
            edits.for_each(&|visit| key.for_each_attribute(visit), &mut |key, value| {
                if !matches!(value, AttributeValue::Unknown) {
                    found.insert(key.to_owned(), OwnedValue::from(value));
                }
            });
            found
        };
        // Key and creation of each live series of the input.
        let mut live: Vec<Option<(Arc<SeriesKey>, u64)>> = vec![None; inputs.len()];
        let mut creations: HashMap<(Level, Attributes), UnixNanos> = HashMap::new();
        for (number, steps) in steps.iter().enumerate() {
            let start = number as u64 * 5;
            let mut expected = ByAttributes::new();
            let mut of_window = Vec::new();
            for ((level, key), (live, step)) in inputs.iter().zip(live.iter_mut().zip(steps)) {
                let Some(step) = step else { continue };
                let (handle, created) = live.get_or_insert_with(|| (Arc::new(key.clone()), start)).clone();
                if step.ends {
                    *live = None;
                }
                expected.entry((*level, expected_key(key))).or_default().merge(&measures(*step));
                of_window.push(series(*level, &handle, created, step.ends, measures(*step)));
            }
            let batch = Batch::Window(Arc::new(window(start, of_window)));
            context.node.add_incoming(batch.items());
            let mut out = Vec::new();
            processor.process(batch, &mut out).unwrap();
            context.node.add_outgoing(out[0].items());
            let Batch::Window(found) = &out[0] else { panic!("{out:?}") };
            prop_assert_eq!(found.series.len(), expected.len());
            let remaining: Vec<(Level, Attributes)> = live
                .iter()
                .zip(&inputs)
                .filter(|(live, _)| live.is_some())
                .map(|(_, (level, key))| (*level, expected_key(key)))
                .collect();
            for series in &found.series {
                let identity = (series.level, attributes(&series.key));
                prop_assert_eq!(Some(&series.measures), expected.get(&identity));
                let created = *creations.entry(identity.clone()).or_insert(series.created);
                prop_assert_eq!(series.created, created);
                prop_assert_eq!(series.ended, !remaining.contains(&identity));
                if series.ended {
                    creations.remove(&identity);
                }
            }
        }
        prop_assert!(accounting.imbalances().is_empty());
    }
}
