//! Configuration of `bearertokenauth`.

use http::{HeaderName, HeaderValue};
use longwave_config::Secret;
use longwave_pipeline::component::{ComponentConfig, Problems, is_protocol_header};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::file;

/// The section `extensions::bearertokenauth`. Keys and defaults are the Collector's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct BearerConfig {
    /// Name of the header.
    pub header: String,
    /// Word before the token. Empty: none.
    pub scheme: String,
    /// The token.
    #[serde(skip_serializing_if = "is_empty")]
    #[schemars(example = &"${env:TOKEN}")]
    pub token: Secret,
    /// Tokens that a server accepts. A client sends the first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(example = ["${env:TOKEN}"])]
    pub tokens: Vec<Secret>,
    /// File with the token, which takes precedence over `token`. Of each line, only the first word is a token.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schemars(example = &"/run/secrets/token")]
    pub filename: String,
}

fn is_empty(secret: &Secret) -> bool {
    secret.expose().is_empty()
}

// === impl BearerConfig ===

impl Default for BearerConfig {
    fn default() -> Self {
        Self {
            header: "Authorization".to_owned(),
            scheme: "Bearer".to_owned(),
            token: Secret::default(),
            tokens: Vec::new(),
            filename: String::new(),
        }
    }
}

impl ComponentConfig for BearerConfig {
    fn validate(&self, problems: &mut Problems) {
        if HeaderName::from_bytes(self.header.as_bytes()).is_err() {
            problems.at("header", "is not a header name (use letters, digits and -)");
        } else if is_protocol_header(&self.header) {
            problems.at("header", "is set by the protocol and cannot be chosen");
        } else if self.header.to_ascii_lowercase().ends_with("-bin") {
            problems.at("header", "binary metadata (-bin) is not supported");
        }
        if HeaderValue::from_str(&self.scheme).is_err() {
            problems.at("scheme", "has characters that are invalid in a header");
        }
        let has_token = !is_empty(&self.token);
        if has_token && !self.tokens.is_empty() {
            problems.at("tokens", "either tokens or token should be provided, not both");
        } else if !has_token && self.tokens.is_empty() && self.filename.is_empty() {
            problems.at("", "no bearer token provided: set filename or token");
        } else if !self.follows_file()
            && let Err(what) = self.header_value()
        {
            problems.at(if has_token { "token" } else { "tokens" }, what);
        }
    }
}

impl BearerConfig {
    /// Returns whether the token is read from the file. As in the Collector, `tokens` takes precedence over it.
    pub(super) fn follows_file(&self) -> bool {
        self.tokens.is_empty() && !self.filename.is_empty()
    }

    /// Returns the setting that is ignored because another one takes precedence, and that other one.
    pub(super) fn ignored(&self) -> Option<(&'static str, &'static str)> {
        match (self.filename.is_empty(), self.tokens.is_empty(), is_empty(&self.token)) {
            (false, false, _) => Some(("filename", "tokens")),
            (false, true, false) => Some(("token", "filename")),
            _ => None,
        }
    }

    /// Returns the value of the header, with the token that is in the file now.
    pub(super) fn header_value(&self) -> Result<HeaderValue, String> {
        let text = match self.tokens.first() {
            Some(token) => token.expose().to_owned(),
            None if self.follows_file() => file::read(&self.filename)?,
            None => self.token.expose().to_owned(),
        };
        // The words after a token are a comment.
        let token = text.split_whitespace().next().ok_or("no bearer token provided: the text is empty")?;
        let value =
            if self.scheme.is_empty() { token.to_owned() } else { format!("{} {token}", self.scheme) };
        let place = if self.follows_file() { format!("{}: ", self.filename) } else { String::new() };
        let mut value = HeaderValue::from_str(&value)
            .map_err(|_| format!("{place}the token has characters that are invalid in a header"))?;
        value.set_sensitive(true);
        Ok(value)
    }
}
