//! What a translation is, as processors ask for it.

use longwave_pipeline::model::Endpoint;

/// One connection's addresses before and after network address translation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Translation {
    /// The client's own end: what its socket is bound to.
    pub client: Endpoint,
    /// What the client connected to: a cluster IP, a published port.
    pub original: Endpoint,
    /// Who answers: what the server's socket is bound to.
    pub backend: Endpoint,
    /// The client as the backend sees it; another than `client` where it was masqueraded.
    pub seen: Endpoint,
}

/// What is known of a connection's translation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Translated {
    /// Translated so.
    To(Translation),
    /// Both ends see the same addresses.
    Same,
    /// Asked for; the answer is there when [`super::Conntrack::version`] has moved.
    Pending,
    /// Nobody can tell: the entry is gone, belongs to another connection, or cannot be asked for.
    Unknown,
}
