use std::fmt::Display;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use longwave_config::{ConfigPath, Value};
use longwave_pipeline::component::{Payload, Pusher};
use longwave_pipeline::model::Batch;
use longwave_testing::golden;
use opentelemetry_proto::tonic::common::v1::{AnyValue, any_value};
use serde_json::json;

use super::config::Verbosity;
use super::format::{Shortest, Time, Typed};
use super::pusher::Text;
use super::sampler::Sampler;
use super::*;
use crate::stdout::Writer;
use crate::testing;

fn context(signal: Signal) -> ExporterContext {
    testing::context("debug", signal, &[("service.name", "longwave")])
}

/// Encodes the golden records or window.
fn payload(signal: Signal) -> Payload {
    let batch = match signal {
        Signal::Metrics => Batch::Window(Arc::new(golden::window())),
        Signal::Logs => Batch::records(golden::records()[1..4].to_vec()),
    };
    let client = DebugConfig::default().client();
    let pusher = Arc::new(DebugPusher::new(&DebugConfig::default(), &context(signal)));
    OtlpExporter::new(&context(signal), &client, pusher).encode(&batch).unwrap().remove(0)
}

/// Returns the text without the version of Longwave.
fn text(signal: Signal, verbosity: Verbosity) -> String {
    let text = Text::new(signal, verbosity, payload(signal).bytes).unwrap();
    (text.summary.line() + &text.details)
        .replace(&format!("longwave {}\n", env!("CARGO_PKG_VERSION")), "longwave VERSION\n")
        .replace(&format!("longwave@{}", env!("CARGO_PKG_VERSION")), "longwave@VERSION")
}

/// *Scenario*: the golden window and golden records with each verbosity. A name has quotes and a line break.
/// *Guarantees*: `basic` is the line of counts, `normal` has one line for each point or record, `detailed` has all fields in the Collector's
/// layout. A line break in a name is escaped.
#[test]
fn requests_as_text() {
    for (verbosity, name) in
        [(Verbosity::Basic, "basic"), (Verbosity::Normal, "normal"), (Verbosity::Detailed, "detailed")]
    {
        insta::assert_snapshot!(format!("metrics_{name}"), text(Signal::Metrics, verbosity));
        insta::assert_snapshot!(format!("logs_{name}"), text(Signal::Logs, verbosity));
    }
}

/// *Scenario*: values whose text differs between Rust and Go.
/// *Guarantees*: the texts are those that the Collector writes.
#[test]
fn values_are_written_as_in_go() {
    let shown = |value: &dyn Display| value.to_string();
    for (number, expected) in [
        (0.0, "0"),
        (0.00001, "1e-05"),
        (0.0001, "0.0001"),
        (1.5, "1.5"),
        (604_800.0, "604800"),
        (1e20, "100000000000000000000"),
        (1e21, "1e+21"),
        (-2.5e-7, "-2.5e-07"),
    ] {
        assert_eq!(shown(&Shortest(number)), expected);
    }
    assert_eq!(shown(&Time(0)), "1970-01-01 00:00:00 +0000 UTC");
    assert_eq!(shown(&Time(golden::START.0)), "2026-11-21 08:00:00 +0000 UTC");
    assert_eq!(shown(&Time(golden::START.0 + 120_000_000)), "2026-11-21 08:00:00.12 +0000 UTC");
    assert_eq!(shown(&Time(golden::START.0 + 321)), "2026-11-21 08:00:00.000000321 +0000 UTC");
    let double = |number| AnyValue { value: Some(any_value::Value::DoubleValue(number)) };
    assert_eq!(shown(&Typed(Some(&double(0.25)))), "Double(0.25)");
    assert_eq!(shown(&Typed(Some(&double(1e-7)))), "Double(1e-7)");
    assert_eq!(shown(&Typed(Some(&double(3.0)))), "Double(3)");
    assert_eq!(shown(&Typed(None)), "Empty()");
}

/// *Scenario*: ten requests in one second and two in the next, with several settings.
/// *Guarantees*: in each second the first `sampling_initial` are shown, and then every `sampling_thereafter`-th; with 1 all, with 0 none.
#[test]
fn sampling_follows_the_rule_of_zap() {
    let start = Instant::now();
    let shown = |initial, thereafter| {
        let mut sampler = Sampler::new(initial, thereafter);
        let times = (0..10)
            .map(|n| start + Duration::from_millis(n * 50))
            .chain([1000, 1900].map(|millis| start + Duration::from_millis(millis)));
        times.map(|time| if sampler.admits(time) { '1' } else { '.' }).collect::<String>()
    };
    assert_eq!(shown(2, 1), "111111111111");
    assert_eq!(shown(2, 0), "11........11");
    assert_eq!(shown(2, 3), "11..1..1..11");
    assert_eq!(shown(0, 4), "...1...1....");
}

/// *Scenario*: `use_internal_logger: false`, two requests of which one is sampled.
/// *Guarantees*: the standard output has the counts and the details of the first, and nothing else. Both are delivered.
#[tokio::test]
async fn text_goes_to_the_standard_output() {
    let (mut reader, descriptor) = std::io::pipe().unwrap();
    let config = DebugConfig {
        verbosity: Verbosity::Normal,
        sampling_initial: 1,
        sampling_thereafter: 0,
        ..DebugConfig::default()
    };
    let writer = Writer::to(OwnedFd::from(descriptor));
    let pusher = DebugPusher::with_output(&config, &context(Signal::Logs), Some(writer));
    pusher.start().await.unwrap();
    pusher.push(&payload(Signal::Logs)).await.unwrap();
    pusher.push(&payload(Signal::Logs)).await.unwrap();
    pusher.shutdown().await.unwrap();
    drop(pusher);
    let mut found = String::new();
    reader.read_to_string(&mut found).unwrap();
    let expected = Text::new(Signal::Logs, Verbosity::Normal, payload(Signal::Logs).bytes).unwrap();
    assert_eq!(found, expected.summary.line() + &expected.details);
}

/// *Scenario*: valid settings, an unknown verbosity, and settings of the Collector that Longwave does not have.
/// *Guarantees*: each invalid one is refused with its path, the reason and the remedy.
#[test]
fn bad_sections() {
    let shown = |section: serde_json::Value| {
        let section = Value::from_serialize(&section).unwrap();
        match factory().prepare(&section, &ConfigPath::from("exporters::debug")) {
            Ok(_) => "fine".to_owned(),
            Err(errors) => errors.to_string(),
        }
    };
    let all = json!({"verbosity": "normal", "sampling_initial": 5, "sampling_thereafter": 200, "use_internal_logger": false});
    assert_eq!(shown(all), "fine");
    assert_eq!(shown(json!({"verbosity": "Detailed"})), "fine");
    insta::assert_snapshot!(
        [
            shown(json!({"verbosity": "none"})),
            shown(json!({"loglevel": "debug"})),
            shown(json!({"sampling_initial": -1})),
            shown(json!({"output": {"record": {"enabled": false}}, "output_paths": ["stderr"]})),
        ]
        .join("\n")
    );
}
