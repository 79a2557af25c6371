//! Metadata of all objects.

use std::borrow::Cow;

use longwave_pipeline::model::UnixNanos;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Uid, nullable};
use crate::rfc3339;

/// Field `metadata` of an object.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct ObjectMeta<'a> {
    /// Empty if it is missing.
    #[serde(borrow)]
    pub name: Cow<'a, str>,
    /// Empty for objects without a namespace.
    #[serde(borrow)]
    pub namespace: Cow<'a, str>,
    #[serde(borrow)]
    uid: Cow<'a, str>,
    #[serde(borrow)]
    creation_timestamp: Cow<'a, str>,
    #[serde(borrow)]
    deletion_timestamp: Cow<'a, str>,
    /// See [`super::pick`].
    #[serde(borrow)]
    pub labels: Option<&'a RawValue>,
    /// See [`super::pick`].
    #[serde(borrow)]
    pub annotations: Option<&'a RawValue>,
    #[serde(borrow, deserialize_with = "nullable")]
    owner_references: Vec<OwnerReference<'a>>,
}

/// An owner of an object.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct OwnerReference<'a> {
    /// For example `ReplicaSet`.
    #[serde(borrow)]
    pub kind: Cow<'a, str>,
    /// Name of the owner, in the object's namespace.
    #[serde(borrow)]
    pub name: Cow<'a, str>,
    controller: bool,
}

// === impl ObjectMeta ===

impl<'a> ObjectMeta<'a> {
    /// Returns the uid; `None` if it is not valid.
    pub fn uid(&self) -> Option<Uid> {
        Uid::parse(&self.uid)
    }

    /// Returns when the API server created the object, to the second.
    pub fn created(&self) -> Option<UnixNanos> {
        rfc3339::parse_utc_seconds(&self.creation_timestamp)
    }

    /// Returns the end of the deletion's grace period, rounded up to the next second.
    pub fn deletion_end(&self) -> Option<UnixNanos> {
        rfc3339::parse_utc_seconds(&self.deletion_timestamp)
            .map(|end| UnixNanos(end.0.saturating_add(1_000_000_000)))
    }

    /// Returns the owner that controls the object.
    pub fn controller(&self) -> Option<&OwnerReference<'a>> {
        self.owner_references.iter().find(|owner| owner.controller)
    }
}
