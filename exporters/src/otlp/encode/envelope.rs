//! [`Envelope`]: the start of every request. Requests for metrics and for logs have the same shape and field numbers:
//! `Export…Request { 1: Resource… { 1: resource, 2: Scope… { 1: scope, 2: items, 3: schema URL }, 3: schema URL } }`.

use bytes::Bytes;
use longwave_pipeline::model::AttributeValue;

use super::protobuf::{message_len, put_attribute, put_message, put_str};

/// Name of the instrumentation scope.
pub const SCOPE_NAME: &str = "longwave";

/// Version of OpenTelemetry's semantic conventions that the names of resource and items follow.
pub const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.43.0";

/// Length of the field `schema_url`.
const SCHEMA_LEN: usize = message_len(SCHEMA_URL.len());

/// Encoded resource and scope.
#[derive(Clone, Debug)]
pub(crate) struct Envelope {
    /// Field 1 of `ResourceMetrics` or `ResourceLogs`.
    resource: Vec<u8>,
    /// Field 1 of `ScopeMetrics` or `ScopeLogs`.
    scope: Vec<u8>,
}

impl Envelope {
    pub(crate) fn new(resource: &[(String, String)]) -> Self {
        let mut attributes = Vec::new();
        for (key, value) in resource {
            put_attribute(&mut attributes, 1, key, AttributeValue::Str(value), &mut String::new());
        }
        let mut version_and_name = Vec::new();
        put_str(&mut version_and_name, 1, SCOPE_NAME);
        put_str(&mut version_and_name, 2, env!("CARGO_PKG_VERSION"));
        Self { resource: nested(1, &attributes), scope: nested(1, &version_and_name) }
    }

    /// Returns an upper bound of the bytes that [`Self::wrap`] adds.
    pub(crate) fn overhead(&self) -> usize {
        self.resource.len() + self.scope.len() + 2 * SCHEMA_LEN + 24
    }

    /// Returns a whole request. `write` appends its `len` bytes of items (field 2 of the scope).
    pub(crate) fn wrap(&self, len: usize, write: impl FnOnce(&mut Vec<u8>)) -> Bytes {
        let in_scope = self.scope.len() + len + SCHEMA_LEN;
        let in_resource = self.resource.len() + message_len(in_scope) + SCHEMA_LEN;
        let total = message_len(in_resource);
        let mut out = Vec::with_capacity(total);
        put_message(&mut out, 1, in_resource);
        out.extend_from_slice(&self.resource);
        put_message(&mut out, 2, in_scope);
        out.extend_from_slice(&self.scope);
        write(&mut out);
        put_str(&mut out, 3, SCHEMA_URL);
        put_str(&mut out, 3, SCHEMA_URL);
        debug_assert_eq!(out.len(), total);
        Bytes::from(out)
    }
}

fn nested(field: u8, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message_len(body.len()));
    put_message(&mut out, field, body.len());
    out.extend_from_slice(body);
    out
}
