//! Connections whose beginning is the point.

use std::io;
use std::time::Duration;

use socket2::SockAddr;

use crate::end::{Account, End, Role, canonical};
use crate::place::Place;
use crate::verdict::Story;

/// One socket, two connections: connect, write, `AF_UNSPEC`, connect, write.
///
/// # Errors
/// The sockets'.
pub fn reconnect(place: &Place) -> io::Result<Vec<Story>> {
    let listener = place.listen(4)?;
    let mut client = place.connect(listener.address)?;
    let mut server = listener.accept()?;
    client.write(1_234)?;
    server.read(1_234)?;
    server.write(55)?;
    client.read(55)?;
    let (first, socket) = client.disconnect()?;
    server.read_to_reset()?;
    let first = Story::arrived(
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
    let second =
        Story::arrived("reconnect second", client.because(&["fin"]), server.close().because(&["fin"]));
    Ok(vec![first, second])
}

/// Nobody listens.
///
/// # Errors
/// The sockets', except the one that is expected.
pub fn refused(place: &Place) -> io::Result<Vec<Story>> {
    // Bound but not listening: nobody else can get the port meanwhile.
    let closed = place.listen_not()?;
    fail(place, closed.1, None, "refused", io::ErrorKind::ConnectionRefused, "refused")
}

/// A listener whose queue is full drops every SYN.
///
/// # Errors
/// The sockets', except the one that is expected.
pub fn syn_timeout(place: &Place) -> io::Result<Vec<Story>> {
    let listener = place.listen(0)?;
    let filler = place.connect(listener.address)?;
    let limit = Some(Duration::from_millis(1_500));
    let mut stories =
        fail(place, listener.address, limit, "timeout", io::ErrorKind::TimedOut, "syn_timeout")?;
    let mut server = listener.accept()?;
    let client = filler.close();
    server.read_to_end()?;
    stories.push(Story::arrived("syn_timeout filler", client, server.close()));
    Ok(stories)
}

fn fail(
    place: &Place,
    address: std::net::SocketAddr,
    user_timeout: Option<Duration>,
    failed: &'static str,
    kind: io::ErrorKind,
    name: &str,
) -> io::Result<Vec<Story>> {
    let socket = place.client.socket(place.family)?;
    socket.set_tcp_user_timeout(user_timeout)?;
    let account = Account {
        cookie: socket.cookie()?,
        role: Role::Client,
        local: canonical(address), // lost by the time it fails; not compared
        peer: canonical(address),
        written: 0,
        read: 0,
        reasons: &[],
        failed: Some(failed),
        pre_existing: false,
    };
    match socket.connect(&SockAddr::from(address)) {
        Err(error) if error.kind() == kind => Ok(vec![Story::one_ended(name, account)]),
        Err(error) => Err(error),
        Ok(()) => Err(io::Error::other("connected, though nobody should have answered")),
    }
}

/// One socket connects to itself: a simultaneous open.
///
/// # Errors
/// The sockets'.
pub fn self_connect(place: &Place) -> io::Result<Vec<Story>> {
    let (socket, address) = place.listen_not()?;
    socket.connect(&SockAddr::from(address))?;
    let mut both = End::with_peer(socket, Role::Client, address)?;
    both.write(2_000)?;
    both.read(2_000)?;
    both.shutdown_write()?;
    both.read_to_end()?;
    Ok(vec![Story { name: "self_connect".to_owned(), ends: vec![both.close()], arrived: false }])
}
