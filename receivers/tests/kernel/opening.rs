//! Passes that visit a connection at the moment of its open.

use std::collections::HashSet;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};

use longwave_ebpf_abi::kind;
use longwave_receivers::bpf::kernel::Options;

use super::host::{SeenEvents, cookie, kernel, listen};

/// Number of connections.
const CONNECTIONS: usize = 60_000;

/// *Scenario*: one thread opens and aborts connections, while another one runs passes over a small table. An entry is published just before
/// the socket leaves CLOSE.
/// *Guarantees*: no connection with a close is also reported as vanished.
pub fn privileged_a_connection_that_opens_has_not_vanished() {
    let options = Options { max_connections: 256, ..Options::default() };
    let mut kernel = kernel(&options);
    let listener = listen();
    let to: SocketAddr = listener.local_addr().unwrap();
    let done = AtomicBool::new(false);
    let mut seen = SeenEvents::default();
    let mut vanished = HashSet::new();
    let mut passes = 0_u64;
    let cookies: HashSet<u64> = std::thread::scope(|scope| {
        let churn = scope.spawn(|| {
            let cookies = (0..CONNECTIONS)
                .flat_map(|_| {
                    let client = TcpStream::connect(to).unwrap();
                    let (server, _) = listener.accept().unwrap();
                    let cookies = [cookie(&client), cookie(&server)];
                    // A reset leaves no socket in TIME_WAIT, which would use up the ports.
                    for end in [&client, &server] {
                        socket2::SockRef::from(end).set_linger(Some(std::time::Duration::ZERO)).unwrap();
                    }
                    cookies
                })
                .collect();
            done.store(true, Ordering::Release);
            cookies
        });
        while !done.load(Ordering::Acquire) {
            kernel
                .pass(&mut |event| {
                    if event.kind == kind::VANISHED {
                        vanished.insert(event.cookie);
                    }
                })
                .unwrap();
            passes += 1;
            seen.drain(&mut kernel);
        }
        churn.join().unwrap()
    });
    seen.drain(&mut kernel);
    let closed: HashSet<u64> =
        seen.closes.iter().map(|event| event.cookie).filter(|cookie| cookies.contains(cookie)).collect();
    let phantoms = vanished.intersection(&closed).count();
    assert_eq!(phantoms, 0, "connections that both vanished and closed, in {passes} passes");
}
