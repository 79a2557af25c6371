//! Loads that go on until they are dropped, each on a CPU of its own.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use rustix::thread::{CpuSet, sched_setaffinity};
use socket2::{Domain, Socket, Type};

/// Threads that work until this is dropped.
pub struct Load {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    done: AtomicU64,
    stop: AtomicBool,
}

impl Load {
    /// Opens and closes connections over loopback; one unit is one connection. A thread on each CPU plays both ends.
    pub fn connect_close(cpus: &[usize]) -> Self {
        Self::on(cpus, |cpu, shared| {
            let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            listener.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)).into()).unwrap();
            listener.listen(1024).unwrap();
            let port = listener.local_addr().unwrap().as_socket().unwrap().port();
            let mut cycle = (cpu as u32) << 20;
            while !shared.stop.load(Ordering::Relaxed) {
                let client = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
                // Another destination each time: no tuple comes back while it is in TIME_WAIT.
                cycle = cycle.wrapping_add(1);
                let host = Ipv4Addr::from(0x7f00_0000 | (cycle % 0x00ff_fff0 + 2));
                client.connect(&SocketAddr::from((host, port)).into()).unwrap();
                let (server, _) = listener.accept().unwrap();
                drop(client);
                drop(server);
                shared.done.fetch_add(1, Ordering::Relaxed);
            }
        })
    }

    fn on(cpus: &[usize], work: impl Fn(usize, &Shared) + Copy + Send + 'static) -> Self {
        let shared = Arc::new(Shared::default());
        let start = |&cpu: &usize| {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || {
                let mut set = CpuSet::new();
                set.set(cpu);
                sched_setaffinity(None, &set).unwrap();
                work(cpu, &shared);
            })
        };
        let threads = cpus.iter().map(start).collect();
        Self { shared, threads }
    }

    /// Units done so far.
    pub fn done(&self) -> u64 {
        self.shared.done.load(Ordering::Relaxed)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
