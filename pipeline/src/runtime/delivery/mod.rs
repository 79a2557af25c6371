//! Delivers payloads: a sending queue that is bounded in bytes, time limits, and retries with back-off. Payloads that are not delivered are
//! counted as dropped.
//!
//! The queue contains [`Payload`](crate::component::Payload)s. With a storage it contains only their counts and positions, and a consumer
//! reads the bytes ([`payload_storage`]).

mod batcher;
mod bounded_queue;
mod consumer;
mod export_phase;
mod order;
mod payload_storage;
mod queue;
mod report;

#[cfg(test)]
mod tests;

pub(super) use batcher::Batcher;
pub(super) use export_phase::ExportPhase;
pub(super) use queue::{SHUTDOWN_LIMIT, SendingQueue};
