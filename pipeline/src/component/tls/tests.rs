use std::sync::Arc;

use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, NamedGroup, ProtocolVersion, RootCertStore, ServerConfig,
    ServerConnection,
};

use super::{TlsParameters, TlsVersion, TpmConfig};
use crate::component::Problems;

const RSA_ONLY: &str = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256";
const CHACHA: &str = "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256";
const AES: &str = "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384";
const TLS13: &str = "TLS_AES_128_GCM_SHA256";

static NO_TPM: TpmConfig = TpmConfig { enabled: false };

/// What a test sets: versions, suites, curves.
#[derive(Clone, Default)]
struct Settings {
    min_version: TlsVersion,
    max_version: Option<TlsVersion>,
    suites: Vec<String>,
    curves: Vec<String>,
}

impl Settings {
    fn suites(names: &[&str]) -> Self {
        Self { suites: names.iter().map(ToString::to_string).collect(), ..Self::default() }
    }

    fn curves(names: &[&str]) -> Self {
        Self { curves: names.iter().map(ToString::to_string).collect(), ..Self::default() }
    }

    fn up_to(max: TlsVersion) -> Self {
        Self { max_version: Some(max), ..Self::default() }
    }

    fn parameters(&self) -> TlsParameters<'_> {
        TlsParameters {
            min_version: self.min_version,
            max_version: self.max_version,
            cipher_suites: &self.suites,
            curve_preferences: &self.curves,
            tpm: &NO_TPM,
        }
    }

    fn problems(&self) -> Vec<String> {
        let mut problems = Problems::default();
        self.parameters().validate(&mut problems);
        problems.into_errors(&"exporters::x".into()).map(|error| error.to_string()).collect()
    }
}

/// Makes a handshake. Returns the version, the suite and the curve.
fn handshake(
    client: &Settings,
    server: &Settings,
) -> Result<(ProtocolVersion, String, NamedGroup), rustls::Error> {
    let certified = rcgen::generate_simple_self_signed(vec!["server.test".to_owned()]).unwrap();
    let certificate = certified.cert.der().clone();
    let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let (client, server) = (client.parameters(), server.parameters());
    let client = ClientConfig::builder_with_provider(client.provider())
        .with_protocol_versions(&client.versions())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let server = ServerConfig::builder_with_provider(server.provider())
        .with_protocol_versions(&server.versions())?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)?;
    let name = ServerName::try_from("server.test").unwrap();
    let mut client = ClientConnection::new(Arc::new(client), name)?;
    let mut server = ServerConnection::new(Arc::new(server))?;
    for _ in 0..10 {
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).unwrap();
        server.read_tls(&mut bytes.as_slice()).unwrap();
        server.process_new_packets()?;
        let mut bytes = Vec::new();
        server.write_tls(&mut bytes).unwrap();
        client.read_tls(&mut bytes.as_slice()).unwrap();
        client.process_new_packets()?;
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    Ok((
        client.protocol_version().unwrap(),
        super::parameters::go_name(&client.negotiated_cipher_suite().unwrap()),
        client.negotiated_key_exchange_group().unwrap().name(),
    ))
}

/// *Scenario*: handshakes in which the client or the server restricts versions, suites or curves.
/// *Guarantees*: what is negotiated is allowed by both. Suites restrict only TLS 1.2, as in Go. Where nothing is common, the handshake fails.
#[test]
fn what_is_negotiated() {
    let free = Settings::default();
    let tls12 = || Settings::up_to(TlsVersion::Tls12);
    let (version, ..) = handshake(&free, &free).unwrap();
    assert_eq!(version, ProtocolVersion::TLSv1_3);
    for (client, server) in [(tls12(), free.clone()), (free.clone(), tls12())] {
        assert_eq!(handshake(&client, &server).unwrap().0, ProtocolVersion::TLSv1_2);
    }
    let newest = Settings { min_version: TlsVersion::Tls13, ..Settings::default() };
    assert!(handshake(&newest, &tls12()).is_err());
    for suite in [CHACHA, AES] {
        let only = Settings { max_version: Some(TlsVersion::Tls12), ..Settings::suites(&[suite]) };
        assert_eq!(handshake(&only, &free).unwrap().1, suite);
        assert_eq!(handshake(&free, &only).unwrap().1, suite);
    }
    // The certificate's key is not an RSA key.
    assert!(handshake(&Settings::suites(&[RSA_ONLY]), &tls12()).is_err());
    assert_eq!(handshake(&Settings::suites(&[RSA_ONLY]), &free).unwrap().0, ProtocolVersion::TLSv1_3);
    assert!(handshake(&Settings::suites(&[TLS13]), &tls12()).is_err());
    assert_eq!(handshake(&Settings::suites(&[TLS13]), &free).unwrap().0, ProtocolVersion::TLSv1_3);
    for (curve, group) in
        [("P256", NamedGroup::secp256r1), ("P384", NamedGroup::secp384r1), ("X25519", NamedGroup::X25519)]
    {
        assert_eq!(handshake(&Settings::curves(&[curve]), &free).unwrap().2, group);
        assert_eq!(handshake(&free, &Settings::curves(&[curve])).unwrap().2, group);
        let both = Settings { max_version: Some(TlsVersion::Tls12), ..Settings::curves(&[curve]) };
        assert_eq!(handshake(&both, &free).unwrap().2, group);
    }
    assert_eq!(handshake(&Settings::curves(&["P384", "X25519"]), &free).unwrap().2, NamedGroup::secp384r1);
    assert!(handshake(&Settings::curves(&["P256"]), &Settings::curves(&["P384"])).is_err());
}

/// *Scenario*: unknown and repeated names, names of rustls, versions in the wrong order, and suites that exclude the only version.
/// *Guarantees*: each error has its path, the valid names or the remedy.
#[test]
fn what_is_refused() {
    let mut both = Settings::suites(&["TLS_RSA_WITH_AES_128_CBC_SHA", "TLS13_AES_128_GCM_SHA256", AES, AES]);
    both.curves = vec!["X25519MLKEM768".into(), "P256".into(), "P256".into()];
    let order = Settings { min_version: TlsVersion::Tls13, ..Settings::up_to(TlsVersion::Tls12) };
    let none_left = Settings { max_version: Some(TlsVersion::Tls12), ..Settings::suites(&[TLS13]) };
    let mut problems = Problems::default();
    let tpm = TpmConfig { enabled: true };
    let settings = Settings::default();
    TlsParameters { tpm: &tpm, ..settings.parameters() }.validate(&mut problems);
    let tpm = problems.into_errors(&"exporters::x".into()).map(|error| error.to_string()).collect();
    let all: Vec<_> = [both.problems(), order.problems(), none_left.problems(), tpm].concat();
    insta::assert_snapshot!(all.join("\n"));
    assert_eq!(Settings::suites(&[TLS13, AES, CHACHA, RSA_ONLY]).problems(), [""; 0]);
}
