//! [`SockDiagReceiver`]: reads socket diagnostics on a thread.

use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use longwave_pipeline::component::{ComponentError, Receiver, ReceiverContext, RecordOutput, Running};
use rustix::io::Errno;
use tokio_util::sync::CancellationToken;

use super::config::{Config, NamespaceScope};
use super::source::SockDiag;
use crate::tracking::holder_walks::HolderWalks;
use crate::tracking::thread::{self, Outcome, ReceiverThread};
use crate::tracking::{self, Stats, TrackingConfig};

/// Receiver `sock_diag`. One instance serves all pipelines.
pub struct SockDiagReceiver {
    config: Config,
    context: ReceiverContext,
}

// === impl SockDiagReceiver ===

impl SockDiagReceiver {
    /// Creates the receiver. `config` must be validated.
    pub fn new(config: Config, context: ReceiverContext) -> Self {
        Self { config, context }
    }

    /// Lists the sockets, and runs until the thread has to stop.
    fn work(self, thread: ReceiverThread) -> Outcome {
        let id = &self.context.id;
        let source = SockDiag::start(&self.config).map_err(|error| refused(id, error))?;
        self.log_start(&source);
        let stats = Stats::new(&self.context.meter, id, &Arc::default());
        let config = TrackingConfig {
            interval: self.config.interval.get(),
            idle_records: self.config.idle_records,
            // The source reports them.
            vanish_after: u16::MAX,
            max_connections: self.config.max_connections as usize,
            limits: source.limits(),
            // The source looks up processes itself.
            holder_walks: HolderWalks::new(0, 0),
        };
        tracking::run(thread, &self.context, source, config, stats)
    }

    fn log_start(&self, source: &SockDiag) {
        let (id, namespaces) = (&self.context.id, source.namespaces());
        tracing::info!(
            receiver = id,
            older_connections = source.known(),
            network_namespaces = namespaces.entered.len(),
            "listed the kernel's TCP sockets"
        );
        if self.config.namespaces == NamespaceScope::All && !namespaces.enters_others() {
            tracing::info!(
                "receivers::{id}: namespaces: CAP_SYS_ADMIN is missing, so that only connections of this network namespace are reported (grant \
                 it, or write namespaces: own)"
            );
        }
    }
}

#[async_trait]
impl Receiver for SockDiagReceiver {
    async fn start(
        self: Box<Self>,
        output: RecordOutput,
        stop: CancellationToken,
    ) -> Result<Running, ComponentError> {
        thread::start(self.context.id.clone(), output, stop, move |thread| self.work(thread)).await
    }
}

/// Returns the error of a kernel that does not provide socket diagnostics.
fn refused(id: &str, error: io::Error) -> ComponentError {
    let remedy = match Errno::from_io_error(&error) {
        Some(Errno::NOENT | Errno::PROTONOSUPPORT | Errno::AFNOSUPPORT | Errno::OPNOTSUPP | Errno::INVAL) => {
            "this kernel has no socket diagnostics: use one with CONFIG_INET_TCP_DIAG (module tcp_diag; kernel 4.19 or later)"
        }
        Some(Errno::PERM | Errno::ACCESS) => {
            "a seccomp filter or a security module refuses netlink sockets: allow socket(AF_NETLINK, NETLINK_SOCK_DIAG) in the profile"
        }
        _ => "the kernel refused to list the TCP sockets",
    };
    ComponentError::with_source(format!("receivers::{id}: {error}: {remedy}"), error)
}
