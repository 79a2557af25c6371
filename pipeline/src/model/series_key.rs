//! [`SeriesKey`]: the typed key of a series. Exporters turn it into attributes with [`SeriesKey::for_each_attribute`].

mod connection;
mod names;

pub use connection::{ConnectionKey, EndpointKey};
pub use names::{ServiceKey, WorkloadDetails, WorkloadKey};

use self::names::{DESTINATION, SOURCE};
use crate::model::attributes::{AttributeValue, FlowView, for_each_of_flow, key};
use crate::model::edited_key::EditedKey;
use crate::model::record::{ConnectionRecord, Names, Reporter, Role};
use crate::model::rung::Rung;
use crate::model::series_attributes::SeriesAttributes;

/// Key of a series within its level. Two keys are equal if and only if their attributes are.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SeriesKey {
    /// The overflow series, for series beyond `max_series`.
    Overflow,
    /// A flow between two ends.
    Flow(FlowKey),
    /// A series whose attributes a processor has changed.
    Edited(Box<EditedKey>),
}

/// A flow between two ends, as one of them reports it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FlowKey {
    /// The reporting end.
    pub reporter: Reporter,
    /// The client's workload.
    pub source: WorkloadKey,
    /// The service that the client connected to.
    pub service: ServiceKey,
    /// The server's workload.
    pub destination: WorkloadKey,
    /// The connection; `None` if the level has no attribute of it, and in a series into which others were folded.
    pub connection: Option<Box<ConnectionKey>>,
    /// The rung, if this is a series into which others were folded. Never [`Rung::Overflow`], which is [`SeriesKey::Overflow`].
    pub folded: Option<Rung>,
}

// Every series stores a key, so a larger key costs memory for each series.
const _: () = assert!(size_of::<SeriesKey>() == 168);

// === impl SeriesKey ===

impl SeriesKey {
    /// Returns the key of the record's series at a level with these attributes.
    pub fn of_record(record: &ConnectionRecord, attributes: &SeriesAttributes) -> Self {
        let mut flow = FlowKey::of_names(record.role, &record.names, attributes);
        flow.connection =
            attributes.has_connection().then(|| Box::new(ConnectionKey::of_record(record).only(attributes)));
        Self::Flow(flow)
    }

    /// Returns the key of the series for connections with these names, at a level that has no attributes of connections.
    pub fn of_names(role: Role, names: &Names, attributes: &SeriesAttributes) -> Self {
        Self::Flow(FlowKey::of_names(role, names, attributes))
    }

    /// Returns the key of the series at `rung` into which this one is folded. `None` if that would not be coarser, or if a processor has
    /// changed the attributes.
    pub fn folded(&self, rung: Rung) -> Option<Self> {
        match self {
            _ if rung == Rung::Overflow => Some(Self::Overflow),
            Self::Overflow | Self::Edited(_) => None,
            Self::Flow(flow) => flow.folded(rung).map(Self::Flow),
        }
    }

    /// Returns the rung, if others were folded into this series.
    pub fn rung(&self) -> Option<Rung> {
        match self.flow() {
            None => Some(Rung::Overflow),
            Some(flow) => flow.folded,
        }
    }

    /// Visits the series' attributes, in the order of the output.
    pub fn for_each_attribute(&self, visit: &mut dyn FnMut(&str, AttributeValue<'_>)) {
        match self {
            Self::Overflow => visit(key::OVERFLOW, AttributeValue::Bool(true)),
            Self::Flow(flow) => for_each_of_flow(&flow.view(), visit),
            Self::Edited(edited) => edited.for_each_attribute(visit),
        }
    }

    /// Returns the flow; `None` for the overflow series.
    pub fn flow(&self) -> Option<&FlowKey> {
        match self {
            Self::Overflow => None,
            Self::Flow(flow) => Some(flow),
            Self::Edited(edited) => edited.flow(),
        }
    }
}

// === impl FlowKey ===

impl FlowKey {
    /// Returns the key without a connection.
    fn of_names(role: Role, names: &Names, attributes: &SeriesAttributes) -> Self {
        let (source, destination) =
            if role.local_is_source() { (&names.local, &names.peer) } else { (&names.peer, &names.local) };
        Self {
            reporter: role.reporter(),
            source: WorkloadKey::new(source.as_deref(), attributes, &SOURCE),
            service: ServiceKey::new(names.service.as_deref(), attributes),
            destination: WorkloadKey::new(destination.as_deref(), attributes, &DESTINATION),
            connection: None,
            folded: None,
        }
    }

    fn folded(&self, rung: Rung) -> Option<Self> {
        let mut folded = Self {
            reporter: self.reporter,
            source: self.source.folded(rung),
            service: self.service.folded(rung),
            destination: self.destination.folded(rung),
            connection: None,
            folded: None,
        };
        if folded == *self {
            return None;
        }
        folded.folded = Some(rung);
        Some(folded)
    }

    fn view(&self) -> FlowView<'_> {
        FlowView {
            reporter: self.reporter,
            source: self.source.view(),
            service: self.service.view(),
            destination: self.destination.view(),
            connection: self.connection.as_deref().copied(),
            folded: self.folded,
        }
    }
}

#[cfg(test)]
mod tests;
