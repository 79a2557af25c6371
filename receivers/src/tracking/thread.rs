//! Runs a receiver on a thread of its own, and waits for its end.

use std::any::Any;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use longwave_pipeline::component::{ComponentError, RecordOutput, Running};
use rustix::event::{EventfdFlags, eventfd};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// Result of the thread: the output, which has to be flushed.
pub type Outcome = Result<RecordOutput, ComponentError>;

/// What a receiver's thread gets.
pub struct ReceiverThread {
    /// Where its records go.
    pub output: RecordOutput,
    /// The runtime on which it waits for room in the output.
    pub executor: Handle,
    /// Readable when it has to stop.
    pub stop: OwnedFd,
    /// The thread sends on it when the receiver is ready.
    pub ready: oneshot::Sender<()>,
}

/// Stops the thread when it is dropped.
struct StopOnDrop(OwnedFd);

/// Starts a thread that runs `work`. Returns when the receiver is ready. The thread is stopped when `stop` is cancelled.
///
/// # Errors
/// The thread cannot be started, or `work` ended before it was ready.
pub async fn start(
    id: String,
    output: RecordOutput,
    stop: CancellationToken,
    work: impl FnOnce(ReceiverThread) -> Outcome + Send + 'static,
) -> Result<Running, ComponentError> {
    let cannot_create = |what: &str, error: std::io::Error| {
        ComponentError::with_source(format!("receivers::{id}: cannot create {what}: {error}"), error)
    };
    let signal = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
        .map_err(|error| cannot_create("an eventfd", error.into()))?;
    let stop_signal = signal.try_clone().map_err(|error| cannot_create("an eventfd", error))?;
    let signal = StopOnDrop(signal);
    let (ready, is_ready) = oneshot::channel();
    let (done, mut is_done) = oneshot::channel::<Outcome>();
    let thread = ReceiverThread { output, executor: Handle::current(), stop: stop_signal, ready };
    let thread_id = id.clone();
    thread::Builder::new()
        .name(format!("longwave-{id}").chars().take(MAX_THREAD_NAME).collect())
        .spawn(move || {
            let work = AssertUnwindSafe(|| work(thread));
            let outcome = catch_unwind(work).unwrap_or_else(|panic| Err(panicked(&thread_id, &*panic)));
            let _ = done.send(outcome);
        })
        .map_err(|error| cannot_create("a thread", error))?;

    if is_ready.await.is_err() {
        // The thread exited before it was ready.
        return Err(match (&mut is_done).await {
            Ok(Err(error)) => error,
            _ => exited(&id),
        });
    }
    Ok(Box::pin(async move {
        let outcome = tokio::select! {
            outcome = &mut is_done => outcome,
            () = stop.cancelled() => {
                drop(signal);
                is_done.await
            }
        };
        let output = outcome.unwrap_or_else(|_| Err(exited(&id)))?;
        output.flush().await;
        Ok(())
    }))
}

/// Longest name of a thread in bytes, without the NUL.
const MAX_THREAD_NAME: usize = 15;

// === impl StopOnDrop ===

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        // Fails only if the counter is near 2^64.
        let _ = rustix::io::write(&self.0, &1u64.to_ne_bytes());
    }
}

fn panicked(id: &str, panic: &(dyn Any + Send)) -> ComponentError {
    let message = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_default();
    ComponentError::new(format!(
        "receivers::{id}: its thread panicked: {message}; this is a bug in Longwave, please report it"
    ))
}

fn exited(id: &str) -> ComponentError {
    ComponentError::new(format!("receivers::{id}: its thread exited without a result"))
}
