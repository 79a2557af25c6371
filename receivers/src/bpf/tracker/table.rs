//! Stores the open connections, with the data that belongs to each.

use hashbrown::HashMap;

use super::connection::{Connection, Progress};
use super::identity::{Identity, Origin, Origins, Slots};
use super::outbox::Refused;

/// Open connections by cookie: a socket has one connection at a time.
#[derive(Debug, Default)]
pub struct Connections {
    pub by_cookie: HashMap<u64, Connection, foldhash::fast::RandomState>,
    pub identities: Slots<Identity>,
    pub origins: Origins,
    /// What was observed of a connection since its last delivered record. The next record delivers it.
    pub pending: HashMap<u64, Progress, foldhash::fast::RandomState>,
}

/// A connection that is not in [`Connections`], with the data that belongs to it. Its indices have no meaning.
#[derive(Debug)]
pub struct Detached {
    pub connection: Connection,
    pub identity: Identity,
    pub origin: Origin,
    pub pending: Option<Progress>,
}

impl Connections {
    pub fn insert(&mut self, cookie: u64, detached: Detached) {
        let Detached { mut connection, mut identity, origin, .. } = detached;
        identity.origin = self.origins.acquire(origin);
        connection.identity = self.identities.insert(identity);
        self.by_cookie.insert(cookie, connection);
    }

    pub fn remove(&mut self, cookie: u64) -> Option<Detached> {
        let connection = self.by_cookie.remove(&cookie)?;
        let identity = self.identities.get(connection.identity);
        let origin = self.origins.get(identity.origin);
        self.identities.remove(connection.identity);
        self.origins.release(identity.origin);
        if self.by_cookie.is_empty() {
            self.by_cookie.shrink_to_fit();
        }
        Some(Detached { connection, identity, origin, pending: self.pending.remove(&cookie) })
    }

    /// Returns the origin of a tracked connection.
    pub fn origin_of(&self, connection: &Connection) -> Origin {
        self.origins.get(self.identities.get(connection.identity).origin)
    }

    /// Takes back refused updates. Their content becomes pending.
    pub fn undo(&mut self, refused: Refused) {
        // Latest first, so that a connection with two updates returns to what it was before the first.
        for undo in refused.into_iter().rev() {
            let Some(connection) = self.by_cookie.get_mut(&undo.cookie) else { continue };
            if connection.generation == undo.generation {
                self.pending.entry(undo.cookie).or_insert_with(|| connection.progress());
                connection.undo(&undo.before, undo.first);
            }
        }
    }
}
