//! [`ProxyRules`]: `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY`, as Go and therefore the Collector understand them.

use std::net::IpAddr;

use longwave_config::Network;
use reqwest::Url;

/// Which targets are reached through which proxy.
#[derive(Clone, Debug, Default)]
pub(crate) struct ProxyRules {
    http: Option<Url>,
    https: Option<Url>,
    direct: Vec<DirectRule>,
}

/// One element of `NO_PROXY`.
#[derive(Clone, Debug, PartialEq, Eq)]
enum DirectRule {
    /// `*`
    All,
    /// `10.0.0.0/8`
    Network(Network),
    /// `10.0.0.1`, `[::1]:4318`
    Address(IpAddr, Option<u16>),
    /// `example.com` matches this name and those below it; `.example.com` only those below it.
    Domain { suffix: String, itself: bool, port: Option<u16> },
}

// === impl ProxyRules ===

impl ProxyRules {
    /// Reads the variables in upper case, else those in lower case.
    ///
    /// # Errors
    /// A variable is not the URL of a proxy that can be used. The message leaves out the value, which may contain a password.
    pub(crate) fn of_this_process() -> Result<Self, String> {
        Self::read(|name| std::env::var(name).ok())
    }

    pub(super) fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let value = |name: &str| {
            let set = |name: &str| variable(name).filter(|text| !text.trim().is_empty());
            set(name).or_else(|| set(&name.to_lowercase()))
        };
        let proxy = |name: &str| {
            let parsed = value(name).map(|text| parse(&text));
            parsed.transpose().map_err(|what| format!("environment variable {name}: {what}"))
        };
        let listed = value("NO_PROXY").unwrap_or_default();
        Ok(Self {
            http: proxy("HTTP_PROXY")?,
            https: proxy("HTTPS_PROXY")?,
            direct: listed.split(',').filter_map(DirectRule::parse).collect(),
        })
    }

    /// Returns the proxy for a target; `None` if it is reached directly. `localhost` and loopback addresses always are.
    pub(crate) fn proxy(&self, tls: bool, host: &str, port: u16) -> Option<&Url> {
        let proxy = if tls { self.https.as_ref() } else { self.http.as_ref() }?;
        let host = host.trim_matches(['[', ']']).trim_end_matches('.').to_ascii_lowercase();
        let address = host.parse::<IpAddr>().ok().map(|address| address.to_canonical());
        let is_local = host == "localhost" || address.is_some_and(|address| address.is_loopback());
        let is_direct = is_local || self.direct.iter().any(|rule| rule.matches(&host, address, port));
        (!is_direct).then_some(proxy)
    }
}

/// Parses the URL of a proxy. Without a scheme it is `http://`.
///
/// # Errors
/// What is wrong, without the text, which may contain a password.
pub(super) fn parse(text: &str) -> Result<Url, String> {
    let text = text.trim();
    let with_scheme = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let example = "write for example http://proxy.example:3128";
    let url = Url::parse(&with_scheme)
        .map_err(|error| format!("is not the URL of a proxy: {error} ({example})"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("proxies of the kind {}:// are not supported ({example})", url.scheme()));
    }
    Ok(url)
}

// === impl DirectRule ===

impl DirectRule {
    /// Parses one element. `None` if it is empty or malformed, which Go ignores too.
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim().to_ascii_lowercase();
        if text.is_empty() {
            return None;
        }
        if text == "*" {
            return Some(Self::All);
        }
        if text.contains('/') {
            return text.parse().ok().map(Self::Network);
        }
        if let Ok(address) = text.trim_matches(['[', ']']).parse::<IpAddr>() {
            return Some(Self::Address(address.to_canonical(), None));
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (host, Some(port.parse().ok()?)),
            None => (text.as_str(), None),
        };
        let host = host.trim_matches(['[', ']']);
        if let Ok(address) = host.parse::<IpAddr>() {
            return Some(Self::Address(address.to_canonical(), port));
        }
        let host = host.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(host);
        let (suffix, itself) = match host.strip_prefix('.') {
            Some(below) => (below, false),
            None => (host, true),
        };
        (!suffix.is_empty()).then(|| Self::Domain { suffix: suffix.to_owned(), itself, port })
    }

    fn matches(&self, host: &str, address: Option<IpAddr>, port: u16) -> bool {
        let same = |wanted: &Option<u16>| wanted.is_none_or(|wanted| wanted == port);
        match self {
            Self::All => true,
            Self::Network(network) => address.is_some_and(|address| network.contains(&address)),
            Self::Address(wanted, on) => address == Some(*wanted) && same(on),
            Self::Domain { suffix, itself, port: on } => {
                let below = host.strip_suffix(suffix.as_str()).is_some_and(|rest| rest.ends_with('.'));
                (below || *itself && host == suffix) && same(on)
            }
        }
    }
}

#[cfg(test)]
mod tests;
