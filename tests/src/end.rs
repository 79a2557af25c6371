//! One end of a connection, with its own exact counts.

use std::io;
use std::mem::MaybeUninit;
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use socket2::Socket;

/// Which end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It connected.
    Client,
    /// It accepted.
    Server,
}

/// Which end of which connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndId {
    /// `SO_COOKIE`.
    pub cookie: u64,
    /// Its own address, canonical.
    pub local: SocketAddr,
    /// The other's address, canonical.
    pub peer: SocketAddr,
    /// Whether it is the one that connected.
    pub client: bool,
}

/// How long a blocking call of an end may take: a bound, not an expectation.
const CALL_LIMIT: Duration = Duration::from_secs(120);

/// An open end. Counts what `send` and `recv` returned, nothing else.
pub struct End {
    socket: Socket,
    account: Account,
    /// Made once: a request must not cost an allocation.
    buffer: Vec<MaybeUninit<u8>>,
}

/// What one end knows about its connection: what Longwave must have reported.
#[derive(Clone, Debug)]
pub struct Account {
    /// `SO_COOKIE`.
    pub cookie: u64,
    /// Which end.
    pub role: Role,
    /// Its own address, canonical.
    pub local: SocketAddr,
    /// The other's address, canonical.
    pub peer: SocketAddr,
    /// Bytes that `send` took.
    pub written: u64,
    /// Bytes that `recv` gave, the urgent byte included.
    pub read: u64,
    /// The close reasons that are right; empty where several are.
    pub reasons: &'static [&'static str],
    /// The `error.type`, where the connection was never established.
    pub failed: Option<&'static str>,
    /// The connection was open before Longwave started.
    pub pre_existing: bool,
}

impl Role {
    /// As the records say it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
        }
    }
}

impl Account {
    /// Which end it is.
    pub fn id(&self) -> EndId {
        EndId { cookie: self.cookie, local: self.local, peer: self.peer, client: self.role == Role::Client }
    }

    /// With the reasons that a close may give.
    pub fn because(mut self, reasons: &'static [&'static str]) -> Self {
        self.reasons = reasons;
        self
    }

    /// As one that existed before Longwave did.
    pub fn pre_existing(mut self) -> Self {
        self.pre_existing = true;
        self
    }
}

impl End {
    /// An established socket.
    ///
    /// # Errors
    /// When the socket has no addresses (any more).
    pub fn new(socket: Socket, role: Role) -> io::Result<Self> {
        let peer = socket.peer_addr()?.as_socket().ok_or_else(|| io::Error::other("no IP address"))?;
        Self::with_peer(socket, role, peer)
    }

    /// A socket whose peer is known from elsewhere.
    ///
    /// # Errors
    /// When the socket has no address of its own.
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
    /// The socket's; what was taken until then is counted.
    pub fn write(&mut self, bytes: u64) -> io::Result<()> {
        self.write_in(bytes, 64 * 1024)
    }

    /// Writes `bytes` in calls of up to `call` bytes.
    ///
    /// # Errors
    /// The socket's.
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

    /// Writes until the socket takes no more; returns what it took.
    ///
    /// # Errors
    /// The socket's, except that it is full.
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
    /// The socket's.
    pub fn write_urgent(&mut self) -> io::Result<()> {
        self.account.written += self.socket.send_out_of_band(b"!")? as u64;
        Ok(())
    }

    /// Reads the urgent byte.
    ///
    /// # Errors
    /// The socket's.
    pub fn read_urgent(&mut self) -> io::Result<()> {
        let mut byte = [MaybeUninit::uninit(); 1];
        self.account.read += self.socket.recv_out_of_band(&mut byte)? as u64;
        Ok(())
    }

    /// Reads exactly `bytes`.
    ///
    /// # Errors
    /// The socket's, and the end of the stream before that.
    pub fn read(&mut self, bytes: u64) -> io::Result<()> {
        let mut left = bytes;
        while left > 0 {
            let want = self.buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let got = self.socket.recv(&mut self.buffer[..want])? as u64;
            if got == 0 {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    format!("{left} bytes before the end"),
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
    /// The socket's.
    pub fn read_to_end(&mut self) -> io::Result<()> {
        loop {
            match self.socket.recv(&mut self.buffer)? as u64 {
                0 => return Ok(()),
                got => self.account.read += got,
            }
        }
    }

    /// Reads until the connection is reset, whatever comes before that.
    ///
    /// # Errors
    /// When it is not reset.
    pub fn read_to_reset(&mut self) -> io::Result<()> {
        match self.read_to_end() {
            Err(error)
                if matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) =>
            {
                Ok(())
            }
            Err(error) => Err(error),
            Ok(()) => Err(io::Error::other("ended in order, a reset was expected")),
        }
    }

    /// Waits for a reset, reading nothing.
    ///
    /// # Errors
    /// When none comes.
    pub fn await_reset(&self) -> io::Result<()> {
        for _ in 0..10_000 {
            match self.socket.take_error()? {
                Some(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(()),
                Some(error) => return Err(error),
                None => std::thread::sleep(Duration::from_millis(1)), // poll would wake for the data already
            }
        }
        Err(io::Error::other("never reset"))
    }

    /// Waits until `bytes` are there to be read, reading none.
    ///
    /// # Errors
    /// When they do not come.
    pub fn await_unread(&self, bytes: u64) -> io::Result<()> {
        let mut block = vec![MaybeUninit::uninit(); usize::try_from(bytes).unwrap_or(0)];
        for _ in 0..10_000 {
            if self.socket.peek(&mut block)? as u64 >= bytes {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(1)); // poll cannot wait for a number of bytes
        }
        Err(io::Error::other(format!("{bytes} bytes never came")))
    }

    /// Half close: no more will be written.
    ///
    /// # Errors
    /// The socket's.
    pub fn shutdown_write(&self) -> io::Result<()> {
        self.socket.shutdown(Shutdown::Write)
    }

    /// The counts so far.
    pub fn account(&self) -> Account {
        self.account.clone()
    }

    /// The socket, for what has no method here.
    pub fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Closes.
    pub fn close(self) -> Account {
        self.account
    }

    /// Closes with a reset (linger 0).
    ///
    /// # Errors
    /// When the option is refused.
    pub fn reset(self) -> io::Result<Account> {
        self.socket.set_linger(Some(Duration::ZERO))?;
        Ok(self.account)
    }

    /// Leaves the connection but keeps the socket (`connect` to `AF_UNSPEC`).
    ///
    /// # Errors
    /// The socket's.
    pub fn disconnect(self) -> io::Result<(Account, Socket)> {
        rustix::net::connect_unspec(&self.socket)?;
        Ok((self.account, self.socket))
    }

    /// Adds what was written before the socket was an end (fast open).
    pub fn already_written(&mut self, bytes: u64) {
        self.account.written += bytes;
    }
}

/// An IPv4 address in IPv6 clothes as IPv4, as the records show it.
pub fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
