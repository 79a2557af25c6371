//! Delivers payloads: a sending queue, time limits, and retries with back-off. Payloads that are not delivered are counted as dropped.
//!
//! The queue contains [`Payload`](crate::component::Payload)s, which are bytes and counts and could be stored on a disk. A durable queue
//! would replace the channel in [`SendingQueue`] and nothing else.

mod order;
mod queue;

#[cfg(test)]
mod tests;

pub(super) use queue::{SHUTDOWN_LIMIT, SendingQueue};
