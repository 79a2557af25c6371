//! Explains failed connections. The libraries report "transport error" and put the reason into the error's sources.

use std::error::Error;
use std::io;

use longwave_pipeline::component::{descriptor_limit, innermost};
use rustls::{AlertDescription, CertificateError};

/// Returns one line: the endpoint, the failure, and the remedy if the cause is known.
pub(crate) fn explain(endpoint: &str, tls: bool, error: &(dyn Error + 'static)) -> String {
    match likely_cause(tls, error) {
        Some(cause) => format!("{endpoint}: {cause}"),
        None => {
            let text = innermost(error);
            let cause =
                explain_late_alert(&text).unwrap_or_else(|| format!("{text}{}", remedy_for_close(tls)));
            format!("{endpoint}: {cause}")
        }
    }
}

/// Returns the likely remedy for a connection that the server closed without a reason.
fn remedy_for_close(tls: bool) -> &'static str {
    if tls {
        " (if the server requires a client certificate, set tls::cert_file and tls::key_file)"
    } else {
        " (if the server expects TLS, set tls::insecure: false or use https://)"
    }
}

/// Searches the error and its sources for a known cause.
fn likely_cause(tls: bool, error: &(dyn Error + 'static)) -> Option<String> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            // `source` skips the error that an I/O error wraps.
            let inner = io.get_ref().map(|inner| inner as &(dyn Error + 'static));
            if let Some(known) =
                inner.and_then(|inner| likely_cause(tls, inner)).or_else(|| explain_io(tls, io))
            {
                return Some(known);
            }
        }
        if let Some(known) = error.downcast_ref::<rustls::Error>() {
            return Some(explain_tls(known));
        }
        if error.is::<Explained>() {
            return Some(error.to_string());
        }
        next = error.source();
    }
    None
}

/// A failure whose message contains its cause already.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Explained(pub String);

/// The connection could not be opened, so that the server has not seen the request.
#[derive(Debug, thiserror::Error)]
#[error("cannot connect")]
pub(crate) struct ConnectFailed(#[source] pub io::Error);

/// Returns whether the server may have received the request, because the connection had been opened.
pub(crate) fn may_have_arrived(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<ConnectFailed>() {
            return false;
        }
        // `source` skips the error that an I/O error wraps.
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = wrapped.map(|inner| inner as &(dyn Error + 'static)).or_else(|| error.source());
    }
    true
}

fn explain_io(tls: bool, error: &io::Error) -> Option<String> {
    let remedy = remedy_for_close(tls);
    if let Some(remedy) = descriptor_limit(error) {
        return Some(format!("cannot open a socket: {error}: {remedy}"));
    }
    Some(match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            "connection refused: no process listens there (is the collector running?)".into()
        }
        io::ErrorKind::ConnectionReset => format!("connection reset by the server{remedy}"),
        io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionAborted => {
            format!("the server closed the connection{remedy}")
        }
        io::ErrorKind::TimedOut => {
            "timed out: no response (does a firewall or a NetworkPolicy drop packets?)".into()
        }
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            format!("no route to the server: {error}")
        }
        io::ErrorKind::PermissionDenied => {
            format!("this host forbids the connection: {error} (a local firewall rule?)")
        }
        // An error of the operating system says what it is. Others come from the protocol.
        _ => return error.raw_os_error().map(|_| error.to_string()),
    })
}

fn explain_tls(error: &rustls::Error) -> String {
    use CertificateError as C;
    match error {
        rustls::Error::InvalidMessage(_) => {
            "TLS handshake with a server that does not speak TLS (set tls::insecure: true or use http://)".into()
        }
        rustls::Error::InvalidCertificate(C::UnknownIssuer | C::BadSignature) => {
            "the server's certificate is signed by an unknown authority (set tls::ca_file to that authority's certificate)".into()
        }
        rustls::Error::InvalidCertificate(C::NotValidForName | C::NotValidForNameContext { .. }) => {
            format!("the server's certificate does not contain the server's name: {error} (set tls::server_name_override to a name that it contains)")
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
        rustls::Error::AlertReceived(
            AlertDescription::ProtocolVersion | AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity,
        )
        | rustls::Error::PeerIncompatible(_) => {
            format!("the server and this client have no TLS version or cipher in common: {error} (see tls::min_version, max_version, cipher_suites and curve_preferences)")
        }
        rustls::Error::NoApplicationProtocol | rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol) => {
            "the server uses TLS, but not the expected protocol (is this a gRPC port, and not an HTTP one?)".into()
        }
        other => format!("TLS: {other}"),
    }
}

/// Explains an alert that arrives after the handshake (TLS 1.3: the server refuses our certificate). HTTP/2 keeps only its text.
fn explain_late_alert(text: &str) -> Option<String> {
    let (_, alert) = text.split_once("received fatal alert: ")?;
    Some(if alert.contains("Certificate") || alert.contains("UnknownCA") {
        refused_certificate(&text)
    } else {
        format!("TLS: {text}")
    })
}

fn refused_certificate(error: &dyn std::fmt::Display) -> String {
    format!(
        "the server refuses our certificate or requires one: {error} (see tls::cert_file and tls::key_file)"
    )
}

#[cfg(test)]
mod tests;
