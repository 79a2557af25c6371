//! Servers of tests that handle each connection in a thread.

use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

/// Handles each connection of a listener in a thread of its own. The threads end with the process.
pub fn serve_each(listener: TcpListener, handle: impl Fn(TcpStream) + Send + Sync + 'static) {
    let handle = Arc::new(handle);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let handle = Arc::clone(&handle);
            std::thread::spawn(move || handle(stream));
        }
    });
}
