//! Translation of OpenTelemetry's names, as by Prometheus' `otlptranslator`.

use longwave_pipeline::component::FamilyKind;
use longwave_pipeline::model::metric::Kind;

use crate::prometheus::config::TranslationStrategy;

/// Returns the name and the unit of a metric. `unit` is UCUM's.
pub(super) fn metric(strategy: TranslationStrategy, name: &str, unit: &str) -> (String, &'static str) {
    let mut name = if strategy.escapes() { name.replace('.', "_") } else { name.to_owned() };
    let word = match unit {
        "By" => "bytes",
        "s" => "seconds",
        // Annotations such as `{segment}` are no units.
        _ => "",
    };
    let has_word = name.split(['.', '_']).any(|part| part == word);
    if strategy.has_suffixes() && !word.is_empty() && !has_word {
        name.push('_');
        name.push_str(word);
    }
    (name, word)
}

/// Returns the kind of a metric's family.
pub(super) fn kind(strategy: TranslationStrategy, kind: Kind) -> FamilyKind {
    match kind {
        Kind::Counter if strategy.has_suffixes() => FamilyKind::Counter,
        Kind::Counter => FamilyKind::CounterWithoutSuffix,
        Kind::UpDown | Kind::Gauge => FamilyKind::Gauge,
        Kind::Histogram => FamilyKind::Histogram,
    }
}

/// Returns the name of a label.
pub(super) fn label(name: &str, escapes: bool) -> String {
    if !escapes {
        return name.to_owned();
    }
    let mut label: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }).collect();
    if label.starts_with(|c: char| c.is_ascii_digit()) {
        label.insert_str(0, "key_");
    }
    label
}
