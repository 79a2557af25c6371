//! Owners of accepted connections, which are opened in a softirq: the process that closes, or has a descriptor.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::sync::MutexGuard;
use std::time::Instant;

use longwave_ebpf_abi::{ConnectionEvent, Owner, flag, kind};
use longwave_receivers::bpf::kernel::{Kernel, Options, Transition};
use longwave_testing::gate;

use super::connections::await_closes;
use super::host::{self, SeenEvents, connect, cookie, kernel, listen, pass};
use super::seeding::own_namespace;

/// Hands a socket to a new process as its standard input and output, as inetd does. This process has no descriptor of it any more.
fn hand_over(socket: impl Into<OwnedFd>, command: &mut Command) -> Child {
    let input: OwnedFd = socket.into();
    let output = input.try_clone().unwrap();
    let child = command.stdin(input).stdout(output).stderr(Stdio::null()).spawn().unwrap();
    command.stdin(Stdio::null()).stdout(Stdio::null());
    // Until it has its own name, the new process may have all descriptors of this one.
    let comm = format!("/proc/{}/comm", child.id());
    let name = command.get_program().to_str().unwrap().to_owned();
    let deadline = Instant::now() + host::LIMIT;
    while std::fs::read_to_string(&comm).unwrap().trim_end() != name {
        assert!(Instant::now() < deadline, "{name} does not start");
        std::thread::yield_now();
    }
    child
}

/// A connection that this process has accepted while the programs are attached.
struct Accepted {
    kernel: Kernel,
    seen: SeenEvents,
    listener: TcpListener,
    client: TcpStream,
    server: TcpStream,
    /// No other test starts a process, which would have the descriptors for a moment.
    alone: MutexGuard<'static, ()>,
}

fn accepted() -> Accepted {
    let alone = host::forks();
    let kernel = kernel(&Options::default());
    let listener = listen();
    let (client, server) = connect(&listener);
    Accepted { kernel, seen: SeenEvents::default(), listener, client, server, alone }
}

fn name(owner: &Owner) -> &str {
    std::str::from_utf8(&owner.name).unwrap().trim_end_matches('\0')
}

/// Returns the close of a socket, once it is reported.
fn close_of(kernel: &mut Kernel, seen: &mut SeenEvents, cookie: u64) -> ConnectionEvent {
    await_closes(kernel, seen, &[cookie]);
    seen.closes_of(cookie)[0]
}

/// *Scenario*: this process accepts a connection and hands it to `cat`, which ends at the client's FIN.
/// *Guarantees*: the server's owner is `cat`, certain by its close. The client's owner is this process, which connected.
pub fn privileged_the_process_that_closes_owns_the_connection() {
    let Accepted { alone: _alone, mut kernel, mut seen, listener: _listener, client, server } = accepted();
    let cookies = (cookie(&client), cookie(&server));
    let mut child = hand_over(server, &mut Command::new("cat"));
    client.shutdown(Shutdown::Write).unwrap();
    child.wait().unwrap();
    drop(client);
    let server = close_of(&mut kernel, &mut seen, cookies.1);
    assert_eq!((name(&server.owner), server.owner.pid), ("cat", child.id()));
    assert_eq!(server.flags & (flag::CLOSER | flag::SERVER), flag::CLOSER | flag::SERVER);
    assert_ne!(server.owner.process_cgroup, 0);
    let client = close_of(&mut kernel, &mut seen, cookies.0);
    assert_eq!((client.owner.pid, client.flags & flag::CLOSER), (std::process::id(), 0));
}

/// *Scenario*: a program that does not read gets a connection with unread data, and ends, which resets the connection.
/// *Guarantees*: the server's owner is that program: the reset by `close` runs in it.
pub fn privileged_a_reset_by_close_has_the_process() {
    let Accepted { alone: _alone, mut kernel, mut seen, listener: _listener, mut client, server } =
        accepted();
    client.write_all(b"never read").unwrap();
    let server_cookie = cookie(&server);
    let mut child = hand_over(server, Command::new("sleep").arg("60"));
    child.kill().unwrap();
    child.wait().unwrap();
    let close = close_of(&mut kernel, &mut seen, server_cookie);
    assert_eq!((close.state, name(&close.owner), close.owner.pid), (1, "sleep", child.id()));
    assert_eq!(close.flags & flag::CLOSER, flag::CLOSER);
}

/// *Scenario*: the client resets a connection, and the softirq that receives the reset runs while some process is current.
/// *Guarantees*: the server's close names no process, because none closed it.
pub fn privileged_a_received_reset_names_no_process() {
    let Accepted { alone: _alone, mut kernel, mut seen, listener: _listener, client, server } = accepted();
    let server_cookie = cookie(&server);
    socket2::SockRef::from(&client).set_linger(Some(std::time::Duration::ZERO)).unwrap();
    drop(client);
    let close = close_of(&mut kernel, &mut seen, server_cookie);
    assert_eq!((close.owner.pid, close.flags & (flag::CLOSER | flag::HOLDER)), (0, 0));
    drop(server);
}

/// *Scenario*: this process shuts down the sending side of a connection that `cat` has, too. The client does not close. Then `cat` is ended,
/// which closes the socket in FIN_WAIT2.
/// *Guarantees*: after the shutdown this process is known to have a descriptor. The owner of the close is `cat`.
pub fn privileged_a_shutdown_shows_a_holder_and_the_close_the_owner() {
    let Accepted { alone: _alone, mut kernel, mut seen, listener: _listener, client, server } = accepted();
    let server_cookie = cookie(&server);
    let mut child = hand_over(server.try_clone().unwrap(), &mut Command::new("cat"));
    server.shutdown(Shutdown::Write).unwrap();
    let sample = await_half_closed(&mut kernel, server_cookie);
    assert_eq!((sample.owner.pid, sample.flags & flag::HOLDER), (std::process::id(), flag::HOLDER));
    drop(server);
    child.kill().unwrap();
    child.wait().unwrap();
    let close = close_of(&mut kernel, &mut seen, server_cookie);
    assert_eq!((close.state, name(&close.owner), close.owner.pid), (5, "cat", child.id()));
    assert_eq!(close.flags & flag::CLOSER, flag::CLOSER);
    drop(client);
}

/// *Scenario*: this process accepts a connection and listens on a socket, and hands both to other processes. No data flows.
/// *Guarantees*: after a walk of the descriptors, the next pass reports the connection with the process that has it, although it is idle, and the
/// listener is reported with the process that has it now. A connection whose process is certain keeps it.
pub fn privileged_a_walk_finds_the_holders() {
    let Accepted { alone: _alone, mut kernel, mut seen, listener, client, server } = accepted();
    let (client_cookie, server_cookie) = (cookie(&client), cookie(&server));
    let listener_cookie = cookie(&listener);
    pass(&mut kernel);
    seen.drain(&mut kernel);
    let mut holder = hand_over(server, &mut Command::new("cat"));
    let mut successor = hand_over(listener, Command::new("sleep").arg("60"));
    let mut listens = Vec::new();
    kernel
        .look_up_holders(&mut |transition| {
            if let Transition::Listen(event) = transition {
                listens.push(*event);
            }
        })
        .unwrap();
    let samples = pass(&mut kernel);
    let of = |cookie| samples.iter().find(|event| event.cookie == cookie);
    let server = of(server_cookie).expect("an idle connection whose holder was found has a sample");
    assert_eq!((name(&server.owner), server.owner.pid), ("cat", holder.id()));
    assert_eq!(server.flags & flag::HOLDER, flag::HOLDER);
    assert!(of(client_cookie).is_none(), "this process connected it, which is certain");
    let listens: Vec<_> = listens.iter().filter(|event| event.cookie == listener_cookie).collect();
    assert!(listens.iter().all(|event| event.kind == kind::LISTEN && event.owner.pid == successor.id()));
    assert_eq!(listens.len(), 2, "its input and output");
    drop(client);
    successor.kill().unwrap();
    successor.wait().unwrap();
    holder.wait().unwrap();
}

/// Runs passes until one has a sample of the socket in FIN_WAIT2. The acknowledgement of the FIN may be delayed.
fn await_half_closed(kernel: &mut Kernel, cookie: u64) -> ConnectionEvent {
    let deadline = Instant::now() + host::LIMIT;
    while Instant::now() < deadline {
        if let Some(event) = pass(kernel).into_iter().find(|event| event.cookie == cookie && event.state == 5)
        {
            return event;
        }
        std::thread::yield_now();
    }
    panic!("the socket did not reach FIN_WAIT2");
}

/// *Scenario*: this process and `perl` each listen on one port (SO_REUSEPORT), `perl` on a socket that it was handed. Each server answers with
/// its process id and closes.
/// *Guarantees*: the owner of each server's socket is the process that answered.
pub fn privileged_programs_that_share_a_port_are_distinguished() {
    const SERVE: &str = "while (accept(C, STDIN)) { syswrite(C, \"$$\\n\"); close(C) }";
    let _alone = host::forks();
    let mut kernel = kernel(&Options::default());
    let mut seen = SeenEvents::default();
    let own = reuse_port(0);
    let port = own.local_addr().unwrap().port();
    let mut perl = hand_over(reuse_port(port), Command::new("perl").args(["-e", SERVE]));
    let serve = own.try_clone().unwrap();
    let server = std::thread::spawn(move || {
        while let Ok((mut client, _)) = serve.accept() {
            let _ = client.write_all(format!("{}\n", std::process::id()).as_bytes());
        }
    });
    let mut answers = std::collections::HashMap::new();
    while !(answers.values().any(|id| *id == perl.id()) && answers.values().any(|id| *id != perl.id())) {
        assert!(answers.len() < 1_000, "one of the servers gets no connection");
        let mut client = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        answers.insert(client.local_addr().unwrap().port(), answer.trim().parse::<u32>().unwrap());
    }
    perl.kill().unwrap();
    perl.wait().unwrap();
    // SAFETY: the descriptor is open. This ends `accept`.
    unsafe { libc::shutdown(own.as_raw_fd(), libc::SHUT_RDWR) };
    server.join().unwrap();
    let deadline = Instant::now() + host::LIMIT;
    while Instant::now() < deadline {
        seen.drain(&mut kernel);
        let servers: Vec<_> = seen.closes.iter().filter(|close| close.tuple.local_port == port).collect();
        if servers.len() < answers.len() {
            std::thread::yield_now();
            continue;
        }
        for close in servers {
            assert_eq!(Some(&close.owner.pid), answers.get(&close.tuple.peer_port), "{close:?}");
        }
        return;
    }
    panic!("some closes are missing: {:?}", kernel.losses());
}

/// *Scenario*: `perl` accepts connections and closes them, while this process walks the descriptors of all processes without a break. The walk
/// refers to each file while it visits it, so it may be the last to release one.
/// *Guarantees*: this process is never the owner of a server's socket, and `perl` is the owner of nearly all.
pub fn privileged_a_walk_owns_no_socket() {
    const CONNECTIONS: usize = 5_000;
    const SERVE: &str = "while (accept(C, STDIN)) { close(C) }";
    let _alone = host::forks();
    let mut kernel = kernel(&Options::default());
    let listener = listen();
    let address = listener.local_addr().unwrap();
    let mut perl = hand_over(listener, Command::new("perl").args(["-e", SERVE]));
    let client = std::thread::spawn(move || {
        for _ in 0..CONNECTIONS {
            let mut client = TcpStream::connect(address).unwrap();
            let _ = client.read(&mut [0]);
            socket2::SockRef::from(&client).set_linger(Some(std::time::Duration::ZERO)).unwrap();
        }
    });
    let deadline = Instant::now() + host::LIMIT;
    let mut owners = Vec::new();
    let mut is_over = false;
    while !is_over {
        assert!(Instant::now() < deadline, "only {} closes: {:?}", owners.len(), kernel.losses());
        // One more walk after the end, for the last closes.
        is_over = client.is_finished();
        kernel
            .look_up_holders(&mut |transition| {
                if let Transition::Connection(event) = transition
                    && event.tuple.local_port == address.port()
                    && event.kind == kind::CLOSE
                {
                    owners.push(event.owner.pid);
                }
            })
            .unwrap();
    }
    client.join().unwrap();
    perl.kill().unwrap();
    perl.wait().unwrap();
    let owned = |id: u32| owners.iter().filter(|owner| **owner == id).count();
    assert_eq!(owned(std::process::id()), 0);
    assert_eq!(owned(perl.id()) + owned(0), owners.len());
    // The development machine's kernel runs no program for some softirqs.
    assert!(owned(perl.id()) > CONNECTIONS * 9 / 10, "{} of {CONNECTIONS}", owned(perl.id()));
}

/// *Scenario*: a transparent proxy listens on port 8080 and accepts connections to port 81, which no process listens on.
/// *Guarantees*: the owner is the proxy, and the port is the one that the client connected to.
pub fn privileged_a_transparent_proxy_owns_what_it_accepts() {
    const RULES: &str = "table ip proxy {\n chain to_proxy {\n type filter hook prerouting priority mangle;\n \
                         tcp dport 81 tproxy to 127.0.0.1:8080 meta mark set 1 accept\n }\n}\n";
    std::thread::spawn(|| {
        own_namespace();
        let _alone = host::forks();
        let mut kernel = kernel(&Options::default());
        let mut seen = SeenEvents::default();
        for arguments in ["rule add fwmark 1 lookup 100", "route add local 0.0.0.0/0 dev lo table 100"] {
            assert!(Command::new("ip").args(arguments.split(' ')).status().unwrap().success());
        }
        let mut nft = Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).spawn().unwrap();
        nft.stdin.take().unwrap().write_all(RULES.as_bytes()).unwrap();
        if !nft.wait().unwrap().success() {
            gate::skip("this kernel has no transparent proxy");
        }
        let proxy = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        proxy.set_ip_transparent_v4(true).unwrap();
        proxy.bind(&SocketAddr::from(([127, 0, 0, 1], 8080)).into()).unwrap();
        proxy.listen(8).unwrap();
        let client = TcpStream::connect("127.0.0.1:81").unwrap();
        let (server, _) = TcpListener::from(proxy).accept().unwrap();
        let server_cookie = cookie(&server);
        drop((server, client));
        let close = close_of(&mut kernel, &mut seen, server_cookie);
        assert_eq!((close.tuple.local_port, close.owner.pid), (81, std::process::id()), "{close:?}");
        assert_eq!(close.flags & flag::CLOSER, flag::CLOSER);
    })
    .join()
    .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

/// *Scenario*: `perl` listens on port 8080, and a BPF program of the type `sk_lookup` gives it a connection to port 81, which no process listens
/// on.
/// *Guarantees*: the owner is `perl`, which closes, and the port is the one that the client connected to.
pub fn privileged_an_owner_by_sk_lookup_has_another_port_than_its_listener() {
    const SERVE: &str = include_str!("sk_lookup.pl");
    std::thread::spawn(|| {
        own_namespace();
        let _alone = host::forks();
        let mut kernel = kernel(&Options::default());
        let mut perl = Command::new("perl").args(["-e", SERVE]).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(perl.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n", "see the message of perl");
        let mut client = TcpStream::connect("127.0.0.1:81").unwrap();
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
        drop(client);
        assert!(perl.wait().unwrap().success());
        let mut seen = SeenEvents::default();
        let server =
            |seen: &SeenEvents| seen.closes.iter().find(|close| close.tuple.local_port == 81).copied();
        let deadline = Instant::now() + host::LIMIT;
        let close = loop {
            seen.drain(&mut kernel);
            if let Some(close) = server(&seen) {
                break close;
            }
            assert!(Instant::now() < deadline, "the close is missing: {:?}", kernel.losses());
            std::thread::yield_now();
        };
        assert_eq!((close.owner.pid, name(&close.owner)), (perl.id(), "perl"), "{close:?}");
        assert_eq!(close.flags & flag::CLOSER, flag::CLOSER);
    })
    .join()
    .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

/// Returns a listening socket whose port others can listen on, too.
fn reuse_port(port: u16) -> TcpListener {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_reuse_port(true).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], port)).into()).unwrap();
    socket.listen(64).unwrap();
    socket.into()
}
