//! Downloads that `http:` and `https:` refer to.

/// Downloads configurations. The caller implements it with its HTTP client, so that this crate needs none.
pub trait Download: Send + Sync {
    /// Returns the body at `url` (`http://…` or `https://…`). Must be bounded in size and time.
    ///
    /// # Errors
    /// Returns the message for the user: cause and remedy, without credentials.
    fn get(&self, url: &str) -> Result<Vec<u8>, String>;
}

/// Refuses to download.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct NoDownloads;

impl Download for NoDownloads {
    fn get(&self, _: &str) -> Result<Vec<u8>, String> {
        Err("downloads are not possible here (download it, and use the path of the file)".to_owned())
    }
}

impl<F: Fn(&str) -> Result<Vec<u8>, String> + Send + Sync> Download for F {
    fn get(&self, url: &str) -> Result<Vec<u8>, String> {
        self(url)
    }
}

/// Returns `url` without credentials: without user, password, query and fragment.
pub fn without_credentials(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    match url.split_once("://") {
        None => url.to_owned(),
        Some((scheme, rest)) => {
            let (authority, path) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
            let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
            format!("{scheme}://{host}{path}")
        }
    }
}

#[cfg(test)]
mod tests;
