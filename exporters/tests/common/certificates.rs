//! A certificate authority and certificates that it signs, as PEM files in a directory of the test.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

static NEXT: AtomicUsize = AtomicUsize::new(0);

/// An authority, a server certificate for `collector.test` and a client certificate.
pub struct Certificates {
    directory: TempDir,
    pub ca: String,
    pub server: (String, String),
    pub client: (String, String),
}

impl Certificates {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        // Authorities need different names: with equal names only the signatures would differ.
        let name = format!("authority {}", NEXT.fetch_add(1, Ordering::Relaxed));
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca_key = KeyPair::generate().unwrap();
        let ca = params.self_signed(&ca_key).unwrap().pem();
        let issuer = Issuer::new(params, ca_key);
        let signed = |name: &str, purpose| {
            let key = KeyPair::generate().unwrap();
            let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
            params.extended_key_usages = vec![purpose];
            (params.signed_by(&key, &issuer).unwrap().pem(), key.serialize_pem())
        };
        Self {
            directory: tempfile::tempdir().unwrap(),
            server: signed("collector.test", ExtendedKeyUsagePurpose::ServerAuth),
            client: signed("longwave.test", ExtendedKeyUsagePurpose::ClientAuth),
            ca,
        }
    }

    /// Writes `pem` and returns the path.
    pub fn file(&self, name: &str, pem: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        std::fs::write(&path, pem).unwrap();
        path
    }
}
