//! Tests of `batch`.

use longwave_config::GoDuration;
use longwave_pipeline::component::{BatchConfig, BatchSizer, ComponentConfig, Processor};
use longwave_pipeline::model::Batch;
use longwave_testing::golden;

use super::*;
use crate::testing::problems;

/// *Scenario*: a window, records and a watermark.
/// *Guarantees*: they pass unchanged.
#[test]
fn batches_pass() {
    let (mut out, window, records) = (Vec::new(), golden::window(), golden::records());
    for batch in [
        Batch::Window(window.clone().into()),
        Batch::records(records.clone()),
        Batch::PassEnd(golden::pass_end()),
    ] {
        PassThrough.process(batch, &mut out).unwrap();
    }
    let [Batch::Window(passed), Batch::Records(passed_records), Batch::PassEnd(_)] = &*out else {
        panic!("{out:?}")
    };
    assert_eq!((&**passed, &**passed_records), (&window, &records));
}

/// *Scenario*: the defaults, and all settings.
/// *Guarantees*: the exporters get their own defaults, and the settings. With `timeout: 0s` requests are not merged.
#[test]
fn exporters_get_the_settings() {
    let of = |config: BatchProcessorConfig| config.exporter_changes().batch.unwrap();
    assert_eq!(of(BatchProcessorConfig::default()), BatchConfig::default());
    let all = BatchProcessorConfig {
        send_batch_size: 100,
        timeout: GoDuration::from_secs(0),
        send_batch_max_size: 200,
        ..BatchProcessorConfig::default()
    };
    let expected = BatchConfig {
        enabled: false,
        flush_timeout: GoDuration::from_secs(0),
        min_size: 100,
        max_size: 200,
        sizer: BatchSizer::Items,
    };
    assert_eq!(of(all), expected);
}

/// *Scenario*: valid settings, and settings that are invalid or that Longwave does not have.
/// *Guarantees*: each invalid one is refused with its path, the reason and the remedy.
#[test]
fn bad_settings_are_refused() {
    let of = |yaml: &str| problems(&factory(), "batch", yaml);
    assert_eq!(of("{}"), "valid");
    assert_eq!(of("{timeout: 10s, send_batch_size: 1000, send_batch_max_size: 2000}"), "valid");
    insta::assert_snapshot!(
        [
            of("{send_batch_size: 1000, send_batch_max_size: 500}"),
            of("{timeout: 1h, send_batch_size: 99999999999}"),
            of("{metadata_keys: [tenant], metadata_cardinality_limit: 10}"),
        ]
        .join("\n")
    );
}
