//! Pages that Prometheus scrapes: content negotiation ([`Accepted`]), and a [`Page`] in one of three formats.
//!
//! | format | specification |
//! |---|---|
//! | OpenMetrics text 1.0 | <https://prometheus.io/docs/specs/om/open_metrics_spec/> |
//! | text 0.0.4 | <https://prometheus.io/docs/instrumenting/exposition_formats/> |
//! | protobuf | `io.prometheus.client.MetricFamily`, each message after its length |
//!
//! `prometheus-client` serves registered instruments as OpenMetrics only, with creation times of its own. A window has external creation
//! times, and the label sets of thousands of series, which are encoded once for all metrics of a series.

mod negotiation;
mod page;
mod protobuf;
mod sdk;
mod text;

pub use negotiation::{Accepted, Format};
pub use page::{Family, FamilyKind, Labels, Number, Page, Samples};
pub use sdk::SdkReader;
pub use text::is_legacy_name;

#[cfg(test)]
mod tests;
