//! [`Levels`]: the setting `levels`, a list of levels, or a map that can select the attributes of each.

use std::borrow::Cow;
use std::fmt;

use longwave_pipeline::model::{Level, SeriesAttributes};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserializer, Error, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};

/// The levels that have series, in the order of the configuration.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Levels(Vec<(Level, LevelConfig)>);

/// Settings of one level.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct LevelConfig {
    /// Names of the attributes of the level's series. `reporter` is always one of them. Default: the level's attributes in
    /// `docs/DATA.md`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = ["source.address", "destination.address", "destination.port"])]
    pub attributes: Option<Vec<String>>,
}

// === impl Levels ===

impl FromIterator<Level> for Levels {
    fn from_iter<I: IntoIterator<Item = Level>>(levels: I) -> Self {
        Self(levels.into_iter().map(|level| (level, LevelConfig::default())).collect())
    }
}

impl FromIterator<(Level, LevelConfig)> for Levels {
    fn from_iter<I: IntoIterator<Item = (Level, LevelConfig)>>(levels: I) -> Self {
        Self(levels.into_iter().collect())
    }
}

impl Levels {
    /// Returns whether no level is configured.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the levels with their settings.
    pub fn iter(&self) -> impl Iterator<Item = (Level, &LevelConfig)> {
        self.0.iter().map(|(level, config)| (*level, config))
    }

    /// Returns the settings of a level; `None` if it has no series.
    pub fn get(&self, level: Level) -> Option<&LevelConfig> {
        self.iter().find(|(known, _)| *known == level).map(|(_, config)| config)
    }
}

impl LevelConfig {
    /// Returns the attributes of the series of `level`.
    pub fn series_attributes(&self, level: Level) -> SeriesAttributes {
        match &self.attributes {
            None => SeriesAttributes::of(level),
            Some(names) => SeriesAttributes::select(names.iter().map(String::as_str)),
        }
    }
}

impl JsonSchema for Levels {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Levels".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let list = generator.subschema_for::<Vec<Level>>();
        let map = json_schema!({"type": "object", "additionalProperties": generator.subschema_for::<LevelConfig>()});
        json_schema!({"anyOf": [list, map]})
    }
}

impl Serialize for Levels {
    /// Writes a list if all levels have their default attributes.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.iter().all(|(_, config)| *config == LevelConfig::default()) {
            return serializer.collect_seq(self.iter().map(|(level, _)| level));
        }
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (level, config) in self.iter() {
            map.serialize_entry(&level, config)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Levels {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LevelsVisitor)
    }
}

struct LevelsVisitor;

impl<'de> Visitor<'de> for LevelsVisitor {
    type Value = Levels;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of levels, or a map of levels to their settings")
    }

    fn visit_unit<E>(self) -> Result<Levels, E> {
        Ok(Levels::default())
    }

    /// Reads a list in one text, as from an environment variable.
    fn visit_str<E: Error>(self, text: &str) -> Result<Levels, E> {
        let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
        names.map(|name| Level::deserialize(IntoDeserializer::<E>::into_deserializer(name))).collect()
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Levels, A::Error> {
        let mut levels = Vec::new();
        while let Some(level) = elements.next_element::<Level>()? {
            levels.push(level);
        }
        Ok(levels.into_iter().collect())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Levels, A::Error> {
        let mut levels = Vec::new();
        while let Some(level) = entries.next_key::<Level>()? {
            levels.push((level, entries.next_value::<Option<LevelConfig>>()?.unwrap_or_default()));
        }
        Ok(Levels(levels))
    }
}
