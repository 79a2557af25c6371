//! [`EditedKey`]: key of a series whose attributes a processor has changed.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::model::attributes::{AttributeValue, key};
use crate::model::names::Label;
use crate::model::owned_value::OwnedValue;
use crate::model::series_attributes::SeriesAttributes;
use crate::model::series_key::{FlowKey, SeriesKey, ServiceKey, WorkloadDetails, WorkloadKey};

/// Key of a series with changed attributes. Two keys are equal if and only if their known attributes are, which are those that OpenTelemetry
/// sends.
#[derive(Clone, Debug)]
pub struct EditedKey {
    /// All attributes, in the order of their keys. Each key occurs once.
    attributes: Box<[(String, OwnedValue)]>,
    /// The names that the attributes contain, for outputs that show a flow. `None` for the overflow series.
    flow: Option<FlowKey>,
}

/// The attribute names of a workload: name, kind, namespace, pod, node, container.
type WorkloadAttributes = [&'static str; 6];

const SOURCE: WorkloadAttributes = [
    key::SOURCE_WORKLOAD_NAME,
    key::SOURCE_WORKLOAD_KIND,
    key::SOURCE_NAMESPACE,
    key::SOURCE_POD,
    key::SOURCE_NODE,
    key::SOURCE_CONTAINER,
];
const DESTINATION: WorkloadAttributes = [
    key::DESTINATION_WORKLOAD_NAME,
    key::DESTINATION_WORKLOAD_KIND,
    key::DESTINATION_NAMESPACE,
    key::DESTINATION_POD,
    key::DESTINATION_NODE,
    key::DESTINATION_CONTAINER,
];

// === impl EditedKey ===

impl EditedKey {
    /// Makes the key of a series that had the key `original`, and now has these attributes, each once.
    pub fn new(original: &SeriesKey, mut attributes: Vec<(String, OwnedValue)>) -> Self {
        // In one order, so that equal attributes give equal keys.
        attributes.sort_unstable();
        let mut edited = Self { attributes: attributes.into(), flow: None };
        edited.flow = original.flow().map(|flow| edited.flow_like(flow, original));
        edited
    }

    /// Visits the attributes.
    pub fn for_each_attribute(&self, visit: &mut dyn FnMut(&str, AttributeValue<'_>)) {
        self.attributes.iter().for_each(|(key, value)| visit(key, value.view()));
    }

    /// Returns the flow; `None` for the overflow series.
    pub fn flow(&self) -> Option<&FlowKey> {
        self.flow.as_ref()
    }

    fn known(&self) -> impl Iterator<Item = &(String, OwnedValue)> {
        self.attributes.iter().filter(|(_, value)| *value != OwnedValue::Unknown)
    }

    fn get(&self, wanted: &str) -> Option<&OwnedValue> {
        let found = self.attributes.binary_search_by(|(key, _)| key.as_str().cmp(wanted)).ok()?;
        Some(&self.attributes[found].1)
    }

    /// Returns the text of an attribute; empty if it is unknown, `None` if it is absent.
    fn name(&self, wanted: &str) -> Option<Arc<str>> {
        Some(match self.get(wanted)? {
            OwnedValue::Unknown => Arc::default(),
            OwnedValue::Str(text) => Arc::clone(text),
            OwnedValue::Int(number) => number.to_string().into(),
            OwnedValue::Float(bits) => f64::from_bits(*bits).to_string().into(),
            OwnedValue::Bool(value) => value.to_string().into(),
        })
    }

    /// Returns the text of an attribute; empty if it is absent or unknown.
    fn text(&self, wanted: &str) -> Arc<str> {
        self.name(wanted).unwrap_or_default()
    }

    /// Returns the flow with the names of the attributes. What has no attribute (the reporter is never changed) is that of `original`.
    fn flow_like(&self, original: &FlowKey, original_key: &SeriesKey) -> FlowKey {
        FlowKey {
            reporter: original.reporter,
            source: self.workload(SOURCE, &original.source, |label| &label.key.source),
            service: ServiceKey {
                name: self.name(key::DESTINATION_SERVICE_NAME),
                namespace: self.name(key::DESTINATION_SERVICE_NAMESPACE),
                ambiguous: self.get(key::SERVICE_AMBIGUOUS) == Some(&OwnedValue::Bool(true)),
            },
            destination: self.workload(DESTINATION, &original.destination, |label| &label.key.destination),
            connection: original.connection.clone().filter(|_| self.has_connection_of(original_key)),
            folded: original.folded.filter(|_| self.get(key::FOLDED).is_some()),
        }
    }

    fn workload(
        &self,
        keys: WorkloadAttributes,
        original: &WorkloadKey,
        key: impl Fn(&Label) -> &str,
    ) -> WorkloadKey {
        let [name, kind, namespace, ..] = keys.map(|key| self.name(key));
        let [.., pod, node, container] = keys.map(|key| self.text(key));
        let labels = original.details.iter().flat_map(|details| details.labels.iter());
        let labels = labels.filter_map(|label| {
            let value = self.text(key(label));
            (!value.is_empty()).then(|| Label { key: Arc::clone(&label.key), value })
        });
        let details = WorkloadDetails { labels: labels.collect(), pod, node, container };
        let details = (details != WorkloadDetails::default()).then(|| Box::new(details));
        WorkloadKey { name, kind, namespace, details }
    }

    /// Returns whether no attribute of the connection has changed.
    fn has_connection_of(&self, original: &SeriesKey) -> bool {
        let (names, mut is_same) = (SeriesAttributes::connection_names(), true);
        original.for_each_attribute(&mut |key, value| {
            if names.contains(&key) {
                is_same &= self.get(key) == Some(&OwnedValue::from(value));
            }
        });
        is_same
    }
}

impl PartialEq for EditedKey {
    fn eq(&self, other: &Self) -> bool {
        self.known().eq(other.known())
    }
}

impl Eq for EditedKey {}

impl Hash for EditedKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.known().for_each(|attribute| attribute.hash(state));
    }
}
