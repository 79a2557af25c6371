//! [`ConnectProxy`]: an HTTP proxy that connects to any server by the method `CONNECT`.

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use longwave_pipeline::component::{one_line, unescape};
use reqwest::Url;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::connector::open_tcp;
use crate::otlp::USER_AGENT;
use crate::otlp::explain::{Explained, explain};

/// A proxy.
#[derive(Clone)]
pub(crate) struct ConnectProxy {
    host: String,
    port: u16,
    /// Value of `Proxy-Authorization`, from the user and password of the URL.
    authorization: Option<String>,
}

/// Limit on the bytes of the proxy's response.
const MAX_RESPONSE: usize = 8 << 10;

// === impl ConnectProxy ===

impl ConnectProxy {
    /// Makes the proxy of a URL.
    ///
    /// # Errors
    /// The URL has no host, or the proxy itself needs TLS.
    pub(crate) fn new(url: &Url) -> Result<Self, String> {
        if url.scheme() != "http" {
            return Err(
                "a proxy with TLS (https://) is not supported over gRPC: use one with http://".to_owned()
            );
        }
        let host = url.host_str().ok_or("the proxy's URL has no host")?.trim_matches(['[', ']']).to_owned();
        let decoded = |text: &str| unescape(text, "%", 2, 16);
        let credentials =
            format!("{}:{}", decoded(url.username()), decoded(url.password().unwrap_or_default()));
        let authorization =
            (!url.username().is_empty()).then(|| format!("Basic {}", STANDARD.encode(credentials)));
        Ok(Self { host, port: url.port_or_known_default().unwrap_or(80), authorization })
    }

    /// Opens a connection to `authority` (`host:port`) through the proxy.
    pub(crate) async fn open(&self, authority: &str) -> Result<TcpStream, io::Error> {
        let name = format!("proxy {}:{}", self.host, self.port);
        let explained = |error: io::Error| io::Error::other(Explained(explain(&name, false, &error)));
        let mut stream = open_tcp(&self.host, self.port).await.map_err(explained)?;
        let mut request =
            format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: {USER_AGENT}\r\n");
        if let Some(value) = &self.authorization {
            request.push_str(&format!("Proxy-Authorization: {value}\r\n"));
        }
        request.push_str("\r\n");
        stream.write_all(request.as_bytes()).await.map_err(explained)?;
        let mut response = Vec::new();
        while !response.ends_with(b"\r\n\r\n") && response.len() < MAX_RESPONSE {
            // Not more than the response: what follows is the server's.
            match stream.read_u8().await {
                Ok(byte) => response.push(byte),
                Err(error) => {
                    let text = format!("{name}: no response to CONNECT: {error} (is it an HTTP proxy?)");
                    return Err(io::Error::other(Explained(text)));
                }
            }
        }
        let text = String::from_utf8_lossy(&response);
        let status = text.lines().next().unwrap_or_default();
        if status.split(' ').nth(1) == Some("200") {
            return Ok(stream);
        }
        let hint = match status.split(' ').nth(1) {
            Some("407") => " (it requires a user and a password: http://user:password@proxy.example:3128)",
            _ => " (does it allow CONNECT to this port? NO_PROXY lists servers that are reached without it)",
        };
        Err(io::Error::other(Explained(format!("{name} refuses to connect: {}{hint}", one_line(status)))))
    }
}
