//! What all objects have.

use std::borrow::Cow;

use longwave_pipeline::model::UnixNanos;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Uid, nullable, time};

/// `metadata`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct ObjectMeta<'a> {
    /// Name.
    #[serde(borrow)]
    pub name: Cow<'a, str>,
    /// Namespace.
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

/// An owner.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct OwnerReference<'a> {
    /// `ReplicaSet`, …
    #[serde(borrow)]
    pub kind: Cow<'a, str>,
    /// Name.
    #[serde(borrow)]
    pub name: Cow<'a, str>,
    controller: bool,
}

// === impl ObjectMeta ===

impl<'a> ObjectMeta<'a> {
    /// The uid, if it is one.
    pub fn uid(&self) -> Option<Uid> {
        Uid::parse(&self.uid)
    }

    /// When the API server took it in.
    pub fn created(&self) -> Option<UnixNanos> {
        time::seconds(&self.creation_timestamp)
    }

    /// When whoever deleted it gave it to end (the next whole second).
    pub fn to_end(&self) -> Option<UnixNanos> {
        time::seconds(&self.deletion_timestamp).map(|end| UnixNanos(end.0.saturating_add(1_000_000_000)))
    }

    /// The owner that controls it.
    pub fn controller(&self) -> Option<&OwnerReference<'a>> {
        self.owner_references.iter().find(|owner| owner.controller)
    }
}
