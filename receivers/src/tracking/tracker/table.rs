//! Stores the open connections, with the data that belongs to each.

use hashbrown::HashMap;

use super::connection::{Connection, Progress};
use super::identity::{Identity, Origin, Origins, Slots};
use super::limits::{Rare, RareMap};
use super::outbox::Refused;

/// Open connections by cookie: a socket has one connection at a time.
#[derive(Debug, Default)]
pub struct Connections {
    pub by_cookie: HashMap<u64, Connection, foldhash::fast::RandomState>,
    pub identities: Slots<Identity>,
    pub origins: Origins,
    /// What was observed of a connection since its last delivered record. The next record delivers it.
    pub pending: HashMap<u64, Progress, foldhash::fast::RandomState>,
    /// What is stored only of some connections.
    pub rare: RareMap,
}

/// A connection that is not in [`Connections`], with the data that belongs to it. Its indices have no meaning.
#[derive(Debug)]
pub struct Detached {
    pub connection: Connection,
    pub identity: Identity,
    pub origin: Origin,
    pub pending: Option<Progress>,
    pub rare: Rare,
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
        let rare = if connection.has_rare() {
            self.rare.remove(&cookie).unwrap_or_default()
        } else {
            Rare::default()
        };
        Some(Detached { connection, identity, origin, pending: self.pending.remove(&cookie), rare })
    }

    /// Returns the identity of a tracked connection.
    pub fn identity_of(&self, cookie: u64) -> Identity {
        let connection = self.by_cookie.get(&cookie);
        connection.map_or_else(Identity::default, |connection| self.identities.get(connection.identity))
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
                let rare = rare_of(&self.rare, undo.cookie, connection);
                self.pending.entry(undo.cookie).or_insert_with(|| connection.progress(&rare));
                let rare = connection.undo(&undo.before, undo.first);
                store_rare(&mut self.rare, undo.cookie, connection, rare);
            }
        }
    }
}

/// Returns what is stored beside a connection.
#[inline]
pub fn rare_of(stored: &RareMap, cookie: u64, connection: &Connection) -> Rare {
    if connection.has_rare() { stored.get(&cookie).copied().unwrap_or_default() } else { Rare::default() }
}

/// Stores what belongs beside a connection, or removes it if it is the default.
#[inline]
pub fn store_rare(stored: &mut RareMap, cookie: u64, connection: &mut Connection, rare: Rare) {
    let has_rare = rare != Rare::default();
    if has_rare {
        stored.insert(cookie, rare);
    } else if connection.has_rare() {
        stored.remove(&cookie);
    }
    connection.set_has_rare(has_rare);
}
