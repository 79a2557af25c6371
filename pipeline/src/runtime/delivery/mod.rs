//! Delivers payloads: a sending queue that is bounded in bytes, time limits, and retries with back-off. Payloads that are not delivered are
//! counted as dropped.
//!
//! The queue contains [`Payload`](crate::component::Payload)s, which are bytes and counts and could be stored on a disk. A durable queue
//! would replace [`bounded_queue`] and nothing else.

mod batcher;
mod bounded_queue;
mod consumer;
mod export_phase;
mod order;
mod queue;
mod report;

#[cfg(test)]
mod tests;

pub(super) use batcher::Batcher;
pub(super) use export_phase::ExportPhase;
pub(super) use queue::{SHUTDOWN_LIMIT, SendingQueue};
