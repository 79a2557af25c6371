//! The data between components: records, batches and windows, with their names and attributes. Also the names of metrics and log records,
//! and the format of a record file.
//!
//! Depends on nothing else in this crate.

mod attributes;
mod batch;
pub mod codec;
mod edited_key;
mod histogram;
mod level;
mod log_record;
pub mod metric;
mod names;
mod owned_value;
mod record;
mod rung;
mod series_attributes;
mod series_key;
mod time;
mod window;

pub use attributes::{AttributeValue, key};
pub use batch::{Batch, PassEnd};
pub use edited_key::EditedKey;
pub use histogram::{CONNECTION_DURATION_BOUNDS, Histogram, ROUND_TRIP_BOUNDS};
pub use level::Level;
pub use log_record::{LogRecordUid, for_each_attribute};
pub use names::{Handle, Interner, Label, LabelKey, Service, UNKNOWN, Workload};
pub use owned_value::OwnedValue;
pub use record::{
    CloseReason, ConnectionId, ConnectionLimits, ConnectionRecord, End, Endpoint, Event, FailReason, Gauges,
    Limit, LimitDetails, Limits, Names, ObservedLimits, OptionalCount, Owner, OwnerSource, Reporter, Role,
    RoundTrip, TcpState, Totals, is_lossy, share_of_data,
};
pub use rung::Rung;
pub use series_attributes::SeriesAttributes;
pub use series_key::{
    ConnectionKey, EndpointKey, FlowKey, SeriesKey, ServiceKey, WorkloadDetails, WorkloadKey,
};
pub use time::{Rfc3339, UnixNanos, micros_to_seconds, seconds};
pub use window::{Measures, Series, Window};
