//! The network of a test connection: address family, and the namespace of each end.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::end::{End, Role};
use longwave_testing::netns::{self, Netns, VethPair};

/// Connections that [`Network::pair`] opens at most.
const ATTEMPTS: usize = 3;
/// Time after which the kernel has given up a connection whose client does not answer the SYN-ACK (`tcp_synack_retries`: 63 s).
const GIVE_UP_SECONDS: i64 = 70;

/// Address family of sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4 sockets.
    V4,
    /// IPv6 sockets.
    V6,
    /// IPv6 sockets with IPv4-mapped addresses.
    Mapped,
}

/// One side of a [`Network`].
#[derive(Clone, Debug)]
pub struct Side {
    /// Path of its namespace. `None`: the namespace of the test.
    pub netns: Option<PathBuf>,
    v4: IpAddr,
    v6: IpAddr,
}

/// The sides of client and server.
#[derive(Clone, Debug)]
pub struct Network {
    /// Name for messages.
    pub name: String,
    /// Address family of both sides.
    pub family: Family,
    /// Side of clients.
    pub client: Side,
    /// Side of servers.
    pub server: Side,
}

/// A listening socket.
pub struct Listener {
    socket: Socket,
    /// Address to connect to.
    pub address: SocketAddr,
}

impl Family {
    /// All families.
    pub const ALL: [Self; 3] = [Self::V4, Self::V6, Self::Mapped];

    /// Returns the domain of its sockets.
    pub fn domain(self) -> Domain {
        match self {
            Self::V4 => Domain::IPV4,
            Self::V6 | Self::Mapped => Domain::IPV6,
        }
    }
}

impl Side {
    fn loopback(netns: Option<PathBuf>) -> Self {
        Self { netns, v4: Ipv4Addr::LOCALHOST.into(), v6: Ipv6Addr::LOCALHOST.into() }
    }

    /// Creates a TCP socket in the namespace of this side.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn socket(&self, family: Family) -> io::Result<Socket> {
        let make = || Socket::new(family.domain(), Type::STREAM, Some(Protocol::TCP));
        match &self.netns {
            None => make(),
            Some(path) => netns::enter(path, make),
        }
    }

    fn address(&self, family: Family) -> IpAddr {
        match (family, self.v4) {
            (Family::V4, v4) => v4,
            (Family::V6, _) => self.v6,
            (Family::Mapped, IpAddr::V4(v4)) => v4.to_ipv6_mapped().into(),
            (Family::Mapped, v6) => v6,
        }
    }
}

impl Network {
    /// Returns the loopback device of the test's namespace.
    pub fn loopback(family: Family) -> Self {
        Self {
            name: format!("loopback {family:?}"),
            family,
            client: Side::loopback(None),
            server: Side::loopback(None),
        }
    }

    /// Returns the loopback device of another namespace.
    pub fn inside(netns: &Netns, family: Family) -> Self {
        let side = Side::loopback(Some(netns.path()));
        Self { name: format!("namespace {family:?}"), family, client: side.clone(), server: side }
    }

    /// Returns a network whose clients are in namespace `a` and whose servers are in namespace `b`.
    pub fn across(veth: &VethPair, family: Family) -> Self {
        let side = |netns: &Netns, (v4, v6)| Side { netns: Some(netns.path()), v4, v6 };
        Self {
            name: format!("across {family:?}"),
            family,
            client: side(&veth.a, VethPair::a_addresses()),
            server: side(&veth.b, VethPair::b_addresses()),
        }
    }

    /// Listens on a free port of the server's address.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn listen(&self, backlog: i32) -> io::Result<Listener> {
        self.listen_at(self.server.address(self.family), backlog)
    }

    /// Listens on all addresses and a free port.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn listen_anywhere(&self, backlog: i32) -> io::Result<Listener> {
        match self.family {
            Family::V4 => self.listen_at(Ipv4Addr::UNSPECIFIED.into(), backlog),
            Family::V6 | Family::Mapped => self.listen_at(Ipv6Addr::UNSPECIFIED.into(), backlog),
        }
    }

    /// Binds a socket to a free port of the server without listening.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn bind(&self) -> io::Result<(Socket, SocketAddr)> {
        let socket = self.server.socket(self.family)?;
        socket.bind(&SocketAddr::new(self.server_address(), 0).into())?;
        let address = socket.local_addr()?.as_socket().ok_or_else(|| io::Error::other("no IP address"))?;
        Ok((socket, address))
    }

    fn listen_at(&self, address: IpAddr, backlog: i32) -> io::Result<Listener> {
        let socket = self.server.socket(self.family)?;
        socket.set_reuse_address(true)?;
        if self.family != Family::V4 {
            socket.set_only_v6(self.family == Family::V6)?;
        }
        socket.bind(&SocketAddr::new(address, 0).into())?;
        socket.listen(backlog)?;
        let port = socket.local_addr()?.as_socket().map_or(0, |address| address.port());
        Ok(Listener { socket, address: SocketAddr::new(address, port) })
    }

    /// Returns the address of servers.
    pub fn server_address(&self) -> IpAddr {
        self.server.address(self.family)
    }

    /// Returns the address of clients.
    pub fn client_address(&self) -> IpAddr {
        self.client.address(self.family)
    }

    /// Connects to `address`.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn connect(&self, address: SocketAddr) -> io::Result<End> {
        let socket = self.client.socket(self.family)?;
        socket.connect(&SockAddr::from(address))?;
        End::new(socket, Role::Client)
    }

    /// Opens a connection. Returns the client's end and the server's end.
    ///
    /// On a lossy path the server can give up a connection that the client has. Then another one is opened.
    ///
    /// # Errors
    /// If the kernel refuses, or if the server has given up all attempts.
    pub fn pair(&self) -> io::Result<(End, End)> {
        for _ in 0..ATTEMPTS {
            let listener = self.listen(16)?;
            let client = self.connect(listener.address)?;
            if listener.has_client()? {
                return Ok((client, listener.accept()?));
            }
        }
        Err(io::ErrorKind::TimedOut.into())
    }
}

impl Listener {
    /// Accepts the next connection.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn accept(&self) -> io::Result<End> {
        let (socket, peer) = self.socket.accept()?;
        let peer = peer.as_socket().ok_or_else(|| io::Error::other("no IP address"))?;
        End::with_peer(socket, Role::Server, peer)
    }

    /// Waits until there is a connection to accept. Returns false if the kernel must have given up.
    fn has_client(&self) -> io::Result<bool> {
        let limit = Timespec { tv_sec: GIVE_UP_SECONDS, tv_nsec: 0 };
        Ok(poll(&mut [PollFd::new(&self.socket, PollFlags::IN)], Some(&limit))? > 0)
    }

    /// Returns the listening socket.
    pub fn socket(&self) -> &Socket {
        &self.socket
    }
}
