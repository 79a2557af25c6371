//! [`Resolver`]: finds the addresses of a server's name.

use std::io;
use std::net::SocketAddr;

use async_trait::async_trait;
use longwave_pipeline::component::descriptor_limit;

use crate::otlp::explain::Explained;

/// Finds the addresses of names.
#[async_trait]
pub trait Resolver: Send + Sync {
    /// Returns the current addresses of a name, in order of preference.
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>>;
}

/// The resolver of the operating system: `/etc/hosts` and DNS.
pub(super) struct SystemResolver;

#[async_trait]
impl Resolver for SystemResolver {
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok(tokio::net::lookup_host((host, port)).await?.collect())
    }
}

/// Resolves a name. Errors are explained, and no address is one, too.
pub(super) async fn addresses(resolver: &dyn Resolver, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    match resolver.resolve(host, port).await {
        Ok(found) if found.is_empty() => {
            Err(io::Error::other(Explained(format!("the name {host:?} has no address"))))
        }
        Err(error) if descriptor_limit(&error).is_none() => Err(io::Error::other(Explained(format!(
            "cannot resolve the name {host:?}: {error} (is it spelt right, and does DNS work here?)"
        )))),
        result => result,
    }
}
