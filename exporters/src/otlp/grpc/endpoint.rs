//! [`GrpcEndpoint`]: the address of a gRPC server.

use std::fmt;
use std::path::PathBuf;

/// A parsed `endpoint`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GrpcEndpoint {
    pub target: GrpcTarget,
    pub tls: bool,
}

/// Where the server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum GrpcTarget {
    /// Name or address, and port. IPv6 is without brackets.
    Host { host: String, port: u16 },
    /// Unix socket.
    Unix(PathBuf),
}

const EXAMPLE: &str = "write for example localhost:4317 or collector.example:4317";
/// Name of the server at a Unix socket, as in gRPC for Go.
const UNIX_HOST: &str = "localhost";

// === impl GrpcEndpoint ===

impl GrpcEndpoint {
    /// Parses `endpoint`. `insecure` is `tls::insecure`, which decides about TLS if the text has neither `http://` nor `https://`.
    ///
    /// # Errors
    /// The mistake, and what to write instead.
    pub(crate) fn parse(text: &str, insecure: bool) -> Result<Self, String> {
        let text = text.trim();
        if text.is_empty() {
            return Err(format!("must be set ({EXAMPLE})"));
        }
        if let Some(path) = text.strip_prefix("unix:") {
            return Ok(Self { target: unix(path)?, tls: !insecure });
        }
        if let Some(name) = text.strip_prefix("dns:") {
            return Ok(Self { target: host(text, dns_name(text, name)?)?, tls: !insecure });
        }
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme, rest)) => (Some(scheme), rest),
            None => (None, text),
        };
        let tls = match scheme {
            None => !insecure,
            Some("https") => true,
            Some("http") if insecure => false,
            Some("http") => {
                return Err(format!(
                    "{text:?} selects plaintext, but tls::insecure: false selects TLS (add tls: {{insecure: true}}, or write https:// for TLS)"
                ));
            }
            Some(other) => {
                return Err(format!(
                    "unknown scheme {other:?} in {text:?} (valid: http, https, dns, unix; {EXAMPLE})"
                ));
            }
        };
        Ok(Self { target: host(text, rest.strip_suffix('/').unwrap_or(rest))?, tls })
    }

    /// Returns `host:port`, with brackets around an IPv6 address.
    pub(crate) fn authority(&self) -> String {
        match &self.target {
            GrpcTarget::Host { host, port } if host.contains(':') => format!("[{host}]:{port}"),
            GrpcTarget::Host { host, port } => format!("{host}:{port}"),
            GrpcTarget::Unix(_) => UNIX_HOST.to_owned(),
        }
    }

    /// Returns the name that a certificate of the server contains.
    pub(crate) fn host(&self) -> &str {
        match &self.target {
            GrpcTarget::Host { host, .. } => host,
            GrpcTarget::Unix(_) => UNIX_HOST,
        }
    }
}

/// Shows the endpoint as a URL, for errors.
impl fmt::Display for GrpcEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.target {
            GrpcTarget::Host { .. } => {
                write!(f, "{}://{}", if self.tls { "https" } else { "http" }, self.authority())
            }
            GrpcTarget::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Parses what follows `unix:`: a path, or `//` and an absolute path.
fn unix(text: &str) -> Result<GrpcTarget, String> {
    let path = text.strip_prefix("//").unwrap_or(text);
    let example = "write for example unix:///run/collector.sock";
    if path.is_empty() || path.ends_with('/') {
        return Err(format!("\"unix:{text}\" has no path of a socket ({example})"));
    }
    if text.starts_with("//") && !path.starts_with('/') {
        return Err(format!(
            "\"unix:{text}\" has a host before its path ({example}, or unix:{path} for a relative path)"
        ));
    }
    // `sun_path` has 108 bytes, of which the last one is 0.
    if path.len() > 107 {
        return Err(format!(
            "\"unix:{text}\": the path of a socket has at most 107 bytes, and this has {}",
            path.len()
        ));
    }
    Ok(GrpcTarget::Unix(path.into()))
}

/// Returns `host:port` of what follows `dns:`: `host:port`, or `///host:port`.
fn dns_name<'a>(text: &str, name: &'a str) -> Result<&'a str, String> {
    let Some(rest) = name.strip_prefix("//") else { return Ok(name) };
    match rest.split_once('/') {
        Some(("", name)) => Ok(name),
        Some((server, name)) => Err(format!(
            "{text:?} chooses the DNS server {server:?}, which is not supported: the system's servers are used (write dns:///{name})"
        )),
        None => Err(format!("{text:?} has a slash too few (write dns:///{rest})")),
    }
}

/// Parses `host:port`. `text` is the whole endpoint, for errors.
fn host(text: &str, rest: &str) -> Result<GrpcTarget, String> {
    if rest.contains('/') {
        return Err(format!(
            "{text:?} has a path, which gRPC does not use ({EXAMPLE}; a URL with a path is for otlp_http)"
        ));
    }
    let (host, port) = match rest.rsplit_once(':') {
        // Without brackets, the text before the last colon of an IPv6 address has colons too.
        Some((host, _)) if host.contains(':') && !host.starts_with('[') => {
            return Err(format!("{text:?} looks like an IPv6 address without brackets (write [::1]:4317)"));
        }
        Some((host, port)) if !rest.ends_with(']') => (host, port),
        _ => return Err(format!("{text:?} has no port (write {rest}:4317, the port of OTLP over gRPC)")),
    };
    let host =
        host.strip_prefix('[').map_or(host, |bracketed| bracketed.strip_suffix(']').unwrap_or(bracketed));
    if host.is_empty() || host.contains(|c: char| c.is_whitespace() || "[]@".contains(c)) {
        return Err(format!("{text:?} has no valid host ({EXAMPLE})"));
    }
    match port.parse() {
        Ok(port) if port != 0 => Ok(GrpcTarget::Host { host: host.to_owned(), port }),
        _ => Err(format!("{port:?} in {text:?} is not a port (1 to 65535)")),
    }
}
