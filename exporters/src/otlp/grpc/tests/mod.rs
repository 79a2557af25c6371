//! Tests of `otlp_grpc` that need no server.

mod config;
mod proxy;
mod status;
