//! Connections that end in a reset, or because somebody was killed.

use std::io;

use crate::end::Account;
use crate::peer::{Part, Peer};
use crate::place::Place;
use crate::verdict::Story;

const FIN: &[&str] = &["fin"];
const RESET_SENT: &[&str] = &["reset_sent", "aborted"];
const RESET_RECEIVED: &[&str] = &["reset_received"];

/// Linger 0: the client resets, once with all read, once with a full pipe.
///
/// # Errors
/// The sockets'.
pub fn linger_reset(place: &Place) -> io::Result<Vec<Story>> {
    let (mut client, mut server) = place.pair()?;
    client.write(3_000)?;
    server.read(3_000)?;
    server.write(100)?;
    client.read(100)?;
    let client = client.reset()?.because(RESET_SENT);
    server.read_to_reset()?;
    let all_read = Story::arrived("linger_reset", client, server.close().because(RESET_RECEIVED));

    let (mut client, server) = place.pair()?;
    client.write_until_full()?;
    let client = client.reset()?.because(RESET_SENT);
    // Unread when the reset came; what `recv` would still give after that is not what the close can tell.
    server.await_reset()?;
    let full = Story::cut("linger_reset full", client, server.close().because(RESET_RECEIVED));
    Ok(vec![all_read, full])
}

/// The server closes with 4,000 bytes unread: a reset, though nobody asked for one.
///
/// # Errors
/// The sockets'.
pub fn unread_at_close(place: &Place) -> io::Result<Vec<Story>> {
    let (mut client, mut server) = place.pair()?;
    client.write(5_000)?;
    server.read(1_000)?;
    server.await_unread(4_000)?;
    let server = server.close().because(RESET_SENT);
    client.read_to_reset()?;
    Ok(vec![Story::arrived("unread_at_close", client.close().because(RESET_RECEIVED), server)])
}

/// The client closes, the server writes all the same and is reset.
///
/// # Errors
/// The sockets'.
pub fn server_cut_after_close(place: &Place) -> io::Result<Vec<Story>> {
    let (mut client, mut server) = place.pair()?;
    client.write(700)?;
    let client = client.close().because(FIN);
    server.read_to_end()?;
    server.write(1_000)?;
    // The reset is the answer to the write; a second write meets it (an error), or comes before it.
    let _ = server.read_to_reset();
    Ok(vec![Story::cut("server_cut_after_close", client, server.close())])
}

/// kill -9 of the client and of the server, with everything read and with something unread.
///
/// # Errors
/// The sockets'.
pub fn kill9(place: &Place) -> io::Result<Vec<Story>> {
    let mut stories = Vec::new();
    for unread in [0, 200] {
        let listener = place.listen(1)?;
        let mut peer = Peer::client(place, listener.address, Part { write: 10_000, read: 500, unread });
        let mut server = listener.accept()?;
        server.read(10_000)?;
        server.write(500 + unread)?;
        let client = peer.report();
        peer.kill();
        let ended = if unread > 0 { server.read_to_reset() } else { server.read_to_end() };
        ended?;
        let (of_client, of_server) = reasons(unread);
        stories.push(told(
            "kill9 client",
            unread,
            client.because(of_client),
            server.close().because(of_server),
        ));
    }
    for unread in [0, 200] {
        let mut peer = Peer::server(place, Part { write: 9_000, read: 800, unread });
        let address = peer.address.ok_or_else(|| io::Error::other("no address"))?;
        let mut client = place.connect(address)?;
        client.write(800 + unread)?;
        client.read(9_000)?;
        let server = peer.report();
        peer.kill();
        let ended = if unread > 0 { client.read_to_reset() } else { client.read_to_end() };
        ended?;
        let (of_server, of_client) = reasons(unread);
        stories.push(told(
            "kill9 server",
            unread,
            client.close().because(of_client),
            server.because(of_server),
        ));
    }
    Ok(stories)
}

fn reasons(unread: u64) -> (&'static [&'static str], &'static [&'static str]) {
    if unread > 0 { (RESET_SENT, RESET_RECEIVED) } else { (FIN, FIN) }
}

fn told(name: &str, unread: u64, client: Account, server: Account) -> Story {
    Story::arrived(&format!("{name} unread {unread}"), client, server)
}
