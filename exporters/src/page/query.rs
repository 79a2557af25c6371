//! [`Query`]: the parameters of a request, which select what the page shows.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

use longwave_pipeline::model::Level;
use serde::{Deserialize, Deserializer};

use crate::flows::{Flow, Side};

/// The parameters of a request.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Query {
    /// Level of the table. The default is the first of workload, service and connection that the window has.
    pub(super) level: Option<Level>,
    pub(super) sort: Sort,
    /// Text that the source, the destination or the service contains. Upper and lower case are equal.
    pub(super) search: String,
    /// The flow whose details are shown, instead of the table.
    pub(super) flow: Option<FlowId>,
    /// Whether all rows are shown.
    #[serde(deserialize_with = "flag")]
    pub(super) all: bool,
}

/// Order of the table: descending, and ascending for names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Sort {
    /// Bytes of both directions in the last windows.
    #[default]
    Bytes,
    Source,
    Destination,
    Towards,
    Back,
    Retransmits,
    Lost,
    Rtt,
    Open,
    Opened,
    Closed,
    Failed,
}

/// Identifies a flow in links, at least while the process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct FlowId(u64);

/// `all=1` is true.
fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(String::deserialize(deserializer)? == "1")
}

// === impl Query ===

impl Query {
    pub(super) fn with_level(&self, level: Level) -> Self {
        Self { level: Some(level), flow: None, all: false, ..self.clone() }
    }

    pub(super) fn with_sort(&self, sort: Sort) -> Self {
        Self { sort, flow: None, ..self.clone() }
    }

    pub(super) fn with_flow(&self, flow: Option<FlowId>) -> Self {
        Self { flow, ..self.clone() }
    }

    pub(super) fn with_all(&self) -> Self {
        Self { all: true, ..self.clone() }
    }

    /// Returns the URL of the page with these parameters.
    pub(super) fn url(&self) -> String {
        let mut url = form_urlencoded::Serializer::for_suffix("/?".to_owned(), 2);
        if let Some(level) = self.level {
            url.append_pair("level", level.as_str());
        }
        if self.sort != Sort::default() {
            url.append_pair("sort", self.sort.as_str());
        }
        if !self.search.is_empty() {
            url.append_pair("search", &self.search);
        }
        if let Some(flow) = self.flow {
            url.append_pair("flow", &flow.to_string());
        }
        if self.all {
            url.append_pair("all", "1");
        }
        url.finish()
    }

    /// Returns a function that tests whether a flow matches the search.
    pub(super) fn finder(&self) -> impl Fn(&Flow) -> bool {
        let wanted = self.search.trim().to_lowercase();
        move |flow| wanted.is_empty() || flow.ends().iter().any(|name| name.to_lowercase().contains(&wanted))
    }
}

// === impl Sort ===

impl Sort {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Source => "source",
            Self::Destination => "destination",
            Self::Towards => "towards",
            Self::Back => "back",
            Self::Retransmits => "retransmits",
            Self::Lost => "lost",
            Self::Rtt => "rtt",
            Self::Open => "open",
            Self::Opened => "opened",
            Self::Closed => "closed",
            Self::Failed => "failed",
        }
    }

    /// Sorts flows. `rank` returns the bytes of a flow in the last windows. Equal flows are sorted by name, so that rows keep their positions.
    pub(super) fn sort(self, flows: &mut Vec<&Flow>, rank: impl Fn(&Flow) -> f64) {
        flows.sort_by_key(|flow| (flow.ends(), flow.side));
        let number = |flow: &Flow| match self {
            Self::Bytes => rank(flow),
            Self::Source | Self::Destination => 0.0,
            Self::Towards => flow.towards as f64,
            Self::Back => flow.back as f64,
            Self::Retransmits => flow.retransmit_ratio().unwrap_or(-1.0),
            Self::Lost => flow.lost as f64,
            Self::Rtt => flow.round_trip().unwrap_or(-1.0),
            Self::Open => flow.active as f64,
            Self::Opened => flow.opened as f64,
            Self::Closed => flow.closed as f64,
            Self::Failed => flow.failed as f64,
        };
        match self {
            Self::Source => {}
            Self::Destination => flows.sort_by(|one, other| one.destination.cmp(&other.destination)),
            _ => {
                let mut numbered: Vec<_> = flows.drain(..).map(|flow| (number(flow), flow)).collect();
                numbered.sort_by(|(one, _), (other, _)| other.total_cmp(one));
                flows.extend(numbered.into_iter().map(|(_, flow)| flow));
            }
        }
        // The overflow series is last, because it is not a single flow.
        flows.sort_by_key(|flow| flow.is_overflow);
    }
}

// === impl FlowId ===

impl FlowId {
    /// Returns the id of a flow of a level. A flow within this host has one id, whichever ends report it.
    pub(super) fn of(level: Level, flow: &Flow) -> Self {
        let mut hasher = DefaultHasher::new();
        let side = if flow.is_local { Side::Both } else { flow.side };
        (level, flow.ends(), side as u8).hash(&mut hasher);
        Self(hasher.finish())
    }
}

impl fmt::Display for FlowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl<'de> Deserialize<'de> for FlowId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        u64::from_str_radix(&text, 16)
            .map(Self)
            .map_err(|_| serde::de::Error::custom("flow is not an id of this page"))
    }
}
