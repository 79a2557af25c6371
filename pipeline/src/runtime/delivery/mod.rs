//! From encoded payloads to delivered ones: the sending queue, time limits, retries with back-off, and what becomes of the rest.
//!
//! The queue holds [`Payload`]s: bytes and counts, nothing that could not lie on a disk. A durable queue takes the place of the
//! channel in [`SendingQueue`], and nothing else changes.

mod queue;

#[cfg(test)]
mod tests;

pub(super) use queue::{SHUTDOWN_LIMIT, SendingQueue};
