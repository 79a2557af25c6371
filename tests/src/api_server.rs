//! Client of an API server, with TLS. It sends many requests on one connection, because one `curl` per request would be too slow.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::cluster::Info;

/// A TLS connection.
pub type Tls = StreamOwned<ClientConnection, TcpStream>;

/// Address of an API server, and the CA that verifies its certificate.
#[derive(Clone)]
pub struct ApiServer {
    /// Address on which it listens.
    pub address: SocketAddr,
    config: Arc<ClientConfig>,
}

/// Sends requests one after the other on one connection.
pub struct Session {
    server: ApiServer,
    token: String,
    connection: Option<BufReader<Tls>>,
}

/// Status line and headers of a response.
struct Head {
    status: u16,
    length: Option<usize>,
    chunked: bool,
}

// === impl ApiServer ===

impl ApiServer {
    /// Returns the API server of a cluster.
    pub fn of(info: &Info) -> Self {
        Self::at(info.server.trim_start_matches("https://").parse().unwrap(), &info.ca)
    }

    /// Returns an API server whose certificate was signed by a CA in the file `ca`.
    pub fn at(address: SocketAddr, ca: &Path) -> Self {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(ca).unwrap() {
            roots.add(certificate.unwrap()).unwrap();
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.unwrap().with_root_certificates(roots).with_no_client_auth();
        Self { address, config: Arc::new(config) }
    }

    /// Opens a connection.
    ///
    /// # Errors
    /// If the connection is refused, or the certificate is not the expected one.
    pub fn connect(&self) -> io::Result<Tls> {
        let stream = TcpStream::connect(self.address)?;
        stream.set_nodelay(true)?;
        let name = ServerName::IpAddress(self.address.ip().into());
        let client = ClientConnection::new(Arc::clone(&self.config), name).map_err(io::Error::other)?;
        Ok(StreamOwned::new(client, stream))
    }

    /// Starts a session with this token.
    pub fn session(&self, token: &str) -> Session {
        Session { server: self.clone(), token: token.to_owned(), connection: None }
    }
}

// === impl Session ===

impl Session {
    /// Sends a request, and returns the status and body of the response. Sends it once more if the connection fails.
    ///
    /// # Panics
    /// If there is no response.
    pub fn request(&mut self, method: &str, path: &str, content_type: &str, body: &str) -> (u16, Vec<u8>) {
        // The server may have closed a connection that was idle.
        let answer = self
            .exchange(method, path, content_type, body)
            .or_else(|_| self.exchange(method, path, content_type, body));
        answer.unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// Sends a request with a JSON body, and returns the body of the response. Accepts the error that the object exists already.
    ///
    /// # Panics
    /// If the server returns another error.
    pub fn write(&mut self, method: &str, path: &str, object: &serde_json::Value) -> Vec<u8> {
        let kind = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
        // Without warnings about unknown fields, the server decodes faster.
        let lenient = format!("{path}?fieldValidation=Ignore");
        let (status, answer) = self.request(method, &lenient, kind, &object.to_string());
        let text = String::from_utf8_lossy(&answer);
        assert!((200..300).contains(&status) || status == 409, "{method} {path}: {status}: {text}");
        answer
    }

    fn exchange(
        &mut self,
        method: &str,
        path: &str,
        content_type: &str,
        body: &str,
    ) -> io::Result<(u16, Vec<u8>)> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => BufReader::new(self.server.connect()?),
        };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nAccept: application/json\r\n\
             Content-Type: {content_type}\r\nContent-Length: {}\r\n\r\n{body}",
            self.server.address,
            self.token,
            body.len(),
        );
        connection.get_mut().write_all(request.as_bytes())?;
        connection.get_mut().flush()?;
        let head = read_head(&mut connection)?;
        let body = read_body(&mut connection, &head)?;
        self.connection = Some(connection);
        Ok((head.status, body))
    }
}

fn read_head(from: &mut impl BufRead) -> io::Result<Head> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if from.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if line.trim_end().is_empty() {
            break;
        }
        lines.push(line.trim_end().to_ascii_lowercase());
    }
    let status = lines[0].split(' ').nth(1).and_then(|code| code.parse().ok());
    let status = status.ok_or_else(|| io::Error::other(lines[0].clone()))?;
    let length = lines.iter().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    let chunked = lines.iter().any(|line| line == "transfer-encoding: chunked");
    Ok(Head { status, length, chunked })
}

fn read_body(from: &mut impl BufRead, head: &Head) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    if !head.chunked {
        body.resize(head.length.unwrap_or(0), 0);
        from.read_exact(&mut body)?;
        return Ok(body);
    }
    loop {
        let mut line = String::new();
        from.read_line(&mut line)?;
        let length = usize::from_str_radix(line.trim(), 16).map_err(io::Error::other)?;
        let start = body.len();
        body.resize(start + length + 2, 0);
        from.read_exact(&mut body[start..])?;
        body.truncate(start + length);
        if length == 0 {
            return Ok(body);
        }
    }
}
