//! One trait each for extension, receiver, processor and exporter.
//!
//! Components hold no queue, retry or counter of items: the runtime does that around them, in one way for all.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use crate::component::delivery_config::DeliveryConfig;
use crate::component::directory::Directory;
use crate::component::error::ComponentError;
use crate::component::output::RecordOutput;
use crate::component::payload::{Payload, PushError, Pushed};
use crate::model::Batch;

/// The future of a started component: resolves when it has ended, after a stop or at the end of its input. An error takes the process down.
pub type Running = BoxFuture<'static, Result<(), ComponentError>>;

/// Serves other components, outside the flow of data. Started before them, stopped after them; one instance for all.
#[async_trait]
pub trait Extension: Send {
    /// Who is who, where it knows. Asked before the start; until it has learned, its answers are pending.
    fn directory(&self) -> Option<Arc<dyn Directory>> {
        None
    }

    /// Gets ready and returns the future that works until `stop` fires. What cannot be reached yet is not an error: it is tried again.
    async fn start(self: Box<Self>, stop: CancellationToken) -> Result<Running, ComponentError>;
}

/// Produces records.
#[async_trait]
pub trait Receiver: Send {
    /// Gets ready (loads, attaches, opens, …) and returns the future that produces until `stop` fires. After a stop it sends what is
    /// pending and a last [`crate::model::PassEnd`], then resolves.
    async fn start(
        self: Box<Self>,
        output: RecordOutput,
        stop: CancellationToken,
    ) -> Result<Running, ComponentError>;
}

/// Transforms batches. Runs on a task of its own; must not block.
pub trait Processor: Send {
    /// Handles one batch and pushes what results onto `out`, in order. A watermark ([`Batch::PassEnd`]) is passed on unless the
    /// processor turns records into windows.
    fn process(&mut self, batch: Batch, out: &mut Vec<Batch>) -> Result<(), ComponentError>;

    /// The input has ended: push what is held.
    fn finish(&mut self, out: &mut Vec<Batch>) -> Result<(), ComponentError>;
}

/// Turns batches into payloads, in order, and says how they are delivered.
pub trait Exporter: Send {
    /// Encodes one batch into requests, none if it has nothing for this exporter. Their items add up to the batch's. Called in the batches' order, once per batch, whatever the number of
    /// delivery attempts: what depends on order (cumulative sums) belongs here.
    fn encode(&mut self, batch: &Batch) -> Result<Vec<Payload>, ComponentError>;

    /// Queue, retry and time limits.
    fn delivery(&self) -> DeliveryConfig;

    /// The sending side.
    fn pusher(&self) -> Arc<dyn Pusher>;
}

/// Delivers payloads. Several pushes may run at the same time if [`DeliveryConfig`] allows it.
#[async_trait]
pub trait Pusher: Send + Sync {
    /// Gets ready; an error stops the start of the process. A server that cannot be reached yet is not an error.
    async fn start(&self) -> Result<(), ComponentError> {
        Ok(())
    }

    /// One attempt. The time limit is the caller's.
    async fn push(&self, payload: &Payload) -> Result<Pushed, PushError>;

    /// Nothing follows: flush, close.
    async fn shutdown(&self) -> Result<(), ComponentError> {
        Ok(())
    }
}
