//! Requests by HTTP.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Time limit of a response.
const LIMIT: Duration = Duration::from_secs(90);

/// Requests `path`, and returns the status and the body.
///
/// # Errors
/// If there is no response.
pub fn get(address: SocketAddr, path: &str, accept: &str) -> io::Result<(u16, String)> {
    request(address, "GET", path, &format!("Accept: {accept}\r\n"), "")
}

/// Sends JSON, and returns the status and the body.
///
/// # Errors
/// If there is no response.
pub fn post(address: SocketAddr, path: &str, json: &str) -> io::Result<(u16, String)> {
    let headers = format!("Content-Type: application/json\r\nContent-Length: {}\r\n", json.len());
    request(address, "POST", path, &headers, json)
}

/// Sends a DELETE request, and returns the status and the body.
///
/// # Errors
/// If there is no response.
pub fn delete(address: SocketAddr, path: &str) -> io::Result<(u16, String)> {
    request(address, "DELETE", path, "", "")
}

fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> io::Result<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(10))?;
    stream.set_read_timeout(Some(LIMIT))?;
    // ChromeDriver refuses HTTP/1.0, in which no response is chunked.
    let version = if method == "GET" { "1.0" } else { "1.1" };
    let head = format!("{method} {path} HTTP/{version}\r\nHost: {address}\r\nConnection: close\r\n{headers}");
    stream.write_all(format!("{head}\r\n{body}").as_bytes())?;
    let mut input = BufReader::new(stream);
    let (mut head, mut body) = (String::new(), Vec::new());
    while !head.ends_with("\r\n\r\n") {
        if input.read_line(&mut head)? == 0 {
            return Err(io::Error::other("no header"));
        }
    }
    let lines = head.lines().filter_map(|line| line.split_once(':'));
    let length = lines
        .filter(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .find_map(|(_, value)| value.trim().parse().ok());
    // Without a length, the body ends with the connection.
    input.take(length.unwrap_or(u64::MAX)).read_to_end(&mut body)?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    let body = String::from_utf8(body).map_err(io::Error::other)?;
    Ok((status.ok_or_else(|| io::Error::other("no status"))?, body))
}
