//! [`Writer`]: a thread that writes payloads to a file descriptor, each whole and in order.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, PoisonError, mpsc};

use async_trait::async_trait;
use bytes::Bytes;
use longwave_pipeline::component::{ComponentError, Payload, PushError, Pushed, Pusher, ReaderEnded};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{FileType, fstat};
use rustix::io::Errno;
use tokio::sync::oneshot;

/// Locked while a payload is written, since a metrics and a logs exporter may share one output.
static OUTPUT_LOCK: Mutex<()> = Mutex::new(());

/// Passes payloads to its thread. It never joins the thread, which may be blocked in `write` and must not keep the process alive.
pub(crate) struct Writer {
    /// Moved to the thread when it starts.
    output: Mutex<Option<Output>>,
    jobs: Mutex<Option<mpsc::Sender<WriteJob>>>,
    /// Logged at the start.
    hint: Option<String>,
}

struct WriteJob {
    bytes: Bytes,
    done: oneshot::Sender<Result<(), WriteFailure>>,
}

enum Output {
    Stdout(io::Stdout),
    #[cfg_attr(not(test), allow(dead_code, reason = "tests write to a pipe"))]
    Descriptor(OwnedFd),
}

struct WriteFailure {
    errno: Errno,
    /// Bytes of this payload that were written before the failure.
    written: usize,
    /// Kind of the output.
    file_type: Option<FileType>,
}

// === impl Writer ===

impl Writer {
    pub(crate) fn to_stdout() -> Self {
        Self::new(Output::Stdout(io::stdout()))
    }

    /// Sets what is logged at the start.
    pub(crate) fn with_hint(mut self, hint: Option<String>) -> Self {
        self.hint = hint;
        self
    }

    #[cfg(test)]
    pub(crate) fn to(descriptor: OwnedFd) -> Self {
        Self::new(Output::Descriptor(descriptor))
    }

    fn new(output: Output) -> Self {
        Self { output: Mutex::new(Some(output)), jobs: Mutex::new(None), hint: None }
    }

    /// Returns the thread's channel. The first call starts the thread.
    fn jobs(&self) -> Result<mpsc::Sender<WriteJob>, io::Error> {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = &*jobs {
            return Ok(sender.clone());
        }
        let output = self.output.lock().unwrap_or_else(PoisonError::into_inner).take();
        let output = output.ok_or_else(|| io::Error::other("the writer was shut down"))?;
        let (sender, receiver) = mpsc::channel();
        std::thread::Builder::new()
            .name("stdout".to_owned())
            .spawn(move || write_jobs(&output, &receiver))?;
        *jobs = Some(sender.clone());
        Ok(sender)
    }
}

#[async_trait]
impl Pusher for Writer {
    async fn start(&self) -> Result<(), ComponentError> {
        if let Some(hint) = &self.hint {
            tracing::info!("{hint}");
        }
        self.jobs().map(drop).map_err(|error| {
            ComponentError::with_source("cannot start the thread that writes to stdout", error)
        })
    }

    async fn push(&self, payload: &Payload) -> Result<Pushed, PushError> {
        let jobs = self.jobs().map_err(|error| PushError::Permanent(format!("cannot write: {error}")))?;
        let (done, result) = oneshot::channel();
        let ended = || PushError::fatal("the thread that writes to stdout has ended");
        jobs.send(WriteJob { bytes: payload.bytes.clone(), done }).map_err(|_| ended())?;
        match result.await.map_err(|_| ended())? {
            Ok(()) => Ok(Pushed::default()),
            Err(WriteFailure { errno: Errno::PIPE, file_type, .. }) => Err(PushError::Fatal {
                message:
                    "stdout was closed: the program that reads it has ended, so nothing can be written any more"
                        .to_owned(),
                // A socket is no pipe of a shell: a service manager has given it to a process that has to run on.
                source: (file_type == Some(FileType::Fifo)).then_some(ReaderEnded),
            }),
            Err(WriteFailure { errno: Errno::BADF, .. }) => Err(PushError::fatal(
                "stdout is not open: start longwave with stdout open, or use another exporter",
            )),
            // A terminal whose session or window was closed is no terminal any more, but still a device.
            Err(WriteFailure { errno: Errno::IO, file_type: Some(FileType::CharacterDevice), .. }) => {
                Err(PushError::fatal(
                    "the terminal was closed, so nothing can be written any more (to run without a terminal, use another exporter, or start longwave as a service)",
                ))
            }
            Err(WriteFailure { errno, written, .. }) => {
                let (all, why) = (payload.bytes.len(), io::Error::from(errno));
                Err(PushError::Permanent(format!(
                    "writing to stdout failed after {written} of {all} bytes: {why}"
                )))
            }
        }
    }

    async fn shutdown(&self) -> Result<(), ComponentError> {
        *self.jobs.lock().unwrap_or_else(PoisonError::into_inner) = None;
        Ok(())
    }
}

/// Writes payloads until all senders are dropped.
fn write_jobs(output: &Output, jobs: &mpsc::Receiver<WriteJob>) {
    let descriptor = match output {
        Output::Stdout(stdout) => stdout.as_fd(),
        Output::Descriptor(descriptor) => descriptor.as_fd(),
    };
    let mut cut_off = false;
    while let Ok(job) = jobs.recv() {
        let _guard = OUTPUT_LOCK.lock().unwrap_or_else(PoisonError::into_inner);
        // A line break after a line that an earlier failure cut off.
        let result = if cut_off { write_all(descriptor, b"\n") } else { Ok(()) };
        let result = result.and_then(|()| write_all(descriptor, &job.bytes));
        cut_off = match &result {
            Ok(()) => false,
            Err(failure) => cut_off || failure.written > 0,
        };
        // After a shutdown no push waits for the result; the bytes are written nevertheless.
        let _ = job.done.send(result);
    }
}

fn write_all(descriptor: BorrowedFd<'_>, bytes: &[u8]) -> Result<(), WriteFailure> {
    let mut written = 0;
    let failure = |errno, written| WriteFailure {
        errno,
        written,
        file_type: fstat(descriptor).ok().map(|about| FileType::from_raw_mode(about.st_mode)),
    };
    while written < bytes.len() {
        match rustix::io::write(descriptor, &bytes[written..]) {
            Ok(0) => return Err(failure(Errno::IO, written)),
            Ok(count) => written += count,
            Err(Errno::INTR) => {}
            // Another program has set our terminal or pipe to non-blocking.
            Err(Errno::AGAIN) => match poll(&mut [PollFd::new(&descriptor, PollFlags::OUT)], None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(failure(errno, written)),
            },
            Err(errno) => return Err(failure(errno, written)),
        }
    }
    Ok(())
}
