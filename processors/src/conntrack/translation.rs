//! [`Translation`]: a connection's addresses before and after network address translation.

use longwave_pipeline::model::Endpoint;

/// One connection's addresses before and after network address translation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Translation {
    /// Local address of the client's socket.
    pub client: Endpoint,
    /// Address that the client connected to, such as a cluster IP or a published port.
    pub original: Endpoint,
    /// Local address of the server's socket.
    pub backend: Endpoint,
    /// Peer address of the server's socket. Differs from `client` if the client was masqueraded.
    pub seen: Endpoint,
}

/// Result of a look-up of a connection's translation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Translated {
    /// The connection is translated.
    To(Translation),
    /// Both sockets have the same two addresses.
    Same,
    /// The look-up is pending. Its result is available when [`super::Conntrack::version`] has increased.
    Pending,
    /// The translation is not certain: the entry is gone, may belong to another connection, or cannot be looked up.
    Unknown,
}
