//! Decodes a section whose keys belong to two structs: [`ClientConfig`], and the protocol's own.
//!
//! `#[serde(flatten)]` would accept unknown keys, and errors would lose their paths.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, Visitor};
use serde::{Deserialize, de};

use super::ClientConfig;

/// Settings of a protocol beside those of [`ClientConfig`].
pub(super) trait Section: Default {
    /// Keys of the section: the protocol's own, and those of [`ClientConfig`].
    const KEYS: &'static [&'static str];

    /// Returns the settings of both protocols.
    fn client(&mut self) -> &mut ClientConfig;

    /// Reads the value of a key that is the protocol's own. Returns false, and reads nothing, if the key is not.
    fn read<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error>;
}

/// Returns `own` followed by the keys of [`ClientConfig`].
pub(super) const fn keys<const OWN: usize, const ALL: usize>(
    own: [&'static str; OWN],
) -> [&'static str; ALL] {
    assert!(ALL == OWN + ClientConfig::KEYS.len());
    let mut all = [""; ALL];
    let mut index = 0;
    while index < ALL {
        all[index] = if index < OWN { own[index] } else { ClientConfig::KEYS[index - OWN] };
        index += 1;
    }
    all
}

/// Decodes a section. Settings that are not set have their defaults.
pub(super) fn decode<'de, D: Deserializer<'de>, S: Section>(deserializer: D) -> Result<S, D::Error> {
    deserializer.deserialize_struct("section", S::KEYS, SectionVisitor(PhantomData))
}

struct SectionVisitor<S>(PhantomData<S>);

impl<'de, S: Section> Visitor<'de> for SectionVisitor<S> {
    type Value = S;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<S, A::Error> {
        let mut section = S::default();
        let shared = SharedEntries { map, section: &mut section };
        let client = ClientConfig::deserialize(MapAccessDeserializer::new(shared))?;
        *section.client() = client;
        Ok(section)
    }
}

/// The entries that belong to [`ClientConfig`]. The protocol's own entries are stored in `section` while the map is read.
struct SharedEntries<'a, A, S> {
    map: A,
    section: &'a mut S,
}

impl<'de, A: MapAccess<'de>, S: Section> MapAccess<'de> for SharedEntries<'_, A, S> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        while let Some(key) = self.map.next_key::<String>()? {
            if !self.section.read(&key, &mut self.map)? {
                let key: de::value::StringDeserializer<A::Error> = key.into_deserializer();
                return seed.deserialize(key).map(Some);
            }
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.map.next_value_seed(seed)
    }
}
