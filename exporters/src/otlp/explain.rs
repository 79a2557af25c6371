//! What a failed connection means, in words that help: the libraries say "transport error" and hide the reason in their sources.

use std::error::Error;
use std::io;

use longwave_pipeline::component::innermost;
use rustls::{AlertDescription, CertificateError};

/// One line: the endpoint, what happened, and where the cause is known what to do about it.
pub(crate) fn explain(endpoint: &str, tls: bool, error: &(dyn Error + 'static)) -> String {
    match likely_cause(tls, error) {
        Some(cause) => format!("{endpoint}: {cause}"),
        None => {
            let text = innermost(error);
            let cause = of_late_alert(&text).unwrap_or_else(|| format!("{text}{}", perhaps(tls)));
            format!("{endpoint}: {cause}")
        }
    }
}

/// Why a server may end a connection without a word.
fn perhaps(tls: bool) -> &'static str {
    if tls {
        " (if the server wants a client certificate, set tls::cert_file and tls::key_file)"
    } else {
        " (if the server expects TLS, set tls::insecure: false or use https://)"
    }
}

/// Looks through the error and what lies beneath it for something known.
fn likely_cause(tls: bool, error: &(dyn Error + 'static)) -> Option<String> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            // What an I/O error wraps is not among its sources.
            let inner = io.get_ref().map(|inner| inner as &(dyn Error + 'static));
            if let Some(known) = inner.and_then(|inner| likely_cause(tls, inner)).or_else(|| of_io(tls, io)) {
                return Some(known);
            }
        }
        if let Some(known) = error.downcast_ref::<rustls::Error>() {
            return Some(of_tls(known));
        }
        if error.is::<Known>() {
            return Some(error.to_string());
        }
        next = error.source();
    }
    None
}

/// A failure that is already explained.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Known(pub String);

fn of_io(tls: bool, error: &io::Error) -> Option<String> {
    let perhaps = perhaps(tls);
    Some(match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            "connection refused: nothing listens there (is the collector running?)".into()
        }
        io::ErrorKind::ConnectionReset => format!("connection reset by the server{perhaps}"),
        io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionAborted => {
            format!("the server closed the connection{perhaps}")
        }
        io::ErrorKind::TimedOut => {
            "timed out: no answer (does a firewall or a NetworkPolicy drop packets?)".into()
        }
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            format!("no route to the server: {error}")
        }
        io::ErrorKind::PermissionDenied => {
            format!("this host forbids the connection: {error} (a local firewall rule?)")
        }
        _ => return None,
    })
}

fn of_tls(error: &rustls::Error) -> String {
    use CertificateError as C;
    match error {
        rustls::Error::InvalidMessage(_) => {
            "TLS handshake with a server that does not speak TLS (set tls::insecure: true or use http://)".into()
        }
        rustls::Error::InvalidCertificate(C::UnknownIssuer | C::BadSignature) => {
            "the server's certificate is signed by an unknown authority (set tls::ca_file to that authority's certificate)".into()
        }
        rustls::Error::InvalidCertificate(C::NotValidForName | C::NotValidForNameContext { .. }) => {
            format!("the server's certificate is for another name: {error} (set tls::server_name_override to a name it is for)")
        }
        rustls::Error::InvalidCertificate(C::Expired | C::ExpiredContext { .. } | C::NotValidYet | C::NotValidYetContext { .. }) => {
            format!("the server's certificate is not valid at this time: {error} (is the clock right?)")
        }
        rustls::Error::AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnknownCA
            | AlertDescription::CertificateUnknown,
        ) => refused_certificate(error),
        rustls::Error::AlertReceived(AlertDescription::ProtocolVersion) | rustls::Error::PeerIncompatible(_) => {
            format!("the server and this client share no TLS version or cipher: {error} (see tls::min_version)")
        }
        rustls::Error::NoApplicationProtocol | rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol) => {
            "the server speaks TLS, but not the expected protocol (is this a gRPC port, and not an HTTP one?)".into()
        }
        other => format!("TLS: {other}"),
    }
}

/// An alert that arrives after the handshake (TLS 1.3: the server does not like our certificate) comes as text: HTTP/2 keeps no more.
fn of_late_alert(text: &str) -> Option<String> {
    let (_, alert) = text.split_once("received fatal alert: ")?;
    Some(if alert.contains("Certificate") { refused_certificate(&text) } else { format!("TLS: {text}") })
}

fn refused_certificate(error: &dyn std::fmt::Display) -> String {
    format!("the server refuses our certificate or wants one: {error} (see tls::cert_file and tls::key_file)")
}
