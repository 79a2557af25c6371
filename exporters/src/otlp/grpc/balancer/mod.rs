//! [`Balancer`]: distributes requests over the addresses of an endpoint, as gRPC does.
//!
//! - There is one connection to each address (`round_robin`), or one to the first that accepts it (`pick_first`).
//! - A request takes a connection that is open. It waits only if none is, and fails if none can be opened.
//! - When a connection is lost or cannot be opened, the name is resolved again. Connections to addresses that are no longer in the result are
//!   closed after their last request. If the name cannot be resolved, the previous addresses stay.

mod subchannels;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tonic::transport::Channel;

use self::subchannels::Subchannels;
use super::BalancerName;
use super::connector::Address;
use super::dialer::Dialer;
use super::resolver::{Resolver, addresses};

/// Connections to one endpoint.
#[derive(Clone)]
pub(super) struct Balancer(Arc<Shared>);

struct Shared {
    /// Exporter, for log messages.
    id: String,
    dialer: Dialer,
    /// `None` if the addresses are fixed.
    name: Option<Name>,
    state: Mutex<BalancerState>,
    /// Changes with every change of the state.
    version: watch::Sender<u64>,
    /// Locked while the name is resolved.
    resolving: tokio::sync::Mutex<()>,
}

/// A name, and what resolves it.
pub(super) struct Name {
    pub host: String,
    pub port: u16,
    pub resolver: Arc<dyn Resolver>,
}

struct BalancerState {
    subchannels: Subchannels,
    /// Whether the name has to be resolved.
    is_stale: bool,
    /// Number of times that the name was resolved.
    resolutions: u64,
    /// When and why the name could not be resolved the last time.
    failure: Option<(Instant, String)>,
}

/// An open connection for one request.
pub(super) struct Picked {
    pub channel: Channel,
    id: u64,
}

/// Time between two attempts to open a connection to an address, or to resolve the name, while requests can use other connections.
const RETRY_AFTER: Duration = Duration::from_secs(10);

// === impl Balancer ===

impl Balancer {
    /// Creates a balancer of the addresses of a name.
    pub fn of_name(id: String, dialer: Dialer, policy: BalancerName, name: Name) -> Self {
        Self::new(id, dialer, Some(name), Subchannels::new(policy))
    }

    /// Creates a balancer of one address.
    pub fn of_address(id: String, dialer: Dialer, address: Address) -> Self {
        let mut subchannels = Subchannels::new(BalancerName::PickFirst);
        subchannels.set_addresses(vec![address]);
        Self::new(id, dialer, None, subchannels)
    }

    fn new(id: String, dialer: Dialer, name: Option<Name>, subchannels: Subchannels) -> Self {
        let state = BalancerState { subchannels, is_stale: name.is_some(), resolutions: 0, failure: None };
        let (version, _) = watch::channel(0);
        let resolving = tokio::sync::Mutex::default();
        Self(Arc::new(Shared { id, dialer, name, state: Mutex::new(state), version, resolving }))
    }

    /// Returns the next open connection. Waits if none is open, but some are being opened.
    ///
    /// # Errors
    /// Why the name cannot be resolved, or no connection be opened, as a message with the endpoint.
    pub async fn pick(&self) -> Result<Picked, String> {
        self.0.resolve_first().await?;
        let mut version = self.0.version.subscribe();
        let mut is_first = true;
        loop {
            version.borrow_and_update();
            if let Some(result) = self.try_pick(is_first) {
                return result;
            }
            is_first = false;
            // The sender is in `self`, so that there is no error.
            let _ = version.changed().await;
        }
    }

    /// Opens the connections that are due, and returns one that is open, or the failure. `None` if some are being opened. `retries_failed` is
    /// whether addresses that failed are due if no connection is open.
    fn try_pick(&self, retries_failed: bool) -> Option<Result<Picked, String>> {
        let shared = &self.0;
        let mut state = shared.lock();
        let picked = state.subchannels.next_ready();
        for (id, addresses) in state.subchannels.take_due(picked.is_some(), retries_failed, RETRY_AFTER) {
            tokio::spawn(Arc::clone(shared).dial(id, addresses));
        }
        if state.is_stale && picked.is_some() {
            tokio::spawn(Arc::clone(shared).resolve_aside());
        }
        match picked {
            Some((id, channel)) => Some(Ok(Picked { channel, id })),
            None if state.subchannels.is_connecting() => None,
            None => Some(Err(state.subchannels.failure())),
        }
    }

    /// Reports that the connection of a request was found to be lost.
    pub fn lost(&self, picked: &Picked) {
        let mut state = self.0.lock();
        state.subchannels.lost(picked.id);
        state.is_stale = self.0.name.is_some();
    }

    /// Returns the number of requests after which a request that found only lost connections gives up.
    pub fn max_lost(&self) -> usize {
        self.0.lock().subchannels.len() + 2
    }
}

// === impl Shared ===

impl Shared {
    fn lock(&self) -> MutexGuard<'_, BalancerState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Resolves the name if it has to be, and no connection is open. Requests that wait for the same reason share the result.
    async fn resolve_first(&self) -> Result<(), String> {
        let resolutions = {
            let state = self.lock();
            if !state.is_stale || state.subchannels.has_ready() {
                return Ok(());
            }
            state.resolutions
        };
        let _only_one = self.resolving.lock().await;
        if self.lock().resolutions == resolutions {
            self.resolve().await;
        }
        let state = self.lock();
        match &state.failure {
            Some((_, message)) if state.subchannels.len() == 0 => Err(message.clone()),
            _ => Ok(()),
        }
    }

    /// Resolves the name.
    async fn resolve(&self) {
        let Some(Name { host, port, resolver }) = &self.name else { return };
        let found = addresses(&**resolver, host, *port).await;
        let mut state = self.lock();
        state.resolutions += 1;
        match found {
            Ok(found) => {
                state.subchannels.set_addresses(found.into_iter().map(Address::Tcp).collect());
                (state.is_stale, state.failure) = (false, None);
            }
            Err(error) => {
                let message = self.dialer.explain(&error);
                tracing::debug!(exporter = %self.id, "{message}; previous addresses stay in use");
                state.failure = Some((Instant::now(), message));
            }
        }
        drop(state);
        self.changed();
    }

    /// Resolves the name while requests use the connections that are open.
    async fn resolve_aside(self: Arc<Self>) {
        let Ok(_only_one) = self.resolving.try_lock() else { return };
        let is_due = {
            let state = self.lock();
            state.is_stale && state.failure.as_ref().is_none_or(|(at, _)| at.elapsed() >= RETRY_AFTER)
        };
        if is_due {
            self.resolve().await;
        }
    }

    /// Opens the connection of a subchannel.
    async fn dial(self: Arc<Self>, id: u64, addresses: Vec<Address>) {
        let result = self.dialer.dial(&addresses).await;
        {
            let mut state = self.lock();
            match result {
                Ok((index, channel)) => state.subchannels.opened(id, addresses[index].clone(), channel),
                Err(message) => {
                    state.is_stale = self.name.is_some();
                    let is_first_failure = state.subchannels.failed(id, &message);
                    if is_first_failure && state.subchannels.has_ready() {
                        let shown = addresses.first().map(ToString::to_string).unwrap_or_default();
                        tracing::info!(exporter = %self.id, address = shown, "{message}; requests use the other addresses of the name");
                    }
                }
            }
        }
        self.changed();
    }

    fn changed(&self) {
        self.version.send_modify(|version| *version = version.wrapping_add(1));
    }
}
