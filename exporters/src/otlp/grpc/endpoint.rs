//! [`GrpcEndpoint`]: the address of a gRPC server.

/// A parsed `endpoint`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GrpcEndpoint {
    /// Name or address; IPv6 without brackets.
    pub host: String,
    pub port: u16,
    pub tls: bool,
}

const EXAMPLE: &str = "write for example localhost:4317 or collector.example:4317";

impl GrpcEndpoint {
    /// Parses `endpoint`. `insecure` is `tls::insecure`, which decides about TLS if the text has no scheme.
    ///
    /// # Errors
    /// The mistake, and what to write instead.
    pub(crate) fn parse(text: &str, insecure: bool) -> Result<Self, String> {
        let text = text.trim();
        if text.is_empty() {
            return Err(format!("must be set ({EXAMPLE})"));
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
            Some(other) => return Err(format!("unknown scheme {other:?} in {text:?} ({EXAMPLE})")),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains('/') {
            return Err(format!(
                "{text:?} has a path, which gRPC does not use ({EXAMPLE}; a URL with a path is for otlp_http)"
            ));
        }
        let (host, port) = match rest.rsplit_once(':') {
            // Without brackets, the text before the last colon of an IPv6 address has colons too.
            Some((host, _)) if host.contains(':') && !host.starts_with('[') => {
                return Err(format!(
                    "{text:?} looks like an IPv6 address without brackets (write [::1]:4317)"
                ));
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
            Ok(port) if port != 0 => Ok(Self { host: host.to_owned(), port, tls }),
            _ => Err(format!("{port:?} in {text:?} is not a port (1 to 65535)")),
        }
    }

    /// Returns `host:port`, with brackets around an IPv6 address.
    pub(crate) fn authority(&self) -> String {
        let Self { host, port, .. } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }
}

/// Shows the endpoint as a URL, for errors.
impl std::fmt::Display for GrpcEndpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}", if self.tls { "https" } else { "http" }, self.authority())
    }
}
