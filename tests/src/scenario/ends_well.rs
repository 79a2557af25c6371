//! Connections that end in order.

use std::io;
use std::sync::Barrier;

use crate::end::{Account, End};
use crate::place::Place;
use crate::verdict::Story;

const FIN: &[&str] = &["fin"];

fn well(name: &str, client: Account, server: Account) -> Story {
    Story::arrived(name, client.because(FIN), server.because(FIN))
}

/// Opens and closes without a byte.
///
/// # Errors
/// The sockets'.
pub fn nothing(place: &Place) -> io::Result<Vec<Story>> {
    let (client, mut server) = place.pair()?;
    let client = client.close();
    server.read_to_end()?;
    Ok(vec![well("nothing", client, server.close())])
}

/// Bytes that two sockets' buffers hold for sure, whatever the congestion window: a thread that writes more waits for itself to read.
const HELD: u64 = 16_000;

/// `from` writes, `to` reads, in turn, on one thread.
fn carry(from: &mut End, to: &mut End, bytes: u64) -> io::Result<()> {
    let mut left = bytes;
    while left > 0 {
        let now = left.min(HELD);
        from.write(now)?;
        to.read(now)?;
        left -= now;
    }
    Ok(())
}

/// The client asks, the server answers, the client closes.
///
/// # Errors
/// The sockets'.
pub fn clean_close(place: &Place) -> io::Result<Vec<Story>> {
    let (mut client, mut server) = place.pair()?;
    carry(&mut client, &mut server, 100_003)?;
    server.write(5_001)?;
    client.read(5_001)?;
    let client = client.close();
    server.read_to_end()?;
    Ok(vec![well("clean_close", client, server.close())])
}

/// The server closes first.
///
/// # Errors
/// The sockets'.
pub fn server_first(place: &Place) -> io::Result<Vec<Story>> {
    let (mut client, mut server) = place.pair()?;
    client.write(17)?;
    server.read(17)?;
    server.write(40_000)?;
    let server = server.close();
    client.read_to_end()?;
    Ok(vec![well("server_first", client.close(), server)])
}

/// The client says that it is done, the server goes on for a while: the client is in FIN_WAIT2.
///
/// # Errors
/// The sockets'.
pub fn half_close(place: &Place) -> io::Result<Vec<Story>> {
    let (mut client, mut server) = place.pair()?;
    client.write(3_000)?;
    client.shutdown_write()?;
    server.read_to_end()?;
    carry(&mut server, &mut client, 200_000)?;
    let server = server.close();
    client.read_to_end()?;
    Ok(vec![well("half_close", client.close(), server)])
}

/// 200 requests and responses.
///
/// # Errors
/// The sockets'.
pub fn requests(place: &Place) -> io::Result<Vec<Story>> {
    let (mut client, mut server) = place.pair()?;
    for round in 0..200 {
        client.write(64 + round)?;
        server.read(64 + round)?;
        server.write(512)?;
        client.read(512)?;
    }
    let client = client.close();
    server.read_to_end()?;
    Ok(vec![well("requests", client, server.close())])
}

/// 4 MB each way at the same time.
///
/// # Errors
/// The sockets'.
pub fn both_ways(place: &Place) -> io::Result<Vec<Story>> {
    const BYTES: u64 = 4_000_000;
    // Two connections carry the two ways: one end cannot be borrowed by two threads, and stays simple.
    let (mut up_client, mut up_server) = place.pair()?;
    let (mut down_client, mut down_server) = place.pair()?;
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
    let mut stories = Vec::new();
    for (client, mut server) in [(up_client, up_server), (down_client, down_server)] {
        let client = client.close();
        server.read_to_end()?;
        stories.push(well("both_ways", client, server.close()));
    }
    Ok(stories)
}

/// One transfer of `bytes` from the client to the server.
///
/// # Errors
/// The sockets'.
pub fn bulk(place: &Place, bytes: u64) -> io::Result<Vec<Story>> {
    let (mut client, mut server) = place.pair()?;
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| client.write_in(bytes, 1 << 20));
        server.read(bytes)?;
        writer.join().map_err(|_| io::Error::other("the writer panicked"))?
    })?;
    let client = client.close();
    server.read_to_end()?;
    Ok(vec![well("bulk", client, server.close())])
}

/// The client closes with a full send buffer: the kernel goes on for it, no process holds the socket.
///
/// # Errors
/// The sockets'.
pub fn orphan(place: &Place) -> io::Result<Vec<Story>> {
    let (mut client, mut server) = place.pair()?;
    client.write_until_full()?;
    let client = client.close();
    server.read_to_end()?;
    Ok(vec![well("orphan", client, server.close())])
}

/// An urgent byte among others.
///
/// # Errors
/// The sockets'.
pub fn out_of_band(place: &Place) -> io::Result<Vec<Story>> {
    let (mut client, mut server) = place.pair()?;
    client.write(1_000)?;
    client.write_urgent()?;
    client.write(500)?;
    server.read(1_000)?;
    server.read_urgent()?;
    server.read(500)?;
    let client = client.close();
    server.read_to_end()?;
    Ok(vec![well("out_of_band", client, server.close())])
}

/// Both close in the same moment, 20 times; some of them meet.
///
/// # Errors
/// The sockets'.
pub fn simultaneous_close(place: &Place) -> io::Result<Vec<Story>> {
    (0..20).map(|_| meet(place)).collect()
}

fn meet(place: &Place) -> io::Result<Story> {
    let (mut client, mut server) = place.pair()?;
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
    Ok(well("simultaneous_close", client, server?))
}
