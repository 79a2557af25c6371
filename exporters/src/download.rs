//! [`Downloads`]: configurations from `http://…` and `https://…`, with the HTTP client, the TLS library and the proxies of the exporters.

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use longwave_config::{Download, without_credentials};
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Client, Proxy, StatusCode, Url};
use tokio_util::sync::CancellationToken;

use crate::otlp::explain::explain;
use crate::otlp::proxy::ProxyRules;
use crate::otlp::{TlsConfig, USER_AGENT};

/// Client for one read of the configuration. It downloads each URL once.
pub struct Downloads {
    limits: Limits,
    started: Instant,
    /// Fires when downloads must end.
    cancelled: CancellationToken,
    done: Mutex<HashMap<String, Result<Vec<u8>, String>>>,
}

/// Limits of downloads.
#[derive(Clone, Copy)]
struct Limits {
    /// Time for one download.
    each: Duration,
    /// Time for all downloads.
    all: Duration,
    /// Bytes of one body.
    bytes: usize,
}

const LIMITS: Limits = Limits { each: Duration::from_secs(10), all: Duration::from_secs(30), bytes: 4 << 20 };
/// Maximum number of redirects, as in Go and therefore the Collector.
const MAX_REDIRECTS: usize = 10;

// === impl Downloads ===

impl Default for Downloads {
    fn default() -> Self {
        Self::cancelled_by(CancellationToken::new())
    }
}

impl Downloads {
    /// Makes a client whose downloads fail as soon as `cancelled` fires.
    pub fn cancelled_by(cancelled: CancellationToken) -> Self {
        Self::new(LIMITS, cancelled)
    }

    fn new(limits: Limits, cancelled: CancellationToken) -> Self {
        Self { limits, started: Instant::now(), cancelled, done: Mutex::default() }
    }

    fn download(&self, url: &str) -> Result<Vec<u8>, String> {
        let left = self.limits.all.saturating_sub(self.started.elapsed());
        if left.is_zero() {
            return Err(format!("all downloads together take longer than {:?}", self.limits.all));
        }
        let limits = Limits { each: self.limits.each.min(left), ..self.limits };
        // A thread of its own, because the caller may be a task of another runtime, which must not block on a future.
        std::thread::scope(|scope| {
            let download = scope.spawn(|| {
                tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .map_err(|error| format!("cannot start the async runtime: {error}"))?
                    .block_on(async {
                        tokio::select! {
                            biased;
                            () = self.cancelled.cancelled() => Err("the process stops".to_owned()),
                            result = fetch(url, limits) => result,
                        }
                    })
            });
            download.join().unwrap_or_else(|_| Err("the HTTP client panicked".to_owned()))
        })
    }
}

impl Download for Downloads {
    fn get(&self, url: &str) -> Result<Vec<u8>, String> {
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(result) = done.get(url) {
            return result.clone();
        }
        let result = self.download(url);
        done.insert(url.to_owned(), result.clone());
        result
    }
}

async fn fetch(url: &str, limits: Limits) -> Result<Vec<u8>, String> {
    let url = Url::parse(url).map_err(|error| format!("not a URL: {error} (write https://host/path)"))?;
    let client = client()?;
    match tokio::time::timeout(limits.each, body(&client, url, limits.bytes)).await {
        Ok(result) => result,
        Err(_) => Err(format!("no complete response within {:?} (is the server overloaded?)", limits.each)),
    }
}

fn client() -> Result<Client, String> {
    let rules = ProxyRules::of_this_process()?;
    let proxy = Proxy::custom(move |url| {
        let host = url.host_str().unwrap_or_default();
        let port = url.port_or_known_default().unwrap_or_default();
        rules.proxy(url.scheme() == "https", host, port).cloned()
    });
    let tls = TlsConfig::default().client_config("the configuration", b"http/1.1", false);
    Client::builder()
        .user_agent(USER_AGENT)
        .http1_only()
        .redirect(Policy::custom(redirect))
        .proxy(proxy)
        .tls_backend_preconfigured(tls.map_err(|error| error.to_string())?)
        .build()
        .map_err(|error| error.to_string())
}

/// Follows a redirect, but never from TLS to plaintext.
fn redirect(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    let was_tls = attempt.previous().last().is_some_and(|url| url.scheme() == "https");
    if was_tls && attempt.url().scheme() != "https" {
        return attempt.error("the server redirects from https:// to http://, which is not secure");
    }
    if attempt.previous().len() > MAX_REDIRECTS {
        return attempt.error(format!("more than {MAX_REDIRECTS} redirects"));
    }
    attempt.follow()
}

async fn body(client: &Client, url: Url, max_bytes: usize) -> Result<Vec<u8>, String> {
    let tls = url.scheme() == "https";
    let failed = |error: reqwest::Error| cause(&error, tls);
    let mut response = client.get(url).send().await.map_err(failed)?;
    if !response.status().is_success() {
        return Err(format!("the server responds {}{}", response.status(), remedy(response.status())));
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        if body.len() + chunk.len() > max_bytes {
            return Err(format!("the body is larger than {max_bytes} bytes (is it a configuration?)"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn remedy(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            " (if it requires credentials, write https://user:password@host/path)"
        }
        StatusCode::NOT_FOUND => " (is the path correct?)",
        _ => "",
    }
}

/// Returns why a request failed, with the remedy if it is known.
fn cause(error: &reqwest::Error, tls: bool) -> String {
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = next {
        let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if let Some(rustls::Error::InvalidCertificate(cause)) =
            error.downcast_ref().or_else(|| inner.and_then(|inner| inner.downcast_ref()))
        {
            return format!(
                "the server's certificate is not accepted: {cause} (install its authority in this system's certificates, or set SSL_CERT_FILE)"
            );
        }
        next = inner.map(|inner| inner as &(dyn Error + 'static)).or_else(|| error.source());
    }
    // `explain` starts with the endpoint, which the caller names already.
    let url = error.url().map(|url| without_credentials(url.as_str())).unwrap_or_default();
    let text = explain(&url, tls, error);
    let text = text.strip_prefix(&format!("{url}: ")).unwrap_or(&text);
    // Its remedies are settings of exporters.
    match text.find(" (") {
        Some(remedy) if text[remedy..].contains("tls::") => text[..remedy].to_owned(),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests;
