//! Scenarios that need a network namespace, because they change its sysctls or its packet filter.

use std::io;
use std::time::Duration;

use rustix::net::SendFlags;

use crate::end::{End, Role};
use crate::network::Network;
use crate::nft::{self, Hook};
use crate::verdict::PlayedConnection;
use longwave_testing::netns::{Netns, VethPair};

/// `MSG_FASTOPEN`, which rustix does not define.
const FASTOPEN: SendFlags = SendFlags::from_bits_retain(0x2000_0000);

/// Enables fast open for clients and all listeners, without cookies.
const FASTOPEN_WITHOUT_COOKIES: &str = "1543";

/// Sends data in the SYN. `netns` are the namespaces of the network.
///
/// # Errors
/// If a socket fails.
pub fn fast_open(network: &Network, netns: &[&Netns]) -> io::Result<Vec<PlayedConnection>> {
    for netns in netns {
        netns.sysctl("net/ipv4/tcp_fastopen", FASTOPEN_WITHOUT_COOKIES);
    }
    let listener = network.listen(16)?;
    let mut connections = Vec::new();
    for answered in [true, false] {
        let socket = network.client.socket(network.family)?;
        let taken = rustix::net::sendto(&socket, &[0x66_u8; 900], FASTOPEN, &listener.address)?;
        let mut client = End::new(socket, Role::Client)?;
        client.already_written(taken as u64);
        let mut server = listener.accept()?;
        server.read(900)?;
        if answered {
            server.write(3_000)?;
            client.read(3_000)?;
            client.write(70)?;
            server.read(70)?;
        }
        let client = client.close();
        server.read_to_end()?;
        connections.push(PlayedConnection::arrived(
            "fast_open",
            client.because(&["fin"]),
            server.close().because(&["fin"]),
        ));
    }
    Ok(connections)
}

/// The network of an established connection fails.
///
/// # Errors
/// If a socket fails.
pub fn network_failure(network: &Network, veth: &VethPair) -> io::Result<Vec<PlayedConnection>> {
    let (mut client, mut server) = network.pair()?;
    client.write(10)?;
    server.read(10)?;
    client.socket().set_tcp_user_timeout(Some(Duration::from_millis(1_000)))?;
    nft::drop_all(&veth.b, Hook::Input, "");
    client.write(1_000)?;
    let ended = client.read_to_end();
    nft::clear(&veth.b);
    match ended {
        Err(error) if error.kind() == io::ErrorKind::TimedOut => {}
        other => return Err(io::Error::other(format!("a timeout was expected: {other:?}"))),
    }
    // The response to the server's next segment is the reset.
    server.write(1)?;
    server.read_to_reset()?;
    let client = client.close().because(&["timeout"]);
    Ok(vec![PlayedConnection::cut("network_failure", client, server.close().because(&["reset_received"]))])
}

/// FINs are dropped until both ends have sent one, so that both ends are in FIN_WAIT1.
///
/// # Errors
/// If a socket fails.
pub fn simultaneous_close_forced(network: &Network, veth: &VethPair) -> io::Result<Vec<PlayedConnection>> {
    let (mut client, mut server) = network.pair()?;
    client.write(77)?;
    server.read(77)?;
    for netns in [&veth.a, &veth.b] {
        nft::drop_all(netns, Hook::Input, "tcp flags & fin == fin");
    }
    client.shutdown_write()?;
    server.shutdown_write()?;
    for netns in [&veth.a, &veth.b] {
        nft::clear(netns);
    }
    client.read_to_end()?;
    server.read_to_end()?;
    let (client, server) = (client.close().because(&["fin"]), server.close().because(&["fin"]));
    Ok(vec![PlayedConnection::arrived("simultaneous_close_forced", client, server)])
}
