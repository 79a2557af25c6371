//! Connections that end with a reset, or because a process was killed.

use std::io;

use crate::end::Account;
use crate::network::Network;
use crate::peer::{Peer, Traffic};
use crate::verdict::PlayedConnection;

const FIN: &[&str] = &["fin"];
const RESET_SENT: &[&str] = &["reset_sent", "aborted"];
const RESET_RECEIVED: &[&str] = &["reset_received"];

/// The client resets two connections (linger 0): one after all data was read, and one with full buffers.
///
/// # Errors
/// If a socket fails.
pub fn linger_reset(network: &Network) -> io::Result<Vec<PlayedConnection>> {
    let (mut client, mut server) = network.pair()?;
    client.write(3_000)?;
    server.read(3_000)?;
    server.write(100)?;
    client.read(100)?;
    let client = client.reset()?.because(RESET_SENT);
    server.read_to_reset()?;
    let all_read = PlayedConnection::arrived("linger_reset", client, server.close().because(RESET_RECEIVED));

    let (mut client, server) = network.pair()?;
    client.write_until_full()?;
    let client = client.reset()?.because(RESET_SENT);
    // The server reads nothing after the reset, because the close reports the bytes that were unread at that time.
    server.await_reset()?;
    let full = PlayedConnection::cut("linger_reset full", client, server.close().because(RESET_RECEIVED));
    Ok(vec![all_read, full])
}

/// The server closes with 4,000 unread bytes, which causes a reset.
///
/// # Errors
/// If a socket fails.
pub fn unread_at_close(network: &Network) -> io::Result<Vec<PlayedConnection>> {
    let (mut client, mut server) = network.pair()?;
    client.write(5_000)?;
    server.read(1_000)?;
    server.await_unread(4_000)?;
    let server = server.close().because(RESET_SENT);
    client.read_to_reset()?;
    Ok(vec![PlayedConnection::arrived("unread_at_close", client.close().because(RESET_RECEIVED), server)])
}

/// The client closes. Then the server writes, and the client's kernel responds with a reset.
///
/// # Errors
/// If a socket fails.
pub fn server_cut_after_close(network: &Network) -> io::Result<Vec<PlayedConnection>> {
    let (mut client, mut server) = network.pair()?;
    client.write(700)?;
    let client = client.close().because(FIN);
    server.read_to_end()?;
    server.write(1_000)?;
    // The write causes the reset, which may arrive before or after the read.
    let _ = server.read_to_reset();
    Ok(vec![PlayedConnection::cut("server_cut_after_close", client, server.close())])
}

/// The client or the server is killed (SIGKILL), after it has read everything or with unread bytes.
///
/// # Errors
/// If a socket fails.
pub fn kill9(network: &Network) -> io::Result<Vec<PlayedConnection>> {
    let mut connections = Vec::new();
    for unread in [0, 200] {
        let listener = network.listen(1)?;
        let mut peer = Peer::client(network, listener.address, Traffic { write: 10_000, read: 500, unread });
        let mut server = listener.accept()?;
        server.read(10_000)?;
        server.write(500 + unread)?;
        let client = peer.report();
        peer.kill();
        let ended = if unread > 0 { server.read_to_reset() } else { server.read_to_end() };
        ended?;
        let (of_client, of_server) = reasons(unread);
        connections.push(killed(
            "kill9 client",
            unread,
            client.because(of_client),
            server.close().because(of_server),
        ));
    }
    for unread in [0, 200] {
        let mut peer = Peer::server(network, Traffic { write: 9_000, read: 800, unread });
        let address = peer.address.ok_or_else(|| io::Error::other("no address"))?;
        let mut client = network.connect(address)?;
        client.write(800 + unread)?;
        client.read(9_000)?;
        let server = peer.report();
        peer.kill();
        let ended = if unread > 0 { client.read_to_reset() } else { client.read_to_end() };
        ended?;
        let (of_server, of_client) = reasons(unread);
        connections.push(killed(
            "kill9 server",
            unread,
            client.close().because(of_client),
            server.because(of_server),
        ));
    }
    Ok(connections)
}

fn reasons(unread: u64) -> (&'static [&'static str], &'static [&'static str]) {
    if unread > 0 { (RESET_SENT, RESET_RECEIVED) } else { (FIN, FIN) }
}

fn killed(name: &str, unread: u64, client: Account, server: Account) -> PlayedConnection {
    PlayedConnection::arrived(&format!("{name} unread {unread}"), client, server)
}
