//! The tasks of components.

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use tokio_util::sync::CancellationToken;

use crate::component::{ComponentError, MeterScope, Node};

/// Controls the task of a component.
#[derive(Clone)]
pub(super) struct TaskHandle {
    /// Stops a receiver or an extension. Ends the retries of an exporter.
    pub(super) stop: CancellationToken,
    /// Fires when a reload removes the component from the graph. From then on, a failure stops only the component.
    retired: CancellationToken,
    /// Fires when the task has ended.
    ended: CancellationToken,
}

/// What a task needs besides the component.
pub(super) struct TaskSetup {
    /// Names the component: `receivers::bpf`.
    pub(super) what: String,
    /// Counters of a stage.
    pub(super) node: Option<Arc<Node>>,
    /// `None` if the stage is no component.
    pub(super) scope: Option<MeterScope>,
    pub(super) handle: TaskHandle,
}

/// A task that has ended.
pub(super) struct EndedTask {
    pub(super) what: String,
    pub(super) result: Result<(), ComponentError>,
    /// Whether the component was no longer part of the graph.
    pub(super) is_retired: bool,
}

// === impl TaskSetup ===

impl TaskSetup {
    pub(super) fn of_component(section: &str, id: &str, scope: MeterScope, handle: &TaskHandle) -> Self {
        Self { what: format!("{section}::{id}"), node: None, scope: Some(scope), handle: handle.clone() }
    }

    pub(super) fn with_node(mut self, node: &Arc<Node>) -> Self {
        self.node = Some(Arc::clone(node));
        self
    }
}

// === impl TaskHandle ===

impl TaskHandle {
    /// Makes the handle of a task that also stops with `stop`.
    pub(super) fn new(stop: &CancellationToken) -> Self {
        let (retired, ended) = (CancellationToken::new(), CancellationToken::new());
        Self { stop: stop.child_token(), retired, ended }
    }

    /// Makes the handle of another task of the same component.
    pub(super) fn another(&self) -> Self {
        Self { ended: CancellationToken::new(), ..self.clone() }
    }

    /// Stops the component, which is no longer part of the graph.
    pub(super) fn retire(&self) {
        self.retired.cancel();
        self.stop.cancel();
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.is_cancelled()
    }

    /// Waits until the task has ended.
    pub(super) async fn ended(&self) {
        self.ended.cancelled().await;
    }
}

/// Runs a component. If it fails or panics, its items are counted as dropped, and `failed` fires.
pub(super) async fn run(
    setup: TaskSetup,
    failed: CancellationToken,
    component: impl Future<Output = Result<(), ComponentError>> + Send + 'static,
) -> EndedTask {
    let TaskSetup { what, node, scope, handle } = setup;
    // Dropped last, also if the task is aborted.
    let _ended = handle.ended.clone().drop_guard();
    let result = AssertUnwindSafe(component).catch_unwind().await;
    let result = result.unwrap_or_else(|panic| Err(panicked(&*panic)));
    drop(scope);
    let is_retired = handle.retired.is_cancelled();
    if result.is_err() && !is_retired {
        failed.cancel();
        if let Some(node) = node {
            node.drop_contents();
        }
    }
    EndedTask { what, result, is_retired }
}

/// Makes an error from a panic's message.
fn panicked(panic: &(dyn Any + Send)) -> ComponentError {
    let message = panic.downcast_ref::<&str>().copied();
    let message =
        message.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
    ComponentError::new(format!("it panicked ({message}): this is a bug in Longwave, please report it"))
}
