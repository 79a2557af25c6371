//! [`Translation`]: a connection's addresses before and after translation, as processors get them.

use longwave_pipeline::model::Endpoint;

/// One connection's addresses before and after network address translation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Translation {
    /// The client's own address: its socket is bound to it.
    pub client: Endpoint,
    /// What the client connected to: a cluster IP, a published port.
    pub original: Endpoint,
    /// The server's own address: its socket is bound to it.
    pub backend: Endpoint,
    /// The client's address as the backend sees it. Differs from `client` if it was masqueraded.
    pub seen: Endpoint,
}

/// Result of a look-up of a connection's translation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Translated {
    /// Translated.
    To(Translation),
    /// Both ends see the same addresses.
    Same,
    /// The look-up is pending. Its result is available when [`super::Conntrack::version`] has increased.
    Pending,
    /// Not certain: the entry is gone, belongs to another connection, or cannot be looked up.
    Unknown,
}
