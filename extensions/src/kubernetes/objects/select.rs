//! Picks single labels and annotations. The others are not copied.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::Text;

/// Returns the values of `wanted` in a JSON object of strings, in the order of `wanted`.
///
/// # Errors
/// `from` is not an object of strings.
pub(crate) fn pick<'de>(
    from: Option<&'de RawValue>,
    wanted: &[&str],
) -> Result<Vec<Option<Cow<'de, str>>>, serde_json::Error> {
    match from {
        Some(raw) if !wanted.is_empty() => {
            Pick { wanted }.deserialize(&mut serde_json::Deserializer::from_str(raw.get()))
        }
        _ => Ok(vec![None; wanted.len()]),
    }
}

struct Pick<'w> {
    wanted: &'w [&'w str],
}

impl<'de> DeserializeSeed<'de> for Pick<'_> {
    type Value = Vec<Option<Cow<'de, str>>>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Pick<'_> {
    type Value = Vec<Option<Cow<'de, str>>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of strings")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(vec![None; self.wanted.len()])
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = vec![None; self.wanted.len()];
        while let Some(Text(key)) = map.next_key()? {
            match self.wanted.iter().position(|wanted| *wanted == key) {
                Some(index) => found[index] = Some(map.next_value::<Text<'de>>()?.0),
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(found)
    }
}
