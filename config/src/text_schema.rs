//! [`text_schema`](crate::text_schema): describes types that are written as one text.

/// Describes a type whose values are written as text, for the reference of settings. `kind` says what the text is, in the singular.
#[macro_export]
macro_rules! text_schema {
    ($type:ty, $kind:literal) => {
        impl schemars::JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({"type": "string", "format": $kind})
            }
        }
    };
}

crate::text_schema!(crate::GoDuration, "duration");
crate::text_schema!(crate::ByteSize, "size");
crate::text_schema!(crate::Network, "network");
crate::text_schema!(crate::PortRange, "port");
crate::text_schema!(crate::Secret, "secret");
