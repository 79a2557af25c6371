//! URLs to which requests are sent.

use longwave_pipeline::component::Signal;
use reqwest::Url;

const EXAMPLE: &str = "write for example http://localhost:4318";

/// Parses a complete URL.
///
/// # Errors
/// The mistake, and what to write instead.
pub(crate) fn parse(text: &str) -> Result<Url, String> {
    let text = text.trim();
    let Some((scheme, _)) = text.split_once("://") else {
        return Err(format!("{text:?} has no scheme (write http://{text}, or https://{text} for TLS)"));
    };
    if !matches!(scheme, "http" | "https") {
        return Err(format!("unknown scheme {scheme:?} in {text:?} ({EXAMPLE})"));
    }
    let url = Url::parse(text).map_err(|e| format!("{text:?} is not a URL: {e} ({EXAMPLE})"))?;
    if !url.username().is_empty() || url.password().is_some() {
        // The message leaves the text out, since it contains a password.
        return Err("must not carry a user or password (put them in headers: {Authorization: …})".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(format!("{text:?} must not have a query or fragment ({EXAMPLE})"));
    }
    Ok(url)
}

/// Parses a URL to which the signals' paths are appended.
///
/// # Errors
/// Those of [`parse`], and a URL that ends with such a path already.
pub(crate) fn base(text: &str) -> Result<Url, String> {
    let url = parse(text)?;
    for signal in ["metrics", "logs", "traces"] {
        let own = format!("/v1/{signal}");
        if let Some(base) = text.trim().trim_end_matches('/').strip_suffix(&own) {
            return Err(format!(
                "{text:?} ends with {own}, which is appended here (write {base}, or use {signal}_endpoint)"
            ));
        }
    }
    Ok(url)
}

/// Appends the signal's path to `base`.
pub(crate) fn of_signal(mut base: Url, signal: Signal) -> Url {
    let path = format!("{}/v1/{signal}", base.path().trim_end_matches('/'));
    base.set_path(&path);
    base
}
