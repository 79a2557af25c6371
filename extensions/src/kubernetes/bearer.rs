//! Bearer token of a kubeconfig, or of a pod's service account.
//!
//! As in `kubectl`, the token in a file takes precedence over the one in the kubeconfig, is read again from time to time because it expires,
//! and does not include the white space around it: editors and `echo` end a file with a newline. The library `kube` sends the newline too,
//! or panics if it is in the kubeconfig.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::HeaderValue;
use kube::config::AuthInfo;

/// How long a token from a file is used before the file is read again. The same as `kubectl`'s.
const KEPT_FOR: Duration = Duration::from_secs(60);

/// Bearer token, and the file that it is read from.
pub(super) struct BearerToken {
    file: Option<PathBuf>,
    current: Mutex<CachedHeader>,
}

/// Value of the header `Authorization`, and when it was read.
struct CachedHeader {
    value: HeaderValue,
    read: Instant,
}

/// Why a token cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum TokenError {
    /// The file cannot be read.
    #[error("tokenFile: {}: {error}", path.display())]
    Unreadable {
        /// Path of the file.
        path: PathBuf,
        /// The cause.
        error: std::io::Error,
    },
    /// The file has no token.
    #[error("tokenFile: {}: the file is empty", .0.display())]
    Empty(PathBuf),
    /// The token has control characters.
    #[error("{place}: not a token: it contains a line break or another control character")]
    Malformed {
        /// Where it is.
        place: String,
    },
}

// === impl BearerToken ===

impl BearerToken {
    /// Takes the token and its file out of `auth`. `None` if there is neither, or if the credentials are of another kind.
    ///
    /// # Errors
    /// The file cannot be read, or the token cannot be sent.
    pub fn take(auth: &mut AuthInfo) -> Result<Option<Self>, TokenError> {
        if auth.auth_provider.is_some() || (auth.username.is_some() && auth.password.is_some()) {
            return Ok(None);
        }
        let own = token_of(auth);
        auth.token = None;
        let file = auth.token_file.take().map(PathBuf::from);
        let value = match (file.as_deref().map(read), own) {
            (Some(Ok(value)), _) => value,
            (Some(Err(_)) | None, Some(token)) => header("token", &token)?,
            (Some(Err(error)), None) => return Err(error),
            (None, None) => return Ok(None),
        };
        // A token takes precedence over a command that returns one.
        auth.exec = None;
        Ok(Some(Self { file, current: Mutex::new(CachedHeader { value, read: Instant::now() }) }))
    }

    /// Returns the value of the header `Authorization` at `now`. The last token is kept while the file cannot be read.
    pub fn header(&self, now: Instant) -> HeaderValue {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = &self.file
            && now.saturating_duration_since(current.read) >= KEPT_FOR
        {
            current.read = now;
            match read(file) {
                Ok(value) => current.value = value,
                Err(error) => tracing::debug!(%error, "the last token is used"),
            }
        }
        current.value.clone()
    }
}

/// Returns the token in a kubeconfig. It is serialised, because its type does not reveal it otherwise.
fn token_of(auth: &AuthInfo) -> Option<String> {
    let auth = serde_json::to_value(auth).ok()?;
    let token = auth.get("token")?.as_str()?.trim();
    (!token.is_empty()).then(|| token.to_owned())
}

fn read(path: &Path) -> Result<HeaderValue, TokenError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| TokenError::Unreadable { path: path.to_owned(), error })?;
    let token = text.trim();
    if token.is_empty() {
        return Err(TokenError::Empty(path.to_owned()));
    }
    header(&format!("tokenFile: {}", path.display()), token)
}

fn header(place: &str, token: &str) -> Result<HeaderValue, TokenError> {
    let mut value = HeaderValue::try_from(format!("Bearer {token}"))
        .map_err(|_| TokenError::Malformed { place: place.to_owned() })?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests;
