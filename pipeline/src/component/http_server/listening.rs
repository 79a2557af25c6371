//! What this process listens on, for the line that the log has at the start.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

/// Global, because sockets belong to the process and not to a graph.
static LISTENING: Mutex<Vec<(String, SocketAddr)>> = Mutex::new(Vec::new());

/// Removes its entry when it is dropped.
pub(super) struct Listening(SocketAddr);

/// Returns the section and the address of each listening socket, such as `exporters::prometheus` and `127.0.0.1:9464`, in the order of their
/// start.
pub fn listening() -> Vec<(String, SocketAddr)> {
    LISTENING.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

// === impl Listening ===

impl Listening {
    /// `setting` is that of the address, such as `exporters::prometheus: endpoint`.
    pub(super) fn new(setting: &str, address: SocketAddr) -> Self {
        let section = setting.split_once(": ").map_or(setting, |(section, _)| section).to_owned();
        LISTENING.lock().unwrap_or_else(PoisonError::into_inner).push((section, address));
        Self(address)
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        LISTENING.lock().unwrap_or_else(PoisonError::into_inner).retain(|(_, address)| *address != self.0);
    }
}
