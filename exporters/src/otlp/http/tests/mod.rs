//! Tests of `otlp_http` that need no server.

mod config;
mod response;
