//! [`Guard`]: decides which requests are answered. Other web pages that are open in the same browser must not read the flows of this host.

use axum::body::Body;
use axum::http::header::{HOST, HeaderMap, HeaderName, HeaderValue};
use axum::http::{Response, StatusCode};
use axum::response::IntoResponse;
use longwave_pipeline::component::BasicAuthConfig;

use super::config::PageConfig;

/// Decides whether a request is answered.
pub(super) struct Guard {
    auth: Option<BasicAuthConfig>,
    /// DNS names of the page, in lower case.
    hosts: Vec<String>,
}

/// Headers of each response. The page loads nothing from elsewhere, runs no script but its own, and cannot be put into a frame.
const HEADERS: [(&str, &str); 6] = [
    (
        "content-security-policy",
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; \
         frame-ancestors 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cache-control", "no-store"),
];

// === impl Guard ===

impl Guard {
    pub(super) fn new(config: &PageConfig) -> Self {
        let own = config.endpoint.rsplit_once(':').map(|(host, _)| host.to_owned());
        let hosts = config.allowed_hosts.iter().cloned().chain(own).chain(["localhost".to_owned()]);
        Self { auth: config.basic_auth.clone(), hosts: hosts.map(|host| host.to_lowercase()).collect() }
    }

    /// Returns the response to a request that is refused.
    pub(super) fn refusal(&self, headers: &HeaderMap) -> Option<Response<Body>> {
        let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let host = text(HOST).unwrap_or_default();
        if !self.is_own(host) {
            let text = format!(
                "{:?} is not a name of this page: open it by an IP address or localhost, or add the name to allowed_hosts of its exporter\n",
                name_of(host)
            );
            return Some((StatusCode::MISDIRECTED_REQUEST, text).into_response());
        }
        let is_embedded = text(HeaderName::from_static("sec-fetch-site")) == Some("cross-site")
            && text(HeaderName::from_static("sec-fetch-mode")) != Some("navigate");
        if is_embedded {
            return Some(
                (StatusCode::FORBIDDEN, "this page cannot be used by other pages\n").into_response(),
            );
        }
        self.auth.as_ref().and_then(|auth| auth.refusal(headers))
    }

    /// Returns whether the `Host` of a request is a name of this page. Every IP address is. Other DNS names are refused, because the owner of a
    /// name can let it resolve to this host, and a page of that name would then have the same origin as this page (DNS rebinding).
    fn is_own(&self, host: &str) -> bool {
        let name = name_of(host);
        let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
        address.parse::<std::net::IpAddr>().is_ok() || self.hosts.contains(&name.to_lowercase())
    }
}

/// Adds the headers that protect the page.
pub(super) fn protect(mut response: Response<Body>) -> Response<Body> {
    for (name, value) in HEADERS {
        response.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    response
}

/// Returns `Host` without its port.
fn name_of(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}
