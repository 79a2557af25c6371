//! Decodes a section whose keys belong to two structs: [`ClientConfig`], and the protocol's own.
//!
//! `#[serde(flatten)]` would accept unknown keys, and errors would lose their paths.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, Visitor};
use serde::{Deserialize, de};

use super::ClientConfig;

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

/// Decodes a section with these `keys`, of which the first `OWN` are texts of the protocol. A text that is not set is empty.
pub(super) fn decode<'de, D: Deserializer<'de>, const OWN: usize>(
    deserializer: D,
    keys: &'static [&'static str],
) -> Result<([String; OWN], ClientConfig), D::Error> {
    deserializer.deserialize_struct("section", keys, SectionVisitor { own_keys: &keys[..OWN] })
}

struct SectionVisitor<const OWN: usize> {
    own_keys: &'static [&'static str],
}

impl<'de, const OWN: usize> Visitor<'de> for SectionVisitor<OWN> {
    type Value = ([String; OWN], ClientConfig);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        let mut own = [const { String::new() }; OWN];
        let shared = SharedEntries { map, own_keys: self.own_keys, own: &mut own };
        let client = ClientConfig::deserialize(MapAccessDeserializer::new(shared))?;
        Ok((own, client))
    }
}

/// The entries that belong to [`ClientConfig`]. The protocol's own entries are stored in `own` while the map is read.
struct SharedEntries<'a, A> {
    map: A,
    own_keys: &'static [&'static str],
    own: &'a mut [String],
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for SharedEntries<'_, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        while let Some(key) = self.map.next_key::<String>()? {
            match self.own_keys.iter().zip(&mut *self.own).find(|(own_key, _)| **own_key == key) {
                Some((_, text)) => *text = self.map.next_value()?,
                None => {
                    let key: de::value::StringDeserializer<A::Error> = key.into_deserializer();
                    return seed.deserialize(key).map(Some);
                }
            }
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.map.next_value_seed(seed)
    }
}
