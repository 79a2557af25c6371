//! Lives that need a network of one's own: its sysctls or its packet filter.

use std::io;
use std::time::Duration;

use rustix::net::SendFlags;

use crate::end::{End, Role};
use crate::nft::{self, Hook};
use crate::place::Place;
use crate::verdict::Story;
use longwave_testing::netns::{Netns, VethPair};

/// `MSG_FASTOPEN`, which rustix has no name for.
const FASTOPEN: SendFlags = SendFlags::from_bits_retain(0x2000_0000);

/// Client and server fast open, without cookies, for every listener.
const FASTOPEN_WITHOUT_COOKIES: &str = "1543";

/// Data in the SYN. `netns` is where the place is.
///
/// # Errors
/// The sockets'.
pub fn fast_open(place: &Place, netns: &[&Netns]) -> io::Result<Vec<Story>> {
    for netns in netns {
        netns.sysctl("net/ipv4/tcp_fastopen", FASTOPEN_WITHOUT_COOKIES);
    }
    let listener = place.listen(16)?;
    let mut stories = Vec::new();
    for answered in [true, false] {
        let socket = place.client.socket(place.family)?;
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
        stories.push(Story::arrived("fast_open", client.because(&["fin"]), server.close().because(&["fin"])));
    }
    Ok(stories)
}

/// The network goes away under an established connection.
///
/// # Errors
/// The sockets'.
pub fn lost_for_good(place: &Place, veth: &VethPair) -> io::Result<Vec<Story>> {
    let (mut client, mut server) = place.pair()?;
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
    // The server learns it from the answer to its next segment.
    server.write(1)?;
    server.read_to_reset()?;
    let client = client.close().because(&["timeout"]);
    Ok(vec![Story::cut("lost_for_good", client, server.close().because(&["reset_received"]))])
}

/// Both FINs are dropped until both are on their way: the ends meet in FIN_WAIT1.
///
/// # Errors
/// The sockets'.
pub fn simultaneous_close_forced(place: &Place, veth: &VethPair) -> io::Result<Vec<Story>> {
    let (mut client, mut server) = place.pair()?;
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
    Ok(vec![Story::arrived("simultaneous_close_forced", client, server)])
}
