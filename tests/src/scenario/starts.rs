//! Scenarios about the start of connections.

use std::io;
use std::time::Duration;

use socket2::SockAddr;

use crate::end::{Account, End, Role, canonical};
use crate::network::Network;
use crate::verdict::PlayedConnection;

/// One socket opens two connections: connect, write, `AF_UNSPEC`, connect, write.
///
/// # Errors
/// If a socket fails.
pub fn reconnect(network: &Network) -> io::Result<Vec<PlayedConnection>> {
    let listener = network.listen(4)?;
    let mut client = network.connect(listener.address)?;
    let mut server = listener.accept()?;
    client.write(1_234)?;
    server.read(1_234)?;
    server.write(55)?;
    client.read(55)?;
    let (first, socket) = client.disconnect()?;
    server.read_to_reset()?;
    let first = PlayedConnection::arrived(
        "reconnect first",
        first.because(&["reset_sent", "aborted"]),
        server.close().because(&["reset_received"]),
    );
    socket.connect(&SockAddr::from(listener.address))?;
    let mut client = End::new(socket, Role::Client)?;
    let mut server = listener.accept()?;
    client.write(4_321)?;
    server.read(4_321)?;
    let client = client.close();
    server.read_to_end()?;
    let second = PlayedConnection::arrived(
        "reconnect second",
        client.because(&["fin"]),
        server.close().because(&["fin"]),
    );
    Ok(vec![first, second])
}

/// No process listens on the port.
///
/// # Errors
/// If a socket fails in another way than expected.
pub fn refused(network: &Network) -> io::Result<Vec<PlayedConnection>> {
    // Bound but not listening, so that no other process gets the port.
    let closed = network.bind()?;
    fail(network, closed.1, None, "refused", io::ErrorKind::ConnectionRefused, "refused")
}

/// A listener whose queue is full drops every SYN.
///
/// # Errors
/// If a socket fails in another way than expected.
pub fn syn_timeout(network: &Network) -> io::Result<Vec<PlayedConnection>> {
    let listener = network.listen(0)?;
    let filler = network.connect(listener.address)?;
    let limit = Some(Duration::from_millis(1_500));
    let mut connections =
        fail(network, listener.address, limit, "timeout", io::ErrorKind::TimedOut, "syn_timeout")?;
    let mut server = listener.accept()?;
    let client = filler.close();
    server.read_to_end()?;
    connections.push(PlayedConnection::arrived("syn_timeout filler", client, server.close()));
    Ok(connections)
}

fn fail(
    network: &Network,
    address: std::net::SocketAddr,
    user_timeout: Option<Duration>,
    failed: &'static str,
    kind: io::ErrorKind,
    name: &str,
) -> io::Result<Vec<PlayedConnection>> {
    let socket = network.client.socket(network.family)?;
    socket.set_tcp_user_timeout(user_timeout)?;
    // After a failure a socket has no local address. A timer can fire while any process is current, so that the kernel's trace may be needed
    // to explain a missing record. It finds a connection by both addresses.
    let mut local = address;
    if user_timeout.is_some() {
        socket.bind(&std::net::SocketAddr::new(network.client_address(), 0).into())?;
        local = socket.local_addr()?.as_socket().ok_or_else(|| io::Error::other("no IP address"))?;
    }
    let account = Account {
        cookie: socket.cookie()?,
        role: Role::Client,
        local: canonical(local), // not compared
        peer: canonical(address),
        written: 0,
        read: 0,
        reasons: &[],
        failed: Some(failed),
        pre_existing: false,
    };
    match socket.connect(&SockAddr::from(address)) {
        Err(error) if error.kind() == kind => Ok(vec![PlayedConnection::one_ended(name, account)]),
        Err(error) => Err(error),
        Ok(()) => Err(io::Error::other("connected, but a failure was expected")),
    }
}

/// One socket connects to itself, which is a simultaneous open.
///
/// # Errors
/// If a socket fails.
pub fn self_connect(network: &Network) -> io::Result<Vec<PlayedConnection>> {
    let (socket, address) = network.bind()?;
    socket.connect(&SockAddr::from(address))?;
    let mut both = End::with_peer(socket, Role::Client, address)?;
    both.write(2_000)?;
    both.read(2_000)?;
    both.shutdown_write()?;
    both.read_to_end()?;
    Ok(vec![PlayedConnection { name: "self_connect".to_owned(), ends: vec![both.close()], arrived: false }])
}
