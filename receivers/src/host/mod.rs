//! Facts of this host and process that several receivers need.

pub mod capabilities;
pub mod namespaces;
