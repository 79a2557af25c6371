//! Configuration of `basicauth`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use longwave_config::Secret;
use longwave_pipeline::component::{ComponentConfig, Problems};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::file;

/// The section `extensions::basicauth`. Keys are the Collector's, without `htpasswd`, which is for servers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct BasicConfig {
    /// Credentials of a client.
    pub client_auth: Option<ClientAuthConfig>,
}

/// Credentials of a client.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct ClientAuthConfig {
    /// Name of the user.
    #[schemars(example = &"longwave")]
    pub username: String,
    /// File with the name of the user, which takes precedence over `username`.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schemars(example = &"/etc/longwave/user")]
    pub username_file: String,
    /// Password of the user.
    #[schemars(example = &"${env:PASSWORD}")]
    pub password: Secret,
    /// File with the password, which takes precedence over `password`.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schemars(example = &"/etc/longwave/password")]
    pub password_file: String,
}

// === impl BasicConfig ===

impl ComponentConfig for BasicConfig {
    fn validate(&self, problems: &mut Problems) {
        match &self.client_auth {
            Some(client) if *client != ClientAuthConfig::default() => {
                if client.username_file.is_empty() && client.username.contains(':') {
                    problems.at("client_auth::username", NO_COLON);
                }
            }
            _ => problems.at("", "no credential source provided: set client_auth::username and password"),
        }
    }
}

/// Why a user name is refused. The Collector has the first words.
const NO_COLON: &str = "invalid authorization format: the name of a user must not contain a colon";

impl BasicConfig {
    /// Returns whether the credentials are read from files.
    pub(super) fn follows_files(&self) -> bool {
        let files =
            |client: &ClientAuthConfig| !client.username_file.is_empty() || !client.password_file.is_empty();
        self.client_auth.as_ref().is_some_and(files)
    }

    /// Returns the value of the header, with what is in the files now. An error has the key of the setting to which it belongs.
    pub(super) fn header_value(&self) -> Result<HeaderValue, (&'static str, String)> {
        let client = self.client_auth.clone().unwrap_or_default();
        let username = text("client_auth::username_file", &client.username_file, &client.username)?;
        let password = text("client_auth::password_file", &client.password_file, client.password.expose())?;
        if username.contains(':') {
            return Err(("client_auth::username_file", format!("{}: {NO_COLON}", client.username_file)));
        }
        let encoded = STANDARD.encode(format!("{username}:{password}"));
        let mut value = HeaderValue::from_str(&format!("Basic {encoded}"))
            .map_err(|error| ("client_auth", error.to_string()))?;
        value.set_sensitive(true);
        Ok(value)
    }
}

/// Returns the text of the file, or `inline` if there is none.
fn text(key: &'static str, file: &str, inline: &str) -> Result<String, (&'static str, String)> {
    if file.is_empty() { Ok(inline.to_owned()) } else { file::read(file).map_err(|what| (key, what)) }
}
