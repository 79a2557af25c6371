//! One end of a connection. It counts its bytes.

use std::io;
use std::mem::MaybeUninit;
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::Socket;

/// Role of an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The end that connected.
    Client,
    /// The end that accepted.
    Server,
}

/// Identity of an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndId {
    /// `SO_COOKIE`.
    pub cookie: u64,
    /// Local address, canonical.
    pub local: SocketAddr,
    /// Peer address, canonical.
    pub peer: SocketAddr,
    /// Whether this end connected.
    pub client: bool,
}

/// Time limit of a blocking call, so that a test cannot hang.
const CALL_LIMIT: Duration = Duration::from_secs(120);
/// The same, for the wait for an urgent byte.
const URGENT_WAIT: Timespec = Timespec { tv_sec: 120, tv_nsec: 0 };

/// An open end. Counts the bytes that `send` and `recv` returned.
pub struct End {
    socket: Socket,
    account: Account,
    /// Allocated once, because allocations would slow down requests.
    buffer: Vec<MaybeUninit<u8>>,
}

/// Counts of one end. Longwave must report the same values.
#[derive(Clone, Debug)]
pub struct Account {
    /// `SO_COOKIE`.
    pub cookie: u64,
    /// Role of an end.
    pub role: Role,
    /// Local address, canonical.
    pub local: SocketAddr,
    /// Peer address, canonical.
    pub peer: SocketAddr,
    /// Bytes that `send` accepted.
    pub written: u64,
    /// Bytes that `recv` returned, including the urgent byte.
    pub read: u64,
    /// Allowed close reasons. Empty: any.
    pub reasons: &'static [&'static str],
    /// Expected `error.type` of a connection that was never established.
    pub failed: Option<&'static str>,
    /// Whether the connection is older than Longwave.
    pub pre_existing: bool,
}

impl Role {
    /// Name in the records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
        }
    }
}

impl Account {
    /// Identity of the end.
    pub fn id(&self) -> EndId {
        EndId { cookie: self.cookie, local: self.local, peer: self.peer, client: self.role == Role::Client }
    }

    /// Sets the allowed close reasons.
    pub fn because(mut self, reasons: &'static [&'static str]) -> Self {
        self.reasons = reasons;
        self
    }

    /// Marks the connection as older than Longwave.
    pub fn pre_existing(mut self) -> Self {
        self.pre_existing = true;
        self
    }
}

impl End {
    /// Creates an end from an established socket.
    ///
    /// # Errors
    /// If the socket has no addresses.
    pub fn new(socket: Socket, role: Role) -> io::Result<Self> {
        let peer = socket.peer_addr()?.as_socket().ok_or_else(|| io::Error::other("no IP address"))?;
        Self::with_peer(socket, role, peer)
    }

    /// Creates an end from a socket with this peer.
    ///
    /// # Errors
    /// If the socket has no local address.
    pub fn with_peer(socket: Socket, role: Role, peer: SocketAddr) -> io::Result<Self> {
        socket.set_read_timeout(Some(CALL_LIMIT))?;
        socket.set_write_timeout(Some(CALL_LIMIT))?;
        socket.set_tcp_nodelay(true)?;
        let local = socket.local_addr()?.as_socket().ok_or_else(|| io::Error::other("no IP address"))?;
        let account = Account {
            cookie: socket.cookie()?,
            role,
            local: canonical(local),
            peer: canonical(peer),
            written: 0,
            read: 0,
            reasons: &[],
            failed: None,
            pre_existing: false,
        };
        Ok(Self { socket, account, buffer: vec![MaybeUninit::uninit(); 64 * 1024] })
    }

    /// Writes `bytes`, in calls of up to 64 KiB.
    ///
    /// # Errors
    /// If the socket fails. The bytes that were sent before are counted.
    pub fn write(&mut self, bytes: u64) -> io::Result<()> {
        self.write_in(bytes, 64 * 1024)
    }

    /// Writes `bytes` in calls of up to `call` bytes.
    ///
    /// # Errors
    /// If the socket fails.
    pub fn write_in(&mut self, bytes: u64, call: usize) -> io::Result<()> {
        let block = vec![0x6c_u8; call.min(usize::try_from(bytes).unwrap_or(call))];
        let mut left = bytes;
        while left > 0 {
            let want = block.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let taken = self.socket.send(&block[..want])? as u64;
            self.account.written += taken;
            left -= taken;
        }
        Ok(())
    }

    /// Writes until the send buffer is full. Returns the number of bytes.
    ///
    /// # Errors
    /// If the socket fails.
    pub fn write_until_full(&mut self) -> io::Result<u64> {
        let block = [0x6c_u8; 16 * 1024];
        let before = self.account.written;
        self.socket.set_nonblocking(true)?;
        let result = loop {
            match self.socket.send(&block) {
                Ok(taken) => self.account.written += taken as u64,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    break Ok(self.account.written - before);
                }
                Err(error) => break Err(error),
            }
        };
        self.socket.set_nonblocking(false)?;
        result
    }

    /// Sends one urgent byte.
    ///
    /// # Errors
    /// If the socket fails.
    pub fn write_urgent(&mut self) -> io::Result<()> {
        self.account.written += self.socket.send_out_of_band(b"!")? as u64;
        Ok(())
    }

    /// Waits for the urgent byte and reads it.
    ///
    /// # Errors
    /// If the socket fails, or no urgent byte arrives.
    pub fn read_urgent(&mut self) -> io::Result<()> {
        // Without it, a read before the arrival fails with EINVAL.
        let mut urgent = [PollFd::new(&self.socket, PollFlags::PRI)];
        if poll(&mut urgent, Some(&URGENT_WAIT))? == 0 {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "no urgent byte arrived"));
        }
        let mut byte = [MaybeUninit::uninit(); 1];
        self.account.read += self.socket.recv_out_of_band(&mut byte)? as u64;
        Ok(())
    }

    /// Reads exactly `bytes`.
    ///
    /// # Errors
    /// If the socket fails, or the stream ends too early.
    pub fn read(&mut self, bytes: u64) -> io::Result<()> {
        let mut left = bytes;
        while left > 0 {
            let want = self.buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let got = self.socket.recv(&mut self.buffer[..want])? as u64;
            if got == 0 {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    format!("the stream ended {left} bytes too early"),
                ));
            }
            self.account.read += got;
            left -= got;
        }
        Ok(())
    }

    /// Reads to the end of the stream.
    ///
    /// # Errors
    /// If the socket fails.
    pub fn read_to_end(&mut self) -> io::Result<()> {
        loop {
            match self.socket.recv(&mut self.buffer)? as u64 {
                0 => return Ok(()),
                got => self.account.read += got,
            }
        }
    }

    /// Reads until the connection is reset.
    ///
    /// # Errors
    /// If it is not reset.
    pub fn read_to_reset(&mut self) -> io::Result<()> {
        match self.read_to_end() {
            Err(error)
                if matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) =>
            {
                Ok(())
            }
            Err(error) => Err(error),
            Ok(()) => Err(io::Error::other("the stream ended, a reset was expected")),
        }
    }

    /// Waits for a reset without reading.
    ///
    /// # Errors
    /// If there is none within 10 s.
    pub fn await_reset(&self) -> io::Result<()> {
        for _ in 0..10_000 {
            match self.socket.take_error()? {
                Some(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(()),
                Some(error) => return Err(error),
                None => std::thread::sleep(Duration::from_millis(1)), // poll would also report the data
            }
        }
        Err(io::Error::other("no reset"))
    }

    /// Waits until `bytes` can be read, without reading them.
    ///
    /// # Errors
    /// If they do not arrive within 10 s.
    pub fn await_unread(&self, bytes: u64) -> io::Result<()> {
        let mut block = vec![MaybeUninit::uninit(); usize::try_from(bytes).unwrap_or(0)];
        for _ in 0..10_000 {
            if self.socket.peek(&mut block)? as u64 >= bytes {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(1)); // poll cannot wait for a number of bytes
        }
        Err(io::Error::other(format!("{bytes} bytes did not arrive")))
    }

    /// Closes the write direction.
    ///
    /// # Errors
    /// If the socket fails.
    pub fn shutdown_write(&self) -> io::Result<()> {
        self.socket.shutdown(Shutdown::Write)
    }

    /// Returns the counts so far.
    pub fn account(&self) -> Account {
        self.account.clone()
    }

    /// Returns the socket.
    pub fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Closes the socket and returns the counts.
    pub fn close(self) -> Account {
        self.account
    }

    /// Closes the socket with a reset (linger 0).
    ///
    /// # Errors
    /// If the option is refused.
    pub fn reset(self) -> io::Result<Account> {
        self.socket.set_linger(Some(Duration::ZERO))?;
        Ok(self.account)
    }

    /// Disconnects with `connect` to `AF_UNSPEC`, and returns the socket, which stays open.
    ///
    /// # Errors
    /// If the socket fails.
    pub fn disconnect(self) -> io::Result<(Account, Socket)> {
        rustix::net::connect_unspec(&self.socket)?;
        Ok((self.account, self.socket))
    }

    /// Adds bytes that were written before the end was created (fast open).
    pub fn already_written(&mut self, bytes: u64) {
        self.account.written += bytes;
    }
}

/// Turns an IPv4-mapped IPv6 address into IPv4, as records do.
pub fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
