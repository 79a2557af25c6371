//! What limits a connection: the counters of an event and `TCP_INFO` of the application's own socket.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use longwave_ebpf_abi::{ConnectionEvent, offsets::ABSENT};
use longwave_pipeline::model::{Limit, Limits, OptionalCount};
use longwave_receivers::bpf::kernel::{Kernel, Options, clock_tick};
use longwave_testing::netns::{Netns, VethPair};

use super::connections::await_closes;
use super::host::{LIMIT, SeenEvents, connect, cookie, forks, kernel, listen, pass};

/// `struct tcp_info`, as bytes. Fields that the kernel lacks are `None`.
struct TcpInfo(Vec<u8>);

impl TcpInfo {
    fn of(socket: &impl AsFd) -> Self {
        let mut bytes = vec![0u8; 512];
        let mut len = bytes.len() as libc::socklen_t;
        // SAFETY: the buffer has `len` bytes.
        let result = unsafe {
            libc::getsockopt(
                socket.as_fd().as_raw_fd(),
                libc::IPPROTO_TCP,
                libc::TCP_INFO,
                bytes.as_mut_ptr().cast(),
                &raw mut len,
            )
        };
        assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
        bytes.truncate(len as usize);
        Self(bytes)
    }

    fn field<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.0.get(at..at + N)?.try_into().ok()
    }

    fn u16(&self, at: usize) -> Option<u16> {
        self.field(at).map(u16::from_ne_bytes)
    }

    fn u32(&self, at: usize) -> Option<u32> {
        self.field(at).map(u32::from_ne_bytes)
    }

    fn u64(&self, at: usize) -> u64 {
        self.field(at).map(u64::from_ne_bytes).unwrap()
    }

    /// Busy time, time limited by the peer's window, and by the send buffer, in microseconds.
    fn times(&self) -> [u64; 3] {
        [168, 176, 184].map(|at| self.u64(at))
    }
}

/// Returns the times of an event as [`TcpInfo::times`] does.
fn times(event: &ConnectionEvent) -> [u64; 3] {
    let micros = u64::from(clock_tick::micros().unwrap().get());
    let c = &event.limits;
    let [busy, peer, buffer] = [c.busy_jiffies, c.peer_window_jiffies, c.send_buffer_jiffies]
        .map(|jiffies| u64::from(jiffies) * micros);
    [busy + peer + buffer, peer, buffer]
}

/// Returns the event of a socket in a pass.
fn event(kernel: &mut Kernel, cookie: u64) -> Option<ConnectionEvent> {
    pass(kernel).into_iter().find(|event| event.cookie == cookie)
}

/// Asserts that an event of an idle socket has all fields of its `TCP_INFO`.
fn assert_agrees(kernel: &Kernel, event: &ConnectionEvent, info: &TcpInfo) {
    let (c, offsets) = (&event.limits, kernel.offsets());
    assert_eq!(times(event), info.times());
    // A field without an offset is one that the kernel lacks, so that it has no member in TCP_INFO either.
    let fields = [
        ("rcv_ooopack", offsets.rcv_ooopack, c.rcv_ooopack, info.u32(224)),
        ("dsack_dups", offsets.dsack_dups, c.dsack_dups, info.u32(216)),
        ("delivered_ce", offsets.delivered_ce, c.delivered_ce, info.u32(196)),
        ("total_rto", offsets.total_rto, c.total_rto, info.u16(240).map(u32::from)),
        ("rcv_rtt", offsets.rcv_rtt_us, c.rcv_rtt_us >> 3, info.u32(92)),
        ("snd_ssthresh", offsets.snd_ssthresh, c.snd_ssthresh, info.u32(76)),
        ("snd_wnd", offsets.snd_wnd, c.snd_wnd, info.u32(228).or(Some(c.snd_wnd))),
    ];
    for (name, offset, found, expected) in fields {
        let expected = expected.filter(|_| offset != ABSENT);
        assert_eq!(Some(found).filter(|_| offset != ABSENT), expected, "{name}");
    }
    if c.congestion_control[0] != 0 {
        assert_eq!(c.pacing_rate, info.u64(104));
    }
}

/// Writes until the socket takes no more.
fn fill(socket: &mut TcpStream) -> usize {
    socket.set_nonblocking(true).unwrap();
    let mut written = 0;
    loop {
        match socket.write(&[7; 65_536]) {
            Ok(count) => written += count,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                socket.set_nonblocking(false).unwrap();
                return written;
            }
        }
    }
}

/// Waits until `done` is true of the socket's `TCP_INFO`.
fn await_info(socket: &TcpStream, mut done: impl FnMut(&TcpInfo) -> bool) {
    let start = Instant::now();
    while !done(&TcpInfo::of(socket)) {
        assert!(start.elapsed() < LIMIT, "TCP_INFO did not change");
        std::thread::yield_now();
    }
}

/// *Scenario*: a peer does not read, until its window is full. Nothing moves for several passes. Then it reads everything.
/// *Guarantees*: each pass has an event of the waiting sender, with the times that `TCP_INFO` has at that moment, and the peer's window of 0. Of
/// the idle connection that follows there is one event, which equals `TCP_INFO`, with the name of the congestion control.
pub fn privileged_a_waiting_connection_is_sampled_in_each_pass() {
    let mut kernel = kernel(&Options::default());
    let listener = listen();
    let (mut client, mut server) = connect(&listener);
    let written = fill(&mut client);
    // The window is full when the rest of it is too small for a segment. A probe fills the rest.
    await_info(&client, |info| info.times()[1] > 20_000 && info.u32(228).is_none_or(|window| window == 0));
    let mut last = 0;
    for _ in 0..3 {
        let before = TcpInfo::of(&client).times();
        let event = event(&mut kernel, cookie(&client)).expect("it waits, so that it is sampled");
        let after = TcpInfo::of(&client).times();
        let found = times(&event);
        for ((before, found), after) in before.into_iter().zip(found).zip(after) {
            assert!((before..=after).contains(&found), "{before} ≤ {found} ≤ {after}");
        }
        assert!(found[1] >= last && found[1] > 0);
        assert_eq!(event.limits.snd_wnd, 0);
        last = found[1];
        await_info(&client, |info| info.times()[1] > last + 20_000);
    }
    server.read_exact(&mut vec![0; written]).unwrap();
    // Everything is acknowledged, and the window that the last reads opened was announced.
    await_info(&client, |info| info.u32(24) == Some(0) && info.u32(228).is_none_or(|window| window > 0));
    let info = TcpInfo::of(&client);
    let mut idle = event(&mut kernel, cookie(&client)).unwrap();
    // The announcement can arrive between the two.
    for _ in 0..3 {
        idle = event(&mut kernel, cookie(&client)).unwrap_or(idle);
    }
    assert_eq!(times(&idle), info.times());
    assert!(event(&mut kernel, cookie(&client)).is_none(), "nothing has moved since, and nothing waits");
    let expected = rustix::net::sockopt::tcp_congestion(&client).unwrap();
    let name = idle.limits.congestion_control;
    let name = if name[0] == 0 {
        expected.as_bytes().to_vec()
    } else {
        name.split(|b| *b == 0).next().unwrap().to_vec()
    };
    assert_eq!(name, expected.as_bytes());
}

/// *Scenario*: in a namespace that drops 3 % of the segments and marks others as congested, two ends transfer data in both
/// directions. Then both are idle, and close.
/// *Guarantees*: the events of both ends, of the pass and of the close, equal `TCP_INFO` in every field. The path caused losses.
pub fn privileged_limits_agree_with_tcp_info() {
    let _alone = forks();
    let mut kernel = kernel(&Options::default());
    let netns = Netns::new();
    netns.sysctl("net/ipv4/tcp_ecn", "1");
    script(
        &netns,
        "table ip longwave {\nchain c {\ntype filter hook input priority 0; policy accept;\n\
         meta l4proto tcp numgen random mod 100 < 3 drop\n\
         ip ecn ect0 numgen random mod 100 < 10 ip ecn set ce\n}\n}\n",
    );
    let (listener, (client, server)) = netns.enter(|| {
        let listener = listen();
        let ends = connect(&listener);
        (listener, ends)
    });
    const BYTES: usize = 8 << 20;
    std::thread::scope(|scope| {
        for (mut reader, mut writer) in [(&client, &server), (&server, &client)] {
            scope.spawn(move || writer.write_all(&vec![1; BYTES]).unwrap());
            scope.spawn(move || reader.read_exact(&mut vec![0; BYTES]).unwrap());
        }
    });
    let is_idle = |info: &TcpInfo| info.u32(24) == Some(0);
    let mut seen = 0;
    for end in [&client, &server] {
        await_info(end, is_idle);
    }
    let events = pass(&mut kernel);
    for end in [&client, &server] {
        let before = TcpInfo::of(end);
        let event = *events.iter().find(|event| event.cookie == cookie(end)).unwrap();
        assert_agrees(&kernel, &event, &before);
        assert!(event.limits.congestion_control[0] != 0, "the first samples have the name");
        let c = &event.limits;
        seen += c.rcv_ooopack.min(1) + c.delivered_ce.min(1) * 2 + c.busy_jiffies.min(1) * 4;
        assert!(c.snd_ssthresh < 0x7fff_ffff, "a loss lowers the threshold");
        assert!(c.rcv_rtt_us > 0);
    }
    assert!(seen > 0, "the path caused losses, or there is nothing to compare");
    let cookies = [&client, &server].map(cookie);
    let infos = [&client, &server].map(TcpInfo::of);
    drop((client, server, listener));
    let mut closes = SeenEvents::default();
    await_closes(&mut kernel, &mut closes, &cookies);
    for (cookie, info) in cookies.into_iter().zip(infos) {
        let close = closes.closes_of(cookie)[0];
        let (found, idle) = (times(&close), info.times());
        assert!(found.into_iter().zip(idle).all(|(found, idle)| found >= idle), "{found:?} {idle:?}");
        assert!(close.limits.rcv_ooopack >= info.u32(224).unwrap_or(0));
        assert_ne!(close.limits.congestion_control, [0; 16]);
    }
}

/// Two ends of a connection across two namespaces, and a kernel side that has seen it open.
struct Path {
    kernel: Kernel,
    veth: VethPair,
    client: TcpStream,
    server: TcpStream,
}

impl Path {
    fn new() -> Self {
        let kernel = kernel(&Options::default());
        let veth = VethPair::new();
        // Otherwise segments are merged, and a send buffer may be larger than its limit.
        veth.a.run("ip", &["link", "set", "veth0", "gso_max_segs", "1"]);
        let address = VethPair::b_addresses().0;
        let listener = veth.b.enter(|| TcpListener::bind((address, 0)).unwrap());
        let client = veth.a.enter(|| TcpStream::connect(listener.local_addr().unwrap()).unwrap());
        let (server, _) = listener.accept().unwrap();
        Self { kernel, veth, client, server }
    }

    /// Returns what limited the client between two of its samples, which are at least 300 ms apart.
    fn limit(&mut self) -> Option<Limit> {
        let cookie = cookie(&self.client);
        let start = Instant::now();
        let mut sample = |after: Duration| loop {
            assert!(start.elapsed() < LIMIT, "no sample of the client");
            if let Some(event) = event(&mut self.kernel, cookie)
                && start.elapsed() >= after
            {
                return event;
            }
            std::thread::yield_now();
        };
        let (one, other) = (sample(Duration::ZERO), sample(Duration::from_millis(300)));
        let (before, after) = (times(&one), times(&other));
        let [busy, peer_window, send_buffer] =
            std::array::from_fn(|index| OptionalCount::new(after[index] - before[index]));
        let limits = Limits { busy, peer_window, send_buffer, ..Limits::default() };
        let elapsed = OptionalCount::new((other.observed_ns - one.observed_ns) / 1_000);
        let limit = limits.dominant(elapsed);
        eprintln!("{limit:?}: {limits:?} in {elapsed:?} µs");
        limit
    }
}

/// *Scenario*: an application sends a byte every 20 ms.
/// *Guarantees*: the dominant limit is `app`.
pub fn privileged_an_idle_application_is_the_limit() {
    let _alone = forks();
    let mut path = Path::new();
    let (mut client, mut server) = (path.client.try_clone().unwrap(), path.server.try_clone().unwrap());
    let is_done = AtomicBool::new(false);
    let limit = std::thread::scope(|scope| {
        scope.spawn(|| {
            // The read is what the application waits for: it times out after 20 ms.
            client.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
            while !is_done.load(Ordering::Relaxed) {
                client.write_all(b"x").unwrap();
                server.read_exact(&mut [0]).unwrap();
                assert!(client.read(&mut [0]).is_err());
            }
        });
        let limit = path.limit();
        is_done.store(true, Ordering::Relaxed);
        limit
    });
    assert_eq!(limit, Some(Limit::App));
}

/// *Scenario*: the peer does not read.
/// *Guarantees*: the dominant limit is `peer window`.
pub fn privileged_a_reader_that_sleeps_is_the_limit() {
    let _alone = forks();
    let mut path = Path::new();
    // Repeated, because the bytes that fit into the send buffer at one time may also fit into the window.
    let mut client = path.client.try_clone().unwrap();
    await_info(&path.client, |info| {
        fill(&mut client);
        info.times()[1] > 20_000
    });
    assert_eq!(path.limit(), Some(Limit::PeerWindow));
}

/// *Scenario*: pacing empties a send buffer of three segments, on a path on which no acknowledgement arrives.
/// *Guarantees*: the dominant limit is `send buffer`: everything is sent, and the application can write no more.
pub fn privileged_a_small_send_buffer_is_the_limit() {
    /// The kernel does not pace the first ten segments of a connection.
    const UNPACED: usize = 30_000;
    let _alone = forks();
    let mut path = Path::new();
    set(&path.client, libc::SO_MAX_PACING_RATE, 100_000);
    set(&path.client, libc::SO_SNDBUF, 4096);
    path.client.write_all(&[1; UNPACED]).unwrap();
    path.server.read_exact(&mut [0; UNPACED]).unwrap();
    await_info(&path.client, |info| info.u32(24) == Some(0));
    script(
        &path.veth.a,
        "table inet longwave {\nchain c {\ntype filter hook input priority 0; policy drop;\n}\n}\n",
    );
    path.client.set_nonblocking(true).unwrap();
    while path.client.write(&[1; 1448]).is_ok() {}
    await_info(&path.client, |info| info.times()[2] > 20_000);
    assert_eq!(path.limit(), Some(Limit::SendBuffer));
}

/// *Scenario*: a path that drops 5 % of the segments, so that segments arrive out of order and are sent again. Pacing keeps the rate so low that
/// the reader keeps up, also on an emulated machine.
/// *Guarantees*: the dominant limit is `network`.
pub fn privileged_a_lossy_path_is_the_limit() {
    let _alone = forks();
    let mut path = Path::new();
    script(
        &path.veth.b,
        "table inet longwave {\nchain c {\ntype filter hook input priority 0; policy accept;\n\
         meta l4proto tcp numgen random mod 100 < 5 drop\n}\n}\n",
    );
    set(&path.client, libc::SO_MAX_PACING_RATE, 1_000_000);
    let (mut client, mut server) = (path.client.try_clone().unwrap(), path.server.try_clone().unwrap());
    let is_done = AtomicBool::new(false);
    let limit = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_done.load(Ordering::Relaxed) {
                client.write_all(&[1; 16_384]).unwrap();
            }
            client.shutdown(Shutdown::Write).unwrap();
        });
        scope.spawn(|| std::io::copy(&mut server, &mut std::io::sink()).unwrap());
        let limit = path.limit();
        is_done.store(true, Ordering::Relaxed);
        limit
    });
    assert_eq!(limit, Some(Limit::Network));
    assert!(
        TcpInfo::of(&path.server).u32(224).is_none_or(|segments| segments > 0),
        "segments are out of order"
    );
}

/// Sets an option of the socket's level.
fn set(socket: &impl AsFd, option: libc::c_int, value: libc::c_int) {
    // SAFETY: the option is an integer of this size.
    let result = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            option,
            (&raw const value).cast(),
            size_of::<libc::c_int>() as u32,
        )
    };
    assert_eq!(result, 0, "option {option}: {}", std::io::Error::last_os_error());
}

/// Runs a script of nftables in the namespace.
fn script(netns: &Netns, text: &str) {
    netns.enter(|| {
        let mut nft = Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).spawn().unwrap();
        nft.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        assert!(nft.wait().unwrap().success());
    });
}
