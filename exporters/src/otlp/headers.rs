//! Decodes `headers`, which may be a map or a list of names and values, as in the Collector.

use std::fmt;

use longwave_config::Secret;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::Headers;

/// One element of a list.
#[derive(Serialize, Deserialize)]
struct Header {
    name: String,
    value: Secret,
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Headers, D::Error> {
    deserializer.deserialize_any(HeadersVisitor)
}

struct HeadersVisitor;

impl<'de> Visitor<'de> for HeadersVisitor {
    type Value = Headers;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of headers, or a list of {name, value}")
    }

    fn visit_unit<E>(self) -> Result<Headers, E> {
        Ok(Headers::new())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Headers, A::Error> {
        Headers::deserialize(MapAccessDeserializer::new(map))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Headers, A::Error> {
        let mut headers = Headers::new();
        while let Some(Header { name, value }) = elements.next_element()? {
            if headers.insert(name.clone(), value).is_some() {
                return Err(A::Error::custom(format_args!("the header {name:?} is there twice: remove one")));
            }
        }
        Ok(headers)
    }
}
