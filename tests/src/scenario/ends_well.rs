//! Connections that end with FINs.

use std::io;
use std::sync::Barrier;

use crate::end::{Account, End};
use crate::network::Network;
use crate::verdict::PlayedConnection;

const FIN: &[&str] = &["fin"];

fn closed(name: &str, client: Account, server: Account) -> PlayedConnection {
    PlayedConnection::arrived(name, client.because(FIN), server.because(FIN))
}

/// Opens and closes without any data.
///
/// # Errors
/// If a socket fails.
pub fn nothing(network: &Network) -> io::Result<Vec<PlayedConnection>> {
    let (client, mut server) = network.pair()?;
    let client = client.close();
    server.read_to_end()?;
    Ok(vec![closed("nothing", client, server.close())])
}

/// Number of bytes that always fit into the buffers of two sockets. A thread that writes more before it reads may block.
const BUFFERED: u64 = 16_000;

/// Writes to `from` and reads from `to` in turn, on one thread.
fn carry(from: &mut End, to: &mut End, bytes: u64) -> io::Result<()> {
    let mut left = bytes;
    while left > 0 {
        let now = left.min(BUFFERED);
        from.write(now)?;
        to.read(now)?;
        left -= now;
    }
    Ok(())
}

/// The client sends a request, the server responds, the client closes.
///
/// # Errors
/// If a socket fails.
pub fn clean_close(network: &Network) -> io::Result<Vec<PlayedConnection>> {
    let (mut client, mut server) = network.pair()?;
    carry(&mut client, &mut server, 100_003)?;
    server.write(5_001)?;
    client.read(5_001)?;
    let client = client.close();
    server.read_to_end()?;
    Ok(vec![closed("clean_close", client, server.close())])
}

/// The server closes first.
///
/// # Errors
/// If a socket fails.
pub fn server_first(network: &Network) -> io::Result<Vec<PlayedConnection>> {
    let (mut client, mut server) = network.pair()?;
    client.write(17)?;
    server.read(17)?;
    server.write(40_000)?;
    let server = server.close();
    client.read_to_end()?;
    Ok(vec![closed("server_first", client.close(), server)])
}

/// The client closes its write direction, and the server continues to send. The client is in FIN_WAIT2 meanwhile.
///
/// # Errors
/// If a socket fails.
pub fn half_close(network: &Network) -> io::Result<Vec<PlayedConnection>> {
    let (mut client, mut server) = network.pair()?;
    client.write(3_000)?;
    client.shutdown_write()?;
    server.read_to_end()?;
    carry(&mut server, &mut client, 200_000)?;
    let server = server.close();
    client.read_to_end()?;
    Ok(vec![closed("half_close", client.close(), server)])
}

/// 200 requests and responses.
///
/// # Errors
/// If a socket fails.
pub fn requests(network: &Network) -> io::Result<Vec<PlayedConnection>> {
    let (mut client, mut server) = network.pair()?;
    for round in 0..200 {
        client.write(64 + round)?;
        server.read(64 + round)?;
        server.write(512)?;
        client.read(512)?;
    }
    let client = client.close();
    server.read_to_end()?;
    Ok(vec![closed("requests", client, server.close())])
}

/// 4 MB in each direction at the same time.
///
/// # Errors
/// If a socket fails.
pub fn both_ways(network: &Network) -> io::Result<Vec<PlayedConnection>> {
    const BYTES: u64 = 4_000_000;
    // On two connections, because two threads cannot borrow one end.
    let (mut up_client, mut up_server) = network.pair()?;
    let (mut down_client, mut down_server) = network.pair()?;
    std::thread::scope(|scope| {
        let up = scope.spawn(|| up_client.write(BYTES));
        let down = scope.spawn(|| down_server.write(BYTES));
        let down_read = scope.spawn(|| down_client.read(BYTES));
        up_server.read(BYTES)?;
        for thread in [up, down, down_read] {
            thread.join().map_err(|_| io::Error::other("a thread panicked"))??;
        }
        Ok::<(), io::Error>(())
    })?;
    let mut connections = Vec::new();
    for (client, mut server) in [(up_client, up_server), (down_client, down_server)] {
        let client = client.close();
        server.read_to_end()?;
        connections.push(closed("both_ways", client, server.close()));
    }
    Ok(connections)
}

/// One transfer of `bytes` from the client to the server.
///
/// # Errors
/// If a socket fails.
pub fn bulk(network: &Network, bytes: u64) -> io::Result<Vec<PlayedConnection>> {
    let (mut client, mut server) = network.pair()?;
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| client.write_in(bytes, 1 << 20));
        server.read(bytes)?;
        writer.join().map_err(|_| io::Error::other("the writer panicked"))?
    })?;
    let client = client.close();
    server.read_to_end()?;
    Ok(vec![closed("bulk", client, server.close())])
}

/// The client closes with a full send buffer. The kernel sends the rest, while no process has the socket open.
///
/// # Errors
/// If a socket fails.
pub fn orphan(network: &Network) -> io::Result<Vec<PlayedConnection>> {
    let (mut client, mut server) = network.pair()?;
    client.write_until_full()?;
    let client = client.close();
    server.read_to_end()?;
    Ok(vec![closed("orphan", client, server.close())])
}

/// Sends an urgent byte among others.
///
/// # Errors
/// If a socket fails.
pub fn out_of_band(network: &Network) -> io::Result<Vec<PlayedConnection>> {
    let (mut client, mut server) = network.pair()?;
    client.write(1_000)?;
    client.write_urgent()?;
    client.write(500)?;
    server.read(1_000)?;
    server.read_urgent()?;
    server.read(500)?;
    let client = client.close();
    server.read_to_end()?;
    Ok(vec![closed("out_of_band", client, server.close())])
}

/// Both ends close at the same time, in 20 connections. In some of them the FINs cross.
///
/// # Errors
/// If a socket fails.
pub fn simultaneous_close(network: &Network) -> io::Result<Vec<PlayedConnection>> {
    (0..20).map(|_| close_at_the_same_time(network)).collect()
}

fn close_at_the_same_time(network: &Network) -> io::Result<PlayedConnection> {
    let (mut client, mut server) = network.pair()?;
    client.write(321)?;
    server.read(321)?;
    let barrier = Barrier::new(2);
    let close = |mut end: End| -> io::Result<Account> {
        barrier.wait();
        end.shutdown_write()?;
        end.read_to_end()?;
        Ok(end.close())
    };
    let (client, server) = std::thread::scope(|scope| {
        let other = scope.spawn(|| close(client));
        let server = close(server);
        (other.join(), server)
    });
    let client = client.map_err(|_| io::Error::other("a thread panicked"))??;
    Ok(closed("simultaneous_close", client, server?))
}
