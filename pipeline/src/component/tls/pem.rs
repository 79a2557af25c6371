//! Certificates and keys in PEM format.

use std::fmt;
use std::io::ErrorKind;

use longwave_config::Secret;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Where a PEM text is: `…_file` or `…_pem` of the settings.
#[derive(Clone, Debug)]
pub enum PemSource {
    /// Path of a file.
    File(String),
    /// The text itself.
    Text(Secret),
}

/// Reads one or more certificates.
///
/// # Errors
/// The source, what is wrong with it, and what is expected.
pub fn certificates(source: &PemSource) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = match source {
        PemSource::File(path) => {
            CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>)
        }
        PemSource::Text(text) => CertificateDer::pem_slice_iter(text.expose().as_bytes()).collect(),
    };
    match read {
        Ok(found) if found.is_empty() => Err(explain(source, &pem::Error::NoItemsFound, "certificate")),
        Ok(found) => Ok(found),
        Err(error) => Err(explain(source, &error, "certificate")),
    }
}

/// Reads a private key.
///
/// # Errors
/// As for [`certificates`].
pub fn private_key(source: &PemSource) -> Result<PrivateKeyDer<'static>, String> {
    let read = match source {
        PemSource::File(path) => PrivateKeyDer::from_pem_file(path),
        PemSource::Text(text) => PrivateKeyDer::from_pem_slice(text.expose().as_bytes()),
    };
    read.map_err(|error| explain(source, &error, "private key"))
}

fn explain(source: &PemSource, error: &pem::Error, what: &str) -> String {
    match error {
        pem::Error::Io(error) if error.kind() == ErrorKind::NotFound => {
            format!("{source}: the file does not exist (is the secret mounted?)")
        }
        pem::Error::Io(error) => format!("{source}: cannot be read: {error}"),
        pem::Error::NoItemsFound => format!("{source}: has no {what} in PEM format (-----BEGIN …-----)"),
        other => format!("{source}: is not a {what} in PEM format: {other}"),
    }
}

// === impl PemSource ===

impl PemSource {
    /// Returns the source of a setting that may be there as a file or as a text.
    pub fn of(file: Option<&str>, text: Option<&Secret>) -> Option<Self> {
        match (file.filter(|path| !path.is_empty()), text) {
            (Some(path), _) => Some(Self::File(path.to_owned())),
            (None, Some(text)) => Some(Self::Text(text.clone())),
            (None, None) => None,
        }
    }
}

/// Shows the path of a file, and nothing of a text.
impl fmt::Display for PemSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{path:?}"),
            Self::Text(_) => f.write_str("the text"),
        }
    }
}
