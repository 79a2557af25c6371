use longwave_pipeline::component::{Accepted, Format};
use longwave_testing::golden;

use super::{Fixture, OPEN_METRICS, TEXT, plain, scraper};
use crate::prometheus::{Naming, PrometheusConfig, TranslationStrategy};

/// Returns the page for the golden window, without most buckets.
fn page(config: PrometheusConfig, accepted: Accepted) -> String {
    let fixture = Fixture::new(config);
    fixture.endpoint.add(&golden::window(), fixture.start);
    let page = fixture.endpoint.page(scraper("test"), accepted, fixture.start);
    let page = String::from_utf8(page).unwrap();
    let is_shown =
        |line: &&str| !line.contains("le=\"") || line.contains("le=\"+Inf\"") || line.contains("le=\"1");
    page.lines().filter(is_shown).map(|line| format!("{line}\n")).collect()
}

/// *Scenario*: the golden window with the default settings, in OpenMetrics.
/// *Guarantees*: the page is the stable contract: names, units, types, labels and creation times.
#[test]
fn open_metrics() {
    insta::assert_snapshot!(page(PrometheusConfig::default(), OPEN_METRICS));
}

/// *Scenario*: the golden window in the text format, with resource attributes, constant labels and without suffixes.
/// *Guarantees*: the settings change names and labels as documented.
#[test]
fn text_without_suffixes() {
    let mut config = PrometheusConfig {
        translation_strategy: TranslationStrategy::UnderscoreEscapingWithoutSuffixes,
        const_labels: [("team".to_owned(), "edge \"1\"".to_owned())].into(),
        ..plain()
    };
    config.resource_to_telemetry_conversion.enabled = true;
    insta::assert_snapshot!(page(config, TEXT));
}

/// *Scenario*: names are not translated, for a client that accepts UTF-8 names, and for one that does not.
/// *Guarantees*: the first gets the original names in quotes, the second gets underscores.
#[test]
fn untranslated_names_depend_on_the_client() {
    let config = PrometheusConfig { translation_strategy: TranslationStrategy::NoTranslation, ..plain() };
    let shown = |accepted| {
        let page = page(config.clone(), accepted);
        page.lines()
            .filter(|line| line.contains("sent") && line.contains("bytes"))
            .take(4)
            .collect::<Vec<_>>()
            .join("\n")
    };
    let utf8 = Accepted { utf8_names: true, ..TEXT };
    insta::assert_snapshot!(format!(
        "{}\n\n{}\n\n{}",
        shown(utf8),
        shown(Accepted { format: Format::OpenMetrics, ..utf8 }),
        shown(TEXT)
    ));
}

/// *Scenario*: the golden window with Istio's names, and with Kmesh's.
/// *Guarantees*: the page has exactly the metrics and labels of those systems. Nothing is empty.
#[test]
fn names_of_meshes() {
    for (name, naming) in [("istio", Naming::Istio), ("kmesh", Naming::Kmesh)] {
        let page = page(PrometheusConfig { naming, ..PrometheusConfig::default() }, OPEN_METRICS);
        assert!(!page.contains("=\"\""), "an empty label:\n{page}");
        insta::assert_snapshot!(name, page);
    }
}
